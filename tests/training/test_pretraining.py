"""Pretraining: any file of structures, resumed without a trace, a card that says all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from molgen.config.pretraining import PretrainingConfig, StructuresConfig
from molgen.errors import ConfigError, DataError
from molgen.generator.network import GraphTransformer, NetworkSize
from molgen.generator.weights import SHIPPED_PRIOR, load_network, save_network
from molgen.graphs.dataset import pack
from molgen.graphs.packed import PackedMolecules
from molgen.runtime.checkpoint import load_checkpoint
from molgen.training.loop import (
    Progress,
    new_network,
    split,
    starting_network,
    validation_nats,
)
from molgen.training.muon import Muon
from molgen.training.pretraining import pack_once, pretrain, read_structures
from molgen.training.slices import train_slice
from tests.property_models.drugs import DRUGS

# Runs a slice as on a machine without what reads structures and configs.
BARE_MACHINE = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
missing = ("rdkit", "pandas", "pydantic", "mlflow", "ray", "yaml", "rich")
PathFinder.find_spec = staticmethod(
    lambda name, *rest: None if name.split(".")[0] in missing else find(name, *rest)
)
from molgen.training.slices import main
main()
"""

LEFT_OUT = ["oops", "CC.O", "CCO", "OCC"]


@pytest.fixture
def structures(tmp_path: Path) -> Path:
    path = tmp_path / "drugs.smi"
    path.write_text("".join(f"{s} name {i}\n" for i, s in enumerate(DRUGS + LEFT_OUT)) + "\n")
    return path


def config(file: Path, **changes: Any) -> PretrainingConfig:
    """A hundred steps of a tiny network."""
    data: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "data": {"file": str(file), "max_heavy_atoms": 45, "min_atom_count": 1,
                 "n_rooted_rings": 300, "validation_share": 0.1},
        "network": {"width": 16, "n_layers": 1, "n_heads": 2},
        "training": {"n_molecules": 400, "batch_size": 4, "warmup_steps": 5,
                     "bfloat16": False, "n_threads": 1},
    }  # fmt: skip
    for key, value in changes.items():
        section, _, name = key.partition("__")
        data[section] = value if not name else data[section] | {name: value}
    return PretrainingConfig.model_validate(data)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    found = load_checkpoint(folder / "checkpoint")
    assert found is not None
    return found[0]


def untrained_nats(folder: Path) -> float:
    molecules = PackedMolecules.load(folder / "packed.npz")
    network = new_network(molecules.info["config"], molecules.vocabulary)
    return validation_nats(network, split(molecules, 0.1, seed=3)[1], bfloat16=False)


def test_stopped_half_way_and_resumed_it_is_as_if_it_had_not_been(
    structures: Path, tmp_path: Path
) -> None:
    pretrain(config(structures), tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.n_molecules < progress.n_total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(config(structures), tmp_path / "halves", on_progress=stop)
    assert json.loads((tmp_path / "halves" / "card.json").read_text())["n_molecules_seen"] == 200
    load_network(tmp_path / "halves" / "prior.safetensors")
    pretrain(config(structures), tmp_path / "halves")
    whole, halves = weights_of(tmp_path / "whole"), weights_of(tmp_path / "halves")
    assert whole.keys() == halves.keys()
    for name, weight in whole.items():
        torch.testing.assert_close(halves[name], weight, rtol=0, atol=0)
    shipped = [load_network(tmp_path / run / "prior.safetensors") for run in ("whole", "halves")]
    for one, other in zip(*(n.state_dict().values() for n in shipped), strict=True):
        assert torch.equal(one, other)


def test_killed_on_another_machine_it_goes_on_exactly(structures: Path, tmp_path: Path) -> None:
    """A slice needs none of what reads structures and configs, and may be killed at any time."""
    pretrain(config(structures), tmp_path / "whole")
    folder = tmp_path / "slices"
    pack_once(config(structures), folder)
    slices = subprocess.Popen(
        [sys.executable, "-c", BARE_MACHINE, "--packed", folder / "packed.npz", "--out", folder,
         "training.checkpoint_every_s=0.000001"], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert slices.stdout is not None
    next(slices.stdout)  # numbers of the first checkpoint
    next(slices.stdout)
    slices.send_signal(signal.SIGKILL)
    slices.communicate()
    n_seen = json.loads((folder / "card.json").read_text())["n_molecules_seen"]
    assert 4 <= n_seen < 400
    train_slice(folder / "packed.npz", folder, seconds=1e9)
    whole, killed = weights_of(tmp_path / "whole"), weights_of(folder)
    assert whole.keys() == killed.keys()
    assert any(name.startswith("optimiser.0.") for name in whole)  # Muon's
    for name, weight in whole.items():
        torch.testing.assert_close(killed[name], weight, rtol=0, atol=0)
    assert max(p.stat().st_size for p in (folder / "checkpoint").iterdir()) <= 15e6


@pytest.mark.parametrize("optimiser", ["Muon", "AdamW"])
def test_interrupted_between_two_optimisers_it_goes_on_from_the_last_checkpoint(
    structures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    """Of a step that is half taken nothing is kept."""
    often = config(structures, training__n_molecules=40, training__checkpoint_every_s=1e-9)
    pretrain(often, tmp_path / "whole")
    place = Muon if optimiser == "Muon" else torch.optim.AdamW
    take, n_taken = place.step, 0

    def take_or_stop(self: Any, *args: Any) -> Any:
        nonlocal n_taken
        n_taken += 1
        if n_taken == 6:
            raise KeyboardInterrupt
        return take(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(place, "step", take_or_stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(often, tmp_path / "halves")
    assert json.loads((tmp_path / "halves" / "card.json").read_text())["n_molecules_seen"] == 20
    pretrain(often, tmp_path / "halves")
    whole, halves = weights_of(tmp_path / "whole"), weights_of(tmp_path / "halves")
    for name, weight in whole.items():
        torch.testing.assert_close(halves[name], weight, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", ".."), ("name", ".hidden"), ("seed", 2**63), ("data__n_rooted_rings", 32768)],
)
def test_values_that_lead_nowhere_are_refused(structures: Path, key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        config(structures, **{key: value})


def test_a_single_molecule_is_too_few(tmp_path: Path) -> None:
    (tmp_path / "one.smi").write_text("CCOc1ccccc1\n")
    with pytest.raises(DataError, match="at least two usable molecules"):
        pretrain(config(tmp_path / "one.smi"), tmp_path / "run")


def test_slices_go_on_with_a_fine_tuning_whatever_size_its_config_says(
    structures: Path, prior_file: Path, tmp_path: Path
) -> None:
    short = config(structures, start_from=str(prior_file), data__max_heavy_atoms=40,
                   training__n_molecules=8, training__time_limit_s=1e-9)  # fmt: skip
    pretrain(short, tmp_path / "run")
    packed = tmp_path / "run" / "packed.npz"
    with pytest.raises(ConfigError, match="begin with `molgen pretrain`"):
        train_slice(packed, tmp_path / "elsewhere", seconds=1e9)
    weights = train_slice(packed, tmp_path / "run", seconds=1e9)
    assert load_network(weights).size == load_network(prior_file).size
    assert json.loads((tmp_path / "run" / "card.json").read_text())["n_molecules_seen"] == 8


def test_a_slice_takes_its_config_from_the_packed_file(structures: Path, tmp_path: Path) -> None:
    pack_once(config(structures), tmp_path)
    packed = tmp_path / "packed.npz"
    for text, message in [
        ("data.file=x", "expected key=value with a key of training.n_molecules"),
        ("training.batch_size=many", "neither a number nor true or false"),
        ("training.bfloat16=1", "expected a value like false"),
        ("training.n_molecules=[1]", "expected a value like 400"),
        ('training.n_molecules="x"', "expected a value like 400"),
        ("training.batch_size=2.9", "expected a value like 4"),
        ("training.batch_size=1e999", "expected a value like 4"),
        ("training.batch_size=0", "must be at least 1"),
        ("training.n_threads=0", "must be at least 1"),
        ("training.learning_rate=0", "must be above 0"),
        ("training.weight_decay=NaN", "must be at least 0"),
        ("training.prompt_share=7", "must be between 0 and 1"),
        ("network.n_heads=3", "network.width must be a multiple of network.n_heads"),
    ]:
        with pytest.raises(ConfigError, match=message):
            train_slice(packed, tmp_path, seconds=1, overrides=[text])
    overrides = ["network.width=32", "training.n_molecules=8", "training.warmup_steps=0"]
    weights = train_slice(packed, tmp_path, seconds=1e9, overrides=overrides)
    assert load_network(weights).size.width == 32
    weights.unlink()
    train_slice(packed, tmp_path, seconds=0, overrides=overrides)
    assert load_network(weights).size.width == 32
    assert json.loads((tmp_path / "card.json").read_text())["n_molecules_seen"] == 8


def test_a_longer_training_goes_on_from_before_the_rate_fell(
    structures: Path, tmp_path: Path
) -> None:
    short = config(structures, training__n_molecules=80, training__decay_share=0.5)
    long = config(structures, training__n_molecules=160, training__decay_share=0.5)
    pretrain(short, tmp_path / "grown")
    pretrain(long, tmp_path / "grown")
    pretrain(long, tmp_path / "whole")
    whole, grown = weights_of(tmp_path / "whole"), weights_of(tmp_path / "grown")
    for name, weight in whole.items():
        torch.testing.assert_close(grown[name], weight, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*deprecated")  # Ray, of its own settings
def test_two_workers_take_the_steps_of_one(structures: Path, tmp_path: Path) -> None:
    progress: list[Progress] = []
    metrics: list[int] = []
    pretrain(config(structures, training__n_molecules=40), tmp_path / "one")
    pretrain(
        config(structures, training__n_molecules=40, training__n_workers=2), tmp_path / "two",
        on_progress=progress.append, on_metrics=lambda m, n: metrics.append(n),
    )  # fmt: skip
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, weight in one.items():
        # Muon turns its matrices in bfloat16, so a last bit in a gradient may grow.
        atol = 1e-2 if "blocks" in name else 1e-4
        torch.testing.assert_close(two[name], weight, rtol=0, atol=atol, msg=name)
    assert [p.n_molecules for p in progress] == [40] and metrics == [40]
    with pytest.raises(ConfigError, match="another network; choose another --out"):
        pretrain(config(structures, training__n_workers=2, seed=4), tmp_path / "two")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own modules
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_it_takes_the_same_steps(structures: Path, tmp_path: Path) -> None:
    few = {"n_molecules": 12, "batch_size": 4, "warmup_steps": 5, "bfloat16": False}
    pretrain(config(structures, training=few), tmp_path / "plain")
    pretrain(config(structures, training=few | {"compile": True}), tmp_path / "compiled")
    plain, compiled = weights_of(tmp_path / "plain"), weights_of(tmp_path / "compiled")
    for name, tensor in plain.items():
        assert torch.allclose(tensor, compiled[name], atol=1e-4), name


def test_it_learns_reports_and_writes_a_card(structures: Path, tmp_path: Path) -> None:
    progress: list[Progress] = []
    packed: list[tuple[int, int]] = []
    metrics: list[tuple[dict[str, float], int]] = []
    weights = pretrain(
        config(structures), tmp_path / "run", on_progress=progress.append,
        on_packing=lambda done, total: packed.append((done, total)),
        on_metrics=lambda m, n: metrics.append((m, n)),
    )  # fmt: skip
    assert [p.n_molecules for p in progress] == [200, 400]
    assert progress[-1].n_total == 400 and progress[-1].nats < progress[0].nats
    n_lines = len(DRUGS + LEFT_OUT)
    assert packed[-1] == (n_lines, n_lines)
    ((last, seen),) = metrics
    assert seen == 400 and 0 < last["validation_nats"] < untrained_nats(tmp_path / "run") - 5
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    data = card["data"]
    assert data["file"] == "drugs.smi"
    assert data["n_lines"] == n_lines
    assert data["left_out"]["cannot be parsed"] == 1
    assert data["left_out"]["more than one fragment"] == 1
    assert data["left_out"]["duplicate"] == 1
    assert data["n_molecules"] + sum(data["left_out"].values()) == n_lines
    assert data["n_validation"] == round(0.1 * data["n_molecules"])
    assert len(data["sha256"]) == 64
    assert card["n_molecules_seen"] == 400
    assert card["history"][-1]["validation_nats"] == last["validation_nats"]
    network = load_network(weights)
    assert card["n_weights"] == sum(p.numel() for p in network.parameters())


def test_a_time_limit_ends_a_slice(structures: Path, tmp_path: Path) -> None:
    pretrain(config(structures, training__time_limit_s=1e-6), tmp_path / "run")
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["n_molecules_seen"] == 4


def test_weights_can_be_trained_further(structures: Path, prior_file: Path, tmp_path: Path) -> None:
    short = config(structures, start_from=str(prior_file), training__n_molecules=8)
    weights = pretrain(short, tmp_path / "run")
    before, after = load_network(prior_file), load_network(weights)
    assert after.vocabulary == before.vocabulary and after.size == before.size
    assert not torch.equal(after.action.weight, before.action.weight)
    assert json.loads((tmp_path / "run" / "card.json").read_text())["started_from"]


@pytest.mark.skipif(not SHIPPED_PRIOR.is_file(), reason="no prior in this checkout")
def test_the_shipped_prior_is_fine_tuned_on_what_it_can_build(
    structures: Path, tmp_path: Path
) -> None:
    structures.write_text(structures.read_text() + "[U]\n")
    short = config(structures, start_from="shipped", training__n_molecules=4)
    weights = pretrain(short, tmp_path / "run")
    assert load_network(weights).vocabulary == load_network().vocabulary
    left_out = json.loads((tmp_path / "run" / "card.json").read_text())["data"]["left_out"]
    assert sum(left_out.values()) >= len(LEFT_OUT) and any("U" in reason for reason in left_out)


def test_structures_that_changed_are_packed_anew_until_the_training_has_begun(
    structures: Path, tmp_path: Path
) -> None:
    first = pack_once(config(structures), tmp_path / "run")
    structures.write_text(structures.read_text() + "CCCCCCCCO\n")
    second = pack_once(config(structures), tmp_path / "run")
    assert len(second) == len(first) + 1
    pretrain(config(structures, training__n_molecules=4), tmp_path / "run")
    structures.write_text(structures.read_text() + "CCCCCCCCN\n")
    with pytest.raises(ConfigError, match=r"drugs\.smi has changed since the training"):
        pretrain(config(structures, training__n_molecules=8), tmp_path / "run")
    structures.unlink()  # what is packed needs no file
    pretrain(config(structures, training__n_molecules=8), tmp_path / "run")


def test_another_trainings_packed_molecules_are_left_as_they_are(
    structures: Path, tmp_path: Path
) -> None:
    pretrain(config(structures, training__n_molecules=4), tmp_path / "run")
    before = (tmp_path / "run" / "packed.npz").read_bytes()
    for other in (config(structures, seed=4), config(structures, data__n_rooted_rings=100)):
        with pytest.raises(ConfigError, match="holds a training with other data"):
            pack_once(other, tmp_path / "run")
    assert (tmp_path / "run" / "packed.npz").read_bytes() == before


def test_a_packed_file_takes_the_present_settings_of_its_training(
    structures: Path, tmp_path: Path
) -> None:
    pack_once(config(structures), tmp_path)
    pack_once(config(structures, training__n_molecules=8), tmp_path)
    info = PackedMolecules.load(tmp_path / "packed.npz").info
    assert info["config"]["training"]["n_molecules"] == 8


def test_molecules_seen_are_counted_where_the_set_is_smaller_than_a_batch(
    tmp_path: Path,
) -> None:
    few = tmp_path / "few.smi"
    few.write_text("CCO\nCCN\nCCCO\nCCCN\n")
    progress: list[Progress] = []
    large = config(few, training__n_molecules=10, training__batch_size=64)
    pretrain(large, tmp_path / "run", on_progress=progress.append)
    assert progress[-1].n_molecules == progress[-1].n_total == 12  # four steps of three molecules
    assert json.loads((tmp_path / "run" / "card.json").read_text())["n_molecules_seen"] == 12


def test_other_weights_to_start_from_are_told(
    structures: Path, network: GraphTransformer, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    save_network(network, start)
    short = config(structures, start_from=str(start), training__n_molecules=4)
    first = pack_once(short, tmp_path / "run", start=starting_network(str(start)))
    few = pack(DRUGS[:60], max_atoms=45, min_atom_count=1).vocabulary
    save_network(GraphTransformer(few, NetworkSize(16, 1, 2, 45)), start)
    again = pack_once(short, tmp_path / "run", start=starting_network(str(start)))
    assert again.vocabulary == few != first.vocabulary, "nothing was learnt yet"
    pretrain(short, tmp_path / "run")
    save_network(network, start)
    with pytest.raises(ConfigError, match=r"start_from: .*start\.safetensors has changed since"):
        pretrain(short, tmp_path / "run")
    (tmp_path / "run" / "packed.npz").unlink()
    with pytest.raises(ConfigError, match="holds a training of another network or vocabulary"):
        pretrain(short, tmp_path / "run")


def test_a_fine_tuning_of_before_start_weights_were_noted_goes_on(
    structures: Path, prior_file: Path, tmp_path: Path
) -> None:
    short = config(structures, start_from=str(prior_file), training__n_molecules=4)
    pretrain(short, tmp_path / "run")
    packed = PackedMolecules.load(tmp_path / "run" / "packed.npz")
    del packed.info["start_sha256"]
    packed.save(tmp_path / "run" / "packed.npz")
    pretrain(config(structures, start_from=str(prior_file), training__n_molecules=8),
             tmp_path / "run")  # fmt: skip
    assert json.loads((tmp_path / "run" / "card.json").read_text())["n_molecules_seen"] == 8


def test_the_card_is_replaced_as_a_whole(structures: Path, tmp_path: Path) -> None:
    """A reader that has opened the old one reads it to its end."""
    pretrain(config(structures, training__n_molecules=4), tmp_path / "run")
    with (tmp_path / "run" / "card.json").open() as old:
        pretrain(config(structures, training__n_molecules=8), tmp_path / "run")
        assert json.loads(old.read())["n_molecules_seen"] == 4


def test_a_folder_of_another_training_is_refused(structures: Path, tmp_path: Path) -> None:
    short = config(structures, training__n_molecules=4)
    pretrain(short, tmp_path / "run")
    for other in (
        config(structures, training__n_molecules=4, network__width=32),
        config(structures, training__n_molecules=4, seed=4),
    ):
        with pytest.raises(ConfigError, match="another network; choose another --out"):
            pretrain(other, tmp_path / "run")
    pretrain(config(structures, training__n_molecules=8), tmp_path / "run")  # longer is fine


# ----------------------------------------------------------------------------- reading structures


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Path]:
    frame = pd.DataFrame({"smiles": ["CCO", None, "CCN"], "split": ["train", "train", "test"]})
    paths = {kind: tmp_path / f"table.{kind}" for kind in ("csv", "tsv", "parquet")}
    frame.to_csv(paths["csv"], index=False)
    frame.to_csv(paths["tsv"], index=False, sep="\t")
    frame.to_parquet(paths["parquet"])
    return paths


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_tables_are_read_and_rows_chosen(table: dict[str, Path], kind: str) -> None:
    path = str(table[kind])
    assert read_structures(StructuresConfig(file=path)) == ["CCO", "", "CCN"]
    assert read_structures(StructuresConfig(file=path, rows="split == 'test'")) == ["CCN"]


def test_names_behind_the_smiles_are_dropped(structures: Path) -> None:
    assert read_structures(StructuresConfig(file=str(structures))) == DRUGS + LEFT_OUT


def test_files_are_looked_for_below_the_data_folder(
    table: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="not found; set MOLGEN_DATA"):
        monkeypatch.delenv("MOLGEN_DATA", raising=False)
        read_structures(StructuresConfig(file="table.csv"))
    monkeypatch.setenv("MOLGEN_DATA", str(table["csv"].parent))
    assert read_structures(StructuresConfig(file="table.csv")) == ["CCO", "", "CCN"]
    with pytest.raises(DataError, match=r"data\.file: .*nowhere\.csv and .*nowhere\.csv not found"):
        read_structures(StructuresConfig(file="nowhere.csv"))


def test_what_cannot_be_read_is_one_line_that_says_why(
    table: dict[str, Path], structures: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "latin.smi").write_bytes(b"CCO caf\xe9\n")
    (tmp_path / "some.xlsx").write_text("CCO")
    cases: list[tuple[dict[str, str], str]] = [
        ({"file": str(table["csv"]), "smiles_column": "mol"}, r"no column 'mol'; it has \['smiles"),
        ({"file": str(table["csv"]), "rows": "nothing > 3"}, r"data\.rows 'nothing > 3' fails"),
        ({"file": str(table["csv"]), "rows": "split =="}, r"data\.rows 'split ==' fails"),
        ({"file": str(structures), "rows": "split == 'a'"}, r"data\.rows needs a table"),
        ({"file": str(tmp_path / "broken.parquet")}, "cannot be read"),
        ({"file": str(tmp_path / "empty.csv")}, "cannot be read"),
        ({"file": str(tmp_path / "latin.smi")}, "cannot be read"),
        ({"file": str(tmp_path / "some.xlsx")}, r"expected \.smi, \.csv, \.tsv or \.parquet"),
    ]
    for settings, message in cases:
        with pytest.raises(DataError, match=message) as caught:
            read_structures(StructuresConfig(**settings))
        assert settings["file"] in str(caught.value)
        assert "\n" not in str(caught.value)
