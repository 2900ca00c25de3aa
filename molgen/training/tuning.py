"""Search settings of a predictor's members with Ray Tune: `molgen train-predictor --tune N`.

A large search for each endpoint mostly fits the folds: the defaults are meant to be used as they
are. The configured settings are always among those tried.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.config.predictor import PredictorConfig
from molgen.errors import ConfigError
from molgen.training.predictors import read_rows, recipes_of

if TYPE_CHECKING:
    from property_models.datasets import Table
    from property_models.features import Features

# What is tried for each kind of member; a Gaussian process sets its own by marginal likelihood.
CHOICES: dict[str, dict[str, tuple[float, ...]]] = {
    "boosted_trees": {
        "learning_rate": (0.02, 0.03, 0.04, 0.06),
        "n_leaves": (15, 31, 63),
        "min_compounds_per_leaf": (4, 8, 20),
        "column_share": (0.08, 0.15, 0.3),
        "l2": (0.3, 1.0, 5.0),
    },
    "random_forest": {
        "min_compounds_per_leaf": (1, 2, 4),
        "column_share": (0.03, 0.1, 0.3),
    },
    "tanimoto_kernel": {},
    "network": {
        "n_channels": (96, 128, 192),
        "dropout": (0.05, 0.1, 0.25),
        "learning_rate": (1e-3, 2e-3, 4e-3),
        "weight_decay": (1e-4, 1e-3, 1e-2),
    },
}


def tuned(
    config: PredictorConfig,
    *,
    n_settings: int,
    on_setting: Callable[[int, float], None] | None = None,
) -> PredictorConfig:
    """The config with the best of some settings of its members.

    Each setting is judged by cross-validation on clusters of similar compounds: root mean
    squared or mean absolute error (`loss`), or the Brier score. Sister assays take no part.

    Args:
        config: What to train.
        n_settings: Settings tried, the config's own among them; the rest are drawn by `seed`.
        on_setting: Called with (number of the setting from 0, its error) at the end of each.

    Raises:
        ConfigError: A setting failed; names it and the reason.
        PropertyModelError: The data is missing or unfit for training.
    """
    from ray import tune

    from property_models.cleaning import clean
    from property_models.features import featurise
    from property_models.splits import cluster_folds

    table = clean(read_rows(config), task=config.resolved_endpoint().task)
    features = featurise([m.mol for m in table.molecules if m.mol is not None])
    fold = cluster_folds(table, config.folds)
    settings = [config, *drawn(config, n_settings - 1)]
    with _ray(config.n_processes), tempfile.TemporaryDirectory() as folder:
        trial = tune.with_parameters(
            _trial, settings=settings, features=features, table=table, fold=fold
        )
        tuner = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"number": tune.grid_search(list(range(len(settings))))},
            tune_config=tune.TuneConfig(max_concurrent_trials=config.n_processes),
            run_config=tune.RunConfig(storage_path=str(Path(folder).resolve()), verbose=0),
        )
        errors = _errors(tuner.fit(), settings)
    for number, error in enumerate(errors):
        if on_setting is not None:
            on_setting(number, error)
    return settings[int(np.argmin(errors))]


@contextmanager
def _ray(n_cpus: int) -> Iterator[None]:
    """A Ray that this process already uses, else one on this machine that ends with it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(
        "local",
        num_cpus=max(os.cpu_count() or 1, n_cpus),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield
    finally:
        ray.shutdown()


def drawn(config: PredictorConfig, n: int) -> list[PredictorConfig]:
    """Configs with other settings of the members; the same seed draws the same."""
    rng = np.random.default_rng(config.seed)
    found = []
    for _ in range(n):
        members = []
        for member in config.members:
            choices = CHOICES[member.kind]
            changed = {name: values[rng.integers(len(values))] for name, values in choices.items()}
            members.append(type(member).model_validate({**member.model_dump(), **changed}))
        found.append(config.model_copy(update={"members": tuple(members)}))
    return found


def _trial(
    wanted: dict[str, int],
    settings: Sequence[PredictorConfig],
    features: Features,
    table: Table,
    fold: Any,
) -> None:
    from ray import tune

    tune.report({"error": held_out_error(settings[wanted["number"]], features, table, fold)})


def held_out_error(config: PredictorConfig, features: Features, table: Table, fold: Any) -> float:
    """Error of the stacked out-of-fold scores of a config; lower is better."""
    from property_models import evaluate
    from property_models.cross_validation import cross_validate

    task = config.resolved_endpoint().task
    held_out = cross_validate(
        recipes_of(config),
        features,
        table.values,
        fold=fold,
        task=task,
        seed=config.seed,
        weights=config.weights,
        loss=config.loss,
    )
    if task == "classification":
        return evaluate.brier(table.values, held_out.score)
    judge = evaluate.rmse if config.loss == "mse" else evaluate.mae
    return judge(table.values, held_out.score)


def _errors(results: Any, settings: Sequence[PredictorConfig]) -> list[float]:
    errors = [float("nan")] * len(settings)
    for result in results:
        number = result.config["number"]
        if result.error is not None:
            raise ConfigError(
                f"--tune: setting {number} failed ({result.error}); "
                f"its members: {[m.model_dump() for m in settings[number].members]}"
            )
        errors[number] = float(result.metrics["error"])
    return errors
