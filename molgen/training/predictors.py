"""Train a predictor from its config: `molgen train-predictor CONFIG`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.config.campaign import LocalExecutorConfig
from molgen.config.predictor import (
    RULES,
    DataConfig,
    ForestConfig,
    KernelConfig,
    PredictorConfig,
    TreesConfig,
)
from molgen.runtime.executor import WorkerPool
from molgen.runtime.executors import make_executor

if TYPE_CHECKING:
    from property_models.datasets import Rows
    from property_models.ensemble import MemberRecipe

# Starting processes and sending them the table takes seconds: a small table is done by then.
MIN_ROWS_FOR_PROCESSES = 500


def train_predictor(
    config: PredictorConfig,
    *,
    out_dir: Path,
    on_metrics: Callable[[dict[str, float], int], None] | None = None,
) -> Path:
    """Trains, calibrates, evaluates and saves the predictor that a config describes.

    Args:
        config: What to train.
        out_dir: The predictor's folder is made in here, named after the endpoint.
        on_metrics: Called with (metrics, step): steps 0 to folds - 1 with the held-out metrics
            of one fold (`fold_...`), then step = folds with those of all folds together.

    Returns:
        The predictor's folder, ready for `property_models.load_predictor`.

    Raises:
        PropertyModelError: The data is missing or unfit for training.
    """
    from property_models.auxiliary import read_auxiliary
    from property_models.fit import fit_predictor
    from property_models.store import save

    endpoint = config.resolved_endpoint()
    rows = read_rows(config)
    names = config.resolved_auxiliary()
    n_processes = config.n_processes if len(rows.smiles) >= MIN_ROWS_FOR_PROCESSES else 1
    predictor = fit_predictor(
        rows,
        endpoint,
        recipes=recipes_of(config),
        n_folds=config.folds,
        weights=config.weights,
        loss=config.loss,
        auxiliary=read_auxiliary(names) if names else None,
        strict=config.strict,
        cluster_split=config.cluster_split,
        seed=config.seed,
        official_test=config.official_test,
        on_metrics=on_metrics,
        map=partial(map_in_processes, n_processes),
    )
    folder = Path(out_dir) / endpoint.name
    save(folder, predictor.card, predictor.parts)
    return folder


class _Worker:
    """Applies one function; lives in a process of its own."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def apply(self, item: Any) -> Any:
        """The function's value."""
        return self._function(item)


def map_in_processes(
    n_processes: int, function: Callable[[Any], Any], items: Iterable[Any], /
) -> Iterator[Any]:
    """Like the built-in map, in processes of one thread each; the order is kept.

    The function is sent to a process once, however much data hangs on it.
    """
    if n_processes == 1:
        yield from map(function, items)
        return
    todo = list(items)
    pool = WorkerPool("fold", partial(_Worker, function), n_processes)
    executor = make_executor(
        LocalExecutorConfig(n_workers=n_processes, max_inflight=max(n_processes, len(todo))),
        [pool],
    )
    try:
        futures = [executor.submit("fold", "apply", item) for item in todo]
        for future in futures:
            yield future.result()
    finally:
        executor.close()


def read_rows(config: PredictorConfig) -> Rows:
    """The table that a config names; PropertyModelError where it is missing or unreadable."""
    from property_models.datasets import read_dataset, read_file

    data = config.data
    if data is None or data.file is None:
        catalogue = config.resolved_endpoint().dataset
        rows = read_dataset(data.dataset if data and data.dataset else catalogue)
        given = data.model_fields_set.intersection(RULES) if data else ()
        changes = {name: getattr(data, name) for name in given if getattr(data, name) is not None}
        return replace(rows, rules=replace(rows.rules, **changes))
    return read_file(
        data.file,
        smiles_column=data.smiles_column,
        value_column=data.value_column,
        licence=data.licence,
        unit=data.unit,
        unit_column=data.unit_column,
        relation_column=data.relation_column,
        year_column=data.year_column,
        assay_column=data.assay_column,
        transform=data.transform,
        rules=_rules(data),
    )


def _rules(data: DataConfig) -> Any:
    from property_models.datasets import CleaningRules, conflict_limit

    limit = data.conflict_limit or conflict_limit(data.transform)
    return CleaningRules(limit, data.conflicts, data.censored)


def recipes_of(config: PredictorConfig) -> list[MemberRecipe]:
    """The members' recipes, in the config's order."""
    return [_recipe(member) for member in config.members]


def _recipe(member: Any) -> MemberRecipe:
    settings = member.model_dump(exclude={"kind"})
    if isinstance(member, TreesConfig):
        from property_models.trees import TreesRecipe

        return TreesRecipe(**settings)
    if isinstance(member, ForestConfig):
        from property_models.trees import ForestRecipe

        return ForestRecipe(**settings)
    if isinstance(member, KernelConfig):
        from property_models.kernel import KernelRecipe

        return KernelRecipe(**settings)
    from property_models.network import NetworkRecipe

    return NetworkRecipe(**settings)
