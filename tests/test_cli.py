"""The command line: light to start, exact in what it writes, one line for a user's fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rdkit import Chem

from molgen.campaign.wiring import check_campaign
from molgen.config.campaign import RunConfig
from molgen.config.kinds import load_any
from molgen.config.loading import dump_config, load_config
from molgen.generator.network import GraphTransformer, NetworkSize
from molgen.generator.weights import SHIPPED_PRIOR, save_network
from molgen.graphs.vocabulary import Vocabulary
from molgen.objectives import SHIPPED_PREDICTORS
from molgen.training.on_demand import without_untrained
from tests.campaign.campaigns import tiny
from tests.commands import complaint, molgen

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
SHIPPED = SHIPPED_PRIOR.is_file() and SHIPPED_PREDICTORS.is_dir()


@pytest.fixture
def config(prior_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(tiny(prior_file)))
    return path


# ------------------------------------------------------------------------------------- lightness

_HELP = """
import sys
sys.argv = ["molgen", *{arguments!r}]
from molgen.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
heavy = {{"torch", "rdkit", "pandas", "numpy", "numba", "ray", "mlflow", "lightgbm", "deepchem"}}
print("HEAVY", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["sample", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = _HELP.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stdout.strip().endswith("HEAVY []")


def test_every_command_has_help() -> None:
    text = molgen("--help").out
    for command in ("run", "sample", "predict", "report", "pretrain", "train-predictor", "doctor"):
        assert command in text
        assert molgen(command, "--help").code == 0
    for command in (("data", "list"), ("config", "validate"), ("config", "show")):
        assert molgen(*command, "--help").code == 0


# ------------------------------------------------------------------------------ a user's mistakes


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rond_size=3", "rond_size"),
        ("round_size=many", "round_size"),
        ("budget.n_rounds=0", "budget.n_rounds"),
        ("generator.prompts=['c1ccc']", "cannot parse the SMILES 'c1ccc'"),
        ("generator.prompts=['*C*C']", "an attachment point needs exactly one neighbour"),
        ("generator.max_heavy_atoms=60", "max_heavy_atoms: this generator draws at most 45"),
        ("generator.prior=nowhere.safetensors", "nowhere.safetensors"),
        ("objective.components.2.function=nowhere:score", "nowhere"),
    ],
)
def test_a_wrong_value_is_one_line(
    config: Path, tmp_path: Path, override: str, message: str
) -> None:
    assert message in complaint(molgen("run", config, override, "--out", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_unknown_endpoint_or_program_is_one_line(
    prior_file: Path, config: Path, tmp_path: Path
) -> None:
    up = {"type": "increasing", "zero_at": 0, "one_at": 1}
    for part, message in [
        ({"type": "predictor", "endpoint": "telepathy", "desirability": up}, "telepathy"),
        (
            {"type": "command", "name": "mine", "command": ["no-such-program"], "desirability": up},
            "no-such-program",
        ),
    ]:
        config.write_text(dump_config(tiny(prior_file, part)))
        assert message in complaint(molgen("run", config, "--out", tmp_path / "run"))
        assert not (tmp_path / "run").exists()


def test_a_missing_or_broken_config_is_one_line(tmp_path: Path) -> None:
    assert "nowhere.yaml" in complaint(molgen("run", tmp_path / "nowhere.yaml"))
    (tmp_path / "broken.yaml").write_text("name: [")
    assert "broken.yaml" in complaint(molgen("run", tmp_path / "broken.yaml"))
    assert "give a campaign config" in complaint(molgen("run"))


def test_an_unwritable_folder_is_one_line(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = complaint(molgen("run", config, "--out", tmp_path / "file" / "run"))
    assert f"--out {tmp_path / 'file' / 'run'}: cannot be written" in message
    message = complaint(molgen("run", config, "--out", tmp_path / "file"))
    assert "cannot be written" in message


def test_a_resume_of_nothing_is_one_line(tmp_path: Path) -> None:
    assert "not a run folder" in complaint(molgen("run", "--resume", tmp_path / "nowhere"))
    assert "nowhere" in complaint(molgen("report", tmp_path / "nowhere"))


def test_a_report_on_a_table_tells_its_assays_and_years(tmp_path: Path) -> None:
    table, page = tmp_path / "table.csv", tmp_path / "report.html"
    rows = [f"{'C' * n}O,{n},199{n},first" for n in range(1, 6)] + ["CCN,2,2001,second"]
    table.write_text("\n".join(["smiles,value,published,source", *rows]) + "\n")
    columns = ["--year-column", "published", "--assay-column", "source"]
    outcome = molgen("data", "report", table, "-o", page, *columns)
    assert outcome.code == 0, outcome.err
    assert "2 assays" in page.read_text() and "year of publication" in page.read_text()
    assert "no column 'when'" in complaint(
        molgen("data", "report", table, "-o", page, "--year-column", "when")
    )


# ---------------------------------------------------------------------------------------- sample


def test_sample_writes_exactly_as_many_lines_as_asked(prior_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "seven.smi"
    outcome = molgen("sample", "-n", "7", "--prior", prior_file, "-o", output)
    assert outcome.code == 0 and f"7 molecules in {output}" in outcome.out
    lines = output.read_text().splitlines()
    assert len(lines) == 7
    assert all(Chem.MolFromSmiles(line) is not None for line in lines)


def test_a_mode_that_finds_nothing_to_redraw_draws_nothing_else(
    prior_file: Path, tmp_path: Path
) -> None:
    said = complaint(
        molgen("sample", "--mode", "regrow", "--prompt", "c1ccc(-c2ccccc2)cc1", "--part", "11",
               "--prior", prior_file, "-o", tmp_path / "out.smi")
    )  # fmt: skip
    assert "take fewer" in said
    assert not (tmp_path / "out.smi").exists()


def test_a_prior_of_small_molecules_is_sampled_as_it_is(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    size = NetworkSize(width=32, n_layers=1, n_heads=2, max_atoms=20)
    save_network(GraphTransformer(vocabulary, size), tmp_path / "small.safetensors")
    outcome = molgen(
        "sample", "-n", "3", "--prior", tmp_path / "small.safetensors", "-o", tmp_path / "out.smi"
    )
    assert outcome.code == 0, outcome.err
    drawn = [Chem.MolFromSmiles(s) for s in (tmp_path / "out.smi").read_text().split()]
    assert len(drawn) == 3 and all(mol.GetNumAtoms() <= 20 for mol in drawn)


def test_samples_depend_on_the_seed_alone(prior_file: Path, tmp_path: Path) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        output = tmp_path / "some.smi"
        assert (
            molgen("sample", "-n", "140", "--seed", seed, "--prior", prior_file, "-o", output).code
            == 0
        )
        texts.append(output.read_text())
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0].splitlines()) == 140  # more than one shard


def test_samples_can_be_unique_small_and_around_a_core(prior_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "some.smi"
    common = ("--prior", prior_file, "-o", output)
    molgen("sample", "-n", "60", "--max-heavy-atoms", "2", *common)
    lines = output.read_text().splitlines()
    assert len(set(lines)) < len(lines) == 60
    molgen("sample", "-n", "20", "--max-heavy-atoms", "2", "--unique", *common)
    lines = output.read_text().splitlines()
    assert len(set(lines)) == len(lines) == 20
    molgen("sample", "-n", "12", "--prompt", "[*:1]c1ccncc1", *common)
    pattern = Chem.MolFromSmarts("c1ccncc1")
    lines = output.read_text().splitlines()
    assert len(lines) == 12
    assert all(Chem.MolFromSmiles(line).HasSubstructMatch(pattern) for line in lines)


def test_a_few_samples_of_two_prompts_are_of_both(prior_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "some.smi"
    prompts = ("--prompt", "[*:1]c1ccncc1", "--prompt", "[*:1]S(C)(=O)=O")
    molgen("sample", "-n", "4", *prompts, "--prior", prior_file, "-o", output)
    mols = [Chem.MolFromSmiles(line) for line in output.read_text().split()]
    pyridine, sulfone = Chem.MolFromSmarts("c1ccncc1"), Chem.MolFromSmarts("S(C)(=O)=O")
    assert all(mol.HasSubstructMatch(pyridine) for mol in mols[:2])
    assert all(mol.HasSubstructMatch(sulfone) for mol in mols[2:])


def test_unique_samples_of_a_prompt_with_few_completions_end(
    prior_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "few.smi"
    outcome = molgen(
        "sample", "-n", "500", "--unique", "--prompt", "[*:1]C", "--max-heavy-atoms", "2",
        "--prior", prior_file, "-o", output,
    )  # fmt: skip
    assert outcome.code == 0
    lines = output.read_text().splitlines()
    assert 3 <= len(lines) == len(set(lines)) < 20
    assert {"CC", "CN", "CO"} <= set(lines)
    assert f"{len(lines)} molecules in {output}, of 500 asked for; whatever else" in outcome.out


def test_samples_leave_out_what_is_forbidden_and_say_what_that_cost(
    prior_file: Path, tmp_path: Path
) -> None:
    output, alerts = tmp_path / "some.smi", tmp_path / "alerts.smarts"
    alerts.write_text("[NX3;H2] amine\n")
    outcome = molgen(
        "sample", "-n", "30", "--prompt", "[*:1]C", "--prompt", "[*:1]c1ccccc1", "--per-prompt",
        "--elements", "C,N,O", "--forbid", "C=C", "--forbid-file", alerts, "--top-p", "0.95",
        "--min-heavy-atoms", "4", "--max-heavy-atoms", "12", "--processes", "1",
        "--prior", prior_file, "-o", output,
    )  # fmt: skip
    assert outcome.code == 0
    mols = [Chem.MolFromSmiles(line) for line in output.read_text().split()]
    assert len(mols) == 60
    for smarts in ("C=C", "[NX3;H2]", "[!#6;!#7;!#8]"):
        assert not any(mol.HasSubstructMatch(Chem.MolFromSmarts(smarts)) for mol in mols)
    assert all(mol.GetNumAtoms() <= 12 for mol in mols)
    for mol in mols:  # a smaller one has no hydrogen left but those of the kept methyl
        assert mol.GetNumAtoms() >= 4 or sum(a.GetTotalNumHs() > 0 for a in mol.GetAtoms()) == 1
    summary, *reasons = outcome.out.splitlines()[1:]
    n_started, n_rejected = (int(word) for word in summary.split() if word.isdigit())
    assert n_started - n_rejected == 60
    counts = {reason.split()[1]: int(reason.split()[0]) for reason in reasons}
    assert sum(counts.values()) == n_rejected and set(counts) <= {"C=C", "[NX3;H2]"}


def test_what_sample_cannot_do_is_one_line(prior_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "some.smi"
    common = ("sample", "-n", "1", "-o", output)
    assert "cannot be parsed" in complaint(molgen(*common, "--prior", prior_file, "--prompt", "c1"))
    assert "at most 45" in complaint(
        molgen(*common, "--prior", prior_file, "--max-heavy-atoms", "46")
    )
    assert "nowhere" in complaint(molgen(*common, "--prior", tmp_path / "nowhere"))
    for wrong, part in (("--elements", "Xe"), ("--forbid", "C("), ("--forbid-file", "nowhere")):
        assert part in complaint(molgen(*common, "--prior", prior_file, wrong, part))
    assert "cannot be written" in complaint(
        molgen("sample", "-n", "1", "--prior", prior_file, "-o", tmp_path / "no" / "some.smi")
    )
    assert "name the mode" in complaint(molgen(*common, "--prompt", "c1ccncc1", "--variants", "5"))


# --------------------------------------------------------------------------------------- configs


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_that_is_shipped_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_any(path.relative_to(ROOT), [])
    if isinstance(config, RunConfig) and SHIPPED:
        check_campaign(without_untrained(config))


def test_there_are_configs() -> None:
    assert {"factor_xa", "custom_scorer", "scaffold_decoration", "prior_chembl"} <= {
        p.stem for p in CONFIGS
    }


def test_a_config_can_be_checked_and_shown(config: Path, tmp_path: Path) -> None:
    assert molgen("config", "validate", config).out.strip() == f"{config}: fine"
    shown = molgen("config", "show", config, "seed=9")
    (tmp_path / "shown.yaml").write_text(shown.out)
    assert load_config(tmp_path / "shown.yaml") == load_config(config, ["seed=9"])
    assert "nowhere" in complaint(molgen("config", "validate", config, "generator.prior=nowhere"))


def test_a_pretraining_is_known_by_its_data_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\ndata: {file: nowhere.smi}\n")
    told = molgen("config", "validate", mine).out
    assert "fine, but its data is not at hand: data.file: nowhere.smi not found" in told


def test_a_training_whose_data_is_missing_is_told(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"extends: {ROOT / 'configs/predictors/my_target.yaml'}\n")
    told = molgen("config", "validate", mine, "data.file=nowhere.csv").out
    assert "fine, but its data is not at hand: nowhere.csv does not exist" in told
    prior = ROOT / "configs" / "prior_chembl.yaml"
    told = molgen("config", "validate", prior, "data.file=nowhere.smi").out
    assert "fine, but its data is not at hand: data.file: nowhere.smi not found" in told


@pytest.mark.parametrize("kind", ["campaign", "pretraining", "predictor"])
def test_a_schema_is_printed_for_editors(kind: str) -> None:
    schema = json.loads(molgen("config", "schema", kind).out)
    assert "properties" in schema
    assert "no config kind 'other'" in complaint(molgen("config", "schema", "other"))
