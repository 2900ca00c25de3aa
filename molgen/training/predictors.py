"""Train a predictor from its config: `molgen train-predictor CONFIG`."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.config.predictor import KernelConfig, PredictorConfig, TreesConfig

if TYPE_CHECKING:
    from property_models.datasets import Rows
    from property_models.ensemble import MemberRecipe


def train_predictor(
    config: PredictorConfig,
    *,
    out_dir: Path,
    on_metrics: Callable[[dict[str, float], int], None] | None = None,
    map: Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]] = builtins.map,
) -> Path:
    """Trains, calibrates, evaluates and saves the predictor that a config describes.

    Args:
        config: What to train.
        out_dir: The predictor's folder is made in here, named after the endpoint.
        on_metrics: Called with (metrics, step): steps 0 to folds - 1 with the held-out metrics
            of one fold (`fold_...`), then step = folds with those of all folds together.
        map: Runs the folds; give an executor's ordered map to run them in other processes.

    Returns:
        The predictor's folder, ready for `property_models.load_predictor`.

    Raises:
        PropertyModelError: The data is missing or unfit for training.
    """
    from property_models.fit import fit_predictor
    from property_models.store import save

    endpoint = config.resolved_endpoint()
    predictor = fit_predictor(
        _rows(config, endpoint.dataset),
        endpoint,
        recipes=[_recipe(member) for member in config.members],
        n_folds=config.folds,
        seed=config.seed,
        official_test=config.official_test,
        on_metrics=on_metrics,
        map=map,
    )
    folder = Path(out_dir) / endpoint.name
    save(folder, predictor.card, predictor.parts)
    return folder


def _rows(config: PredictorConfig, catalogue_dataset: str) -> Rows:
    from property_models.datasets import read_dataset, read_file

    data = config.data
    if data is None or data.file is None:
        return read_dataset(data.dataset if data and data.dataset else catalogue_dataset)
    return read_file(
        data.file,
        smiles_column=data.smiles_column,
        value_column=data.value_column,
        licence=data.licence,
    )


def _recipe(member: Any) -> MemberRecipe:
    settings = member.model_dump(exclude={"kind"})
    if isinstance(member, TreesConfig):
        from property_models.trees import TreesRecipe

        return TreesRecipe(**settings)
    if isinstance(member, KernelConfig):
        from property_models.kernel import KernelRecipe

        return KernelRecipe(**settings)
    from property_models.network import NetworkRecipe

    return NetworkRecipe(**settings)
