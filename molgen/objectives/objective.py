"""The objective: molecules in, a table of values, desirabilities and rewards out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molgen.config.objective import (
    CommandComponent,
    HttpComponent,
    ObjectiveConfig,
    PredictorComponent,
    PythonComponent,
    component_columns,
    component_name,
)
from molgen.objectives.aggregation import aggregate
from molgen.objectives.components import ComponentValues, build_component
from molgen.objectives.desirability import desirability
from molgen.objectives.external import Oracle, make_oracle
from molgen.objectives.filters import apply_filters, build_filters
from molgen.objectives.known import known_compounds, load_sources, source_of
from molgen.objectives.molecules import Molecules, parse_all


class Objective:
    """Filters and scores molecules as a config says.

    A row's result depends on its molecule alone, whatever stands beside it in the batch (a user's
    own scorer has to keep that promise itself). Holds predictors and the processes of external
    scorers: `close` it, or use it as a context manager.

    Attributes:
        columns: Columns of `score` besides reward, status and reason, in order.
        failed_components: Names of the external scorers that answered no batch of the last call
            of `score`, after all retries.
    """

    def __init__(self, config: ObjectiveConfig, *, predictors_root: Path) -> None:
        """Load and connect everything; nothing is computed yet.

        Args:
            config: Filters, components, aggregation.
            predictors_root: Folder with one folder per predictor, for parts that name none.

        Raises:
            ConfigError: A predictor, a program or a function does not exist.
            property_models.errors.ModelFileError: A predictor's files are damaged.
        """
        self._config = config
        sources = load_sources(config, predictors_root)
        known = known_compounds(sources)
        self._predictors = {
            part.endpoint: sources[source_of(part, predictors_root)]
            for part in config.components
            if isinstance(part, PredictorComponent)
        }
        self._checks = build_filters(config.filters, known, predictors_root=predictors_root)
        self._oracles: dict[str, Oracle] = {
            component_name(part): make_oracle(part)
            for part in config.components
            if isinstance(part, CommandComponent | HttpComponent | PythonComponent)
        }
        self._evaluators = {
            component_name(part): build_component(
                part,
                known,
                self._oracles.get(component_name(part)),
                predictors_root=predictors_root,
            )
            for part in config.components
        }
        self.columns = [column for part in config.components for column in component_columns(part)]
        self.failed_components: set[str] = set()

    def filter(self, smiles: Sequence[str]) -> list[str]:
        """Say which molecules are worth scoring.

        Returns:
            Per molecule '' where it passes, else the reason, which starts with the kind of filter:
            'alerts: PAINS quinone_A(370)', 'invalid: empty SMILES'.
        """
        return apply_filters(self._checks, parse_all(smiles))

    def score(self, smiles: Sequence[str]) -> pd.DataFrame:
        """Score molecules.

        Returns:
            One row per input, in order. `reward` in [0, 1], 1 is best, NaN where any component has
            no value; `status` 'scored' or 'unscored'; `reason` '' or which component has no value
            and why; then `columns`: per component its raw value and `<name>_desirability`, for
            predictors also interval, domain and nearest measured compound, for alerts their names.
            `attrs["failed_components"]` lists `failed_components`, so that they travel with the
            table from a worker.
        """
        molecules = parse_all(smiles)
        predictions = self._predict(molecules)
        values = {
            name: evaluate(molecules, predictions) for name, evaluate in self._evaluators.items()
        }
        self.failed_components = {name for name, found in values.items() if found.all_failed}
        return self._table(molecules, values)

    def close(self) -> None:
        """End the external scorers' processes."""
        with ExitStack() as stack:
            for oracle in self._oracles.values():
                stack.callback(oracle.close)

    def __enter__(self) -> Objective:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _predict(self, molecules: Molecules) -> pd.DataFrame:
        """All endpoints in one pass; their features are computed once."""
        if not self._predictors:
            return pd.DataFrame()
        from property_models import predict_table

        return predict_table(self._predictors, molecules.smiles)

    def _table(self, molecules: Molecules, values: dict[str, ComponentValues]) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        desirabilities = []
        for part in self._config.components:
            name = component_name(part)
            found = values[name]
            height = found.desirability
            if height is None:
                height = desirability(part.desirability, found.raw)
            desirabilities.append(height)
            columns |= {name: found.raw, f"{name}_desirability": height, **found.extra}
        rewards = aggregate(
            desirabilities,
            [part.weight for part in self._config.components],
            how=self._config.aggregation,
        )
        table = pd.DataFrame(
            {
                "reward": rewards,
                "status": np.where(np.isnan(rewards), "unscored", "scored"),
                "reason": _reasons(molecules, values),
                **{column: columns[column] for column in self.columns},
            },
            index=range(len(molecules)),
        )
        table.attrs["failed_components"] = sorted(self.failed_components)
        return table


def _reasons(molecules: Molecules, values: dict[str, ComponentValues]) -> list[str]:
    """Per molecule '' or every component without a value and why, joined by '; '."""
    missing = {name: np.isnan(found.raw) for name, found in values.items()}
    return [
        unreadable
        or "; ".join(
            f"{name}: {values[name].reasons[i] or 'no value'}"
            for name, mask in missing.items()
            if mask[i]
        )
        for i, unreadable in enumerate(molecules.reasons)
    ]


def make_objective(config: ObjectiveConfig, predictors_root: Path) -> Objective:
    """`Objective` as a picklable recipe for workers."""
    return Objective(config, predictors_root=predictors_root)


def check_objective(config: ObjectiveConfig, predictors_root: Path) -> None:
    """Raise what building the objective would raise, before any work starts; see `Objective`."""
    make_objective(config, predictors_root).close()
