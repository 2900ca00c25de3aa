"""`molgen pretrain` and `molgen train-predictor` on a terminal: progress, numbers, where to look.

Both log to the MLflow store beside their output, so that trainings can be compared.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from molgen.config.base import Section
from molgen.config.loading import load_config
from molgen.config.predictor import PredictorConfig
from molgen.config.pretraining import PretrainingConfig
from molgen.errors import ConfigError, DataError
from molgen.runtime.tracking import Tracker, default_uri

if TYPE_CHECKING:
    from molgen.training.loop import Progress as TrainingProgress

_PLAIN_EVERY_S = 30.0  # between lines where there is no terminal
_RUN_ID_FILE = "mlflow_run_id"


def run_pretraining(config_path: Path, overrides: Sequence[str], out: Path | None) -> None:
    """Train a generator, or go on where a training in the same folder stopped.

    Args:
        config_path: a pretraining config.
        overrides: `dotted.key=value` texts.
        out: folder of the training; None: runs/<name>.

    Raises:
        ConfigError: the config is wrong, or the folder cannot be written or holds another
            training.
        DataError: the structures cannot be read.
    """
    from molgen.training.pretraining import pretrain

    config = load_config(config_path, overrides, kind=PretrainingConfig)
    folder = Path("runs") / config.name if out is None else out
    _check_data(config, folder)
    _make(folder)
    print(f"pretraining {config.name}, seed {config.seed}, in {folder}", flush=True)
    run_id_file = folder / _RUN_ID_FILE
    run_id = run_id_file.read_text().strip() if run_id_file.is_file() else None

    def keep(run_id: str) -> None:
        run_id_file.write_text(run_id + "\n")

    with _tracker(folder, "molgen-pretraining", folder.name, run_id, keep) as tracker:
        tracker.params(_flat(config))
        try:
            with _bar() as bar:
                weights = pretrain(
                    config, folder,
                    on_progress=_show_training(bar), on_packing=_show_packing(bar),
                    on_metrics=_note_validation(bar, tracker),
                )  # fmt: skip
        except KeyboardInterrupt:
            command = _command("pretrain", config_path, overrides, out)
            learnt = any(folder.glob("checkpoint/*"))
            state = "what it has learnt is saved" if learnt else "it has learnt nothing yet"
            print(f"{state}; go on with: {command}", file=sys.stderr)
            raise
        card_file = weights.with_name("card.json")
        tracker.artifact(card_file)
    card = json.loads(card_file.read_text())
    _close_pretraining(card, config, _command("pretrain", config_path, overrides, out))
    print(f"weights: {weights}\ncard: {card_file}")
    print(f"sample from them: molgen sample --prior {weights} -n 100 -o samples.smi")


def pack_for_pretraining(config_path: Path, overrides: Sequence[str], out: Path | None) -> None:
    """Write the packed file of a training and say how to train on it elsewhere.

    Args:
        config_path: a pretraining config.
        overrides: `dotted.key=value` texts.
        out: folder of the training; None: runs/<name>.

    Raises:
        ConfigError: the config is wrong, or the folder cannot be written.
        DataError: the structures cannot be read.
    """
    from molgen.training.pretraining import pack_once

    config = load_config(config_path, overrides, kind=PretrainingConfig)
    if config.start_from is not None:
        raise ConfigError(
            "--pack-only: a packed file holds no weights, so nothing could start_from "
            f"{config.start_from} elsewhere; begin with `molgen pretrain` here"
        )
    folder = Path("runs") / config.name if out is None else out
    _check_data(config, folder)
    _make(folder)
    with _bar() as bar:
        packed = pack_once(config, folder, on_packing=_show_packing(bar))
    file = folder / "packed.npz"
    print(f"{_usable(packed.info)}\npacked file: {file} ({file.stat().st_size / 1e6:.1f} MB)")
    print(f"train on it: python -m molgen.training.slices --packed {file} --out {folder}")


def _check_data(config: PretrainingConfig, folder: Path) -> None:
    """Raise, before anything is made, where a training's data or first weights cannot be read."""
    from molgen.training.loop import PACKED_FILE, starting_network
    from molgen.training.pretraining import read_structures

    starting_network(config.start_from)
    if not (folder / PACKED_FILE).exists():  # packed molecules need no file
        read_structures(config.data)


def missing_data(config: Section) -> str:
    """Which table of a training is not here; '' where it is.

    Raises:
        DataError: its structures are here, and cannot be read.
        ModelFileError: the weights that it starts from cannot be read.
        PropertyModelError: its measurements are here, and cannot be read.
    """
    from molgen.training.loop import starting_network
    from molgen.training.predictors import read_rows
    from molgen.training.pretraining import find_structures, read_structures
    from property_models.errors import MissingDataError

    if isinstance(config, PretrainingConfig):
        starting_network(config.start_from)
        try:
            find_structures(config.data.file)
        except DataError as error:
            return str(error)
        read_structures(config.data)
    elif isinstance(config, PredictorConfig):
        try:
            read_rows(config)
        except MissingDataError as error:
            return str(error)
    return ""


def run_predictor_training(
    config_path: Path, overrides: Sequence[str], out: Path, *, n_settings: int = 1
) -> None:
    """Train, calibrate and evaluate a predictor.

    Args:
        config_path: a predictor config.
        overrides: `dotted.key=value` texts.
        out: folder of predictors; the new one's folder in it is named after the endpoint.
        n_settings: settings of the members to try first, the config's own among them.

    Raises:
        ConfigError: the config is wrong, or the folder cannot be written.
        property_models.errors.PropertyModelError: the data is missing or unfit for training.
    """
    from molgen.training.predictors import train_predictor

    config = load_config(config_path, overrides, kind=PredictorConfig)
    name = config.resolved_endpoint().name
    _make(out)
    if n_settings > 1:
        from molgen.training.tuning import tuned

        print(f"trying {n_settings} settings of the members, by clusters of compounds", flush=True)
        config = tuned(
            config, n_settings=n_settings, on_setting=lambda n, e: print(f"  {n}: error {e:.4f}")
        )
    print(f"training a predictor of {name}, seed {config.seed}, in {out / name}", flush=True)
    with _tracker(out, "molgen-predictors", name) as tracker:
        tracker.params(_flat(config))
        try:
            with _bar() as bar:
                show = _show_folds(bar, config.folds)

                def on_metrics(metrics: dict[str, float], step: int) -> None:
                    tracker.metrics(metrics, step)
                    show(metrics, step)

                folder = train_predictor(config, out_dir=out, on_metrics=on_metrics)
        except KeyboardInterrupt:
            print(
                f"{out / name} is as it was; start again with: "
                + _command("train-predictor", config_path, overrides, out),
                file=sys.stderr,
            )
            raise
        card = json.loads((folder / "card.json").read_text())
        tracker.metrics(_card_metrics(card), config.folds)
        _register(tracker, card, folder)
    _close_predictor(card, folder, out)


def _card_metrics(card: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a card's splits and tests under flat names."""
    parts = {
        "": card["metrics"],
        "cluster_": card["metrics"].get("cluster", {}),
        "official_test_": card["official_test"].get("all", {}),
    }
    return {
        f"{prefix}{name}": float(value)
        for prefix, part in parts.items()
        for name, value in part.items()
        if isinstance(value, int | float)
    }


def _register(tracker: Tracker, card: Mapping[str, Any], folder: Path) -> None:
    """Makes the predictor a version of the registered model that bears its endpoint's name."""
    regression = card["task"] == "regression"
    metric = "rmse" if regression else "auroc"
    tracker.register(
        card["endpoint"],
        folder,
        metric=metric,
        value=card["metrics"].get(metric, float("nan")),
        higher_is_better=not regression,
        data_sha256=str(card["data"].get("sha256", "")),
    )


# -- at the end -----------------------------------------------------------------------------


def _close_pretraining(card: Mapping[str, Any], config: PretrainingConfig, command: str) -> None:
    print(_usable(card["data"]))
    n_seen, n_wanted = card["n_molecules_seen"], config.training.n_molecules
    line = f"{n_seen:,} molecules seen in {card['hours']:.2f} hours"
    if card["history"]:
        line += f"; {card['history'][-1]['validation_nats']:.2f} nats a molecule in validation"
    print(line)
    if n_seen < n_wanted:
        print(f"stopped by training.time_limit_s before {n_wanted:,}; go on with: {command}")


def _usable(info: Mapping[str, Any]) -> str:
    """How many of the structures were used, and why not the others."""
    line = f"{info['n_molecules']:,} of {info['n_lines']:,} structures used"
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in info["left_out"].items())
    return line + (f"; left out: {reasons}" if reasons else "")


def _close_predictor(card: Mapping[str, Any], folder: Path, out: Path) -> None:
    n_compounds = card["data"]["n_used"]
    print(f"{card['endpoint']}: {n_compounds:,} compounds, each predicted from other scaffolds:")
    for name, value in card["metrics"].items():
        if isinstance(value, int | float):
            interval = card["metrics"]["intervals_95"].get(name)
            between = f"   95 % between {interval[0]:.3f} and {interval[1]:.3f}" if interval else ""
            print(f"  {name:<16} {value:.3f}{between}")
    test = card["official_test"]
    if test:
        print(f"  official test set: {test['metric']} {test['value']:.3f}")
        if "peer_value" in test:  # for many data sets nobody has published a result
            print(f"  to compare: {test['peer_value']}, {test['peer']}")
    worst = card["metrics"].get("worst_slice")
    if worst:
        print(f"  errs most on: {worst['slice']} ({worst['n']:,} compounds)")
    print(f"card: {folder / 'card.json'}, to read: {folder / 'card.html'}")
    print(
        f"use it: molgen predict molecules.csv -o predicted.csv --folder {out} "
        f"--endpoints {card['endpoint']}"
    )


def _command(name: str, config: Path, overrides: Sequence[str], out: Path | None) -> str:
    import shlex

    options = [] if out is None else ["--out", str(out)]
    return shlex.join(["molgen", name, str(config), *overrides, *options])


# -- while it runs --------------------------------------------------------------------------


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar that shows nothing where there is no terminal."""
    console = Console()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(), console=console, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        yield bar


def _show_packing(bar: Progress) -> Callable[[int, int], None]:
    task = bar.add_task("packing", total=None, visible=False)
    say = _sometimes(bar)

    def show(done: int, total: int) -> None:
        text = f"packing structures: {done:,} of {total:,}"
        bar.update(task, description=text, completed=done, total=total, visible=True)
        say(text, done == total)

    return show


def _show_training(bar: Progress) -> Callable[[TrainingProgress], None]:
    task = bar.add_task("training", total=None, visible=False)
    say = _sometimes(bar)

    def show(p: TrainingProgress) -> None:
        text = f"{p.n_molecules:,} molecules, {p.nats:.2f} nats, {p.molecules_per_s:.0f} a second"
        bar.update(task, description=text, completed=p.n_molecules, total=p.n_total, visible=True)
        left_s = (p.n_total - p.n_molecules) / max(p.molecules_per_s, 1e-9)
        say(f"{text}, {left_s / 60:.0f} minutes left", p.n_molecules >= p.n_total)

    return show


def _note_validation(bar: Progress, tracker: Tracker) -> Callable[[dict[str, float], int], None]:
    """Validation into MLflow and onto the screen: it tells when a training begins to copy."""

    def note(metrics: dict[str, float], n_molecules: int) -> None:
        tracker.metrics(metrics, n_molecules)
        nats = metrics["validation_nats"]
        bar.console.print(f"{n_molecules:,} molecules: {nats:.2f} nats a molecule in validation")

    return note


def _show_folds(bar: Progress, n_folds: int) -> Callable[[dict[str, float], int], None]:
    # After the folds the members are fitted once more, on all rows.
    task = bar.add_task(f"fold 1 of {n_folds}", total=n_folds + 1)

    def show(metrics: dict[str, float], step: int) -> None:
        numbers = ", ".join(f"{k.removeprefix('fold_')} {v:.3f}" for k, v in metrics.items())
        if step < n_folds:
            text = f"fold {step + 1} of {n_folds}: {numbers}"
            bar.update(task, completed=step + 1, description=text)
        else:
            text = "fitting on all compounds"
            bar.update(task, description=text)
        if bar.disable:
            print(text, flush=True)

    return show


def _sometimes(bar: Progress) -> Callable[[str, bool], None]:
    """Prints a line now and then where the bar is not shown, and always the last one."""
    said = float("-inf")

    def say(text: str, last: bool) -> None:
        nonlocal said
        now = time.monotonic()
        if bar.disable and (last or now - said > _PLAIN_EVERY_S):
            print(text, flush=True)
            said = now

    return say


# -- around it ------------------------------------------------------------------------------


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be written ({error.strerror})") from error


def _tracker(
    folder: Path, experiment: str, run_name: str, run_id: str | None = None,
    on_new_run: Callable[[str], None] = lambda run_id: None,
) -> Tracker:  # fmt: skip
    uri = default_uri(folder.resolve().parent)
    return Tracker(
        uri=uri, experiment=experiment, run_name=run_name, run_id=run_id, on_new_run=on_new_run
    )


def _flat(config: Section) -> dict[str, Any]:
    """A config's values under dotted names."""
    import pandas as pd

    flat: dict[str, Any] = pd.json_normalize(config.model_dump(mode="json")).iloc[0].to_dict()
    return flat
