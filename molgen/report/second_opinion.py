"""What another model says of the candidates: a guard against a search that fools its predictor.

A search finds what its predictor overrates. A model of the same endpoint that was trained by
another method or on other data errs elsewhere, so candidates that both rate well deserve more
trust than those that the run's own predictor alone rates well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from molgen.config.campaign import RunConfig
from molgen.config.objective import PredictorComponent
from molgen.errors import ConfigError
from molgen.report.charts import scatter
from molgen.report.wording import interval_name, number, plural, predicted
from property_models import load_predictors
from property_models.errors import PropertyModelError
from property_models.predictor import Predictor, available, predict_table

SHIPPED_SECOND_OPINIONS = Path(__file__).parents[1] / "artifacts" / "second_opinions"


@dataclass(frozen=True)
class Opinion:
    """The two models' values of the candidates, compared.

    Attributes:
        endpoint: Which.
        sentence: What came out.
        chart: One value against the other.
    """

    endpoint: str
    sentence: str
    chart: Markup


def second_opinions(
    candidates: pd.DataFrame, config: RunConfig
) -> tuple[pd.DataFrame, list[Opinion]]:
    """Ask the other models.

    Args:
        candidates: Ledger rows with their rank.
        config: Of the run; `report.second_opinions` names the folder of the other models.

    Returns:
        The candidates with `<endpoint>_second` and `<endpoint>_second_in_domain` for each endpoint
        of which there is another model, and the comparisons. Models that cannot be read cost the
        run nothing but this: the only comparison then says why.
    """
    if not len(candidates):
        return candidates, []
    try:
        others = other_models(config)
    except ConfigError as error:
        return candidates, [Opinion("", f"No other model was asked: {error}.", Markup())]
    if not others:
        return candidates, []
    asked = list(others)
    found = predict_table(others, list(candidates["smiles"]))
    for name in asked:
        candidates = candidates.assign(**{
            f"{name}_second": found[name].to_numpy(),
            f"{name}_second_in_domain": found[f"{name}_in_domain"].to_numpy(),
        })  # fmt: skip
    return candidates, [_compared(candidates, name, others) for name in asked]


def other_models(config: RunConfig) -> dict[str, Predictor]:
    """The other models of the objective's endpoints, by endpoint.

    Raises:
        ConfigError: The folder that the config names cannot be used, a model of it cannot be read,
            or has another unit than the run's.
    """
    folder = config.report.second_opinions
    root = SHIPPED_SECOND_OPINIONS if folder is None else Path(folder)
    parts = [c for c in config.objective.components if isinstance(c, PredictorComponent)]
    # What the shipped models know of is the shipped predictors' endpoint, not a user's namesake.
    asked = {c.endpoint: c for c in parts if folder or c.folder is None}
    try:
        there = set(available(root)) if root.is_dir() or folder is not None else set()
        others = load_predictors(root, [name for name in asked if name in there])
    except PropertyModelError as error:
        raise ConfigError(f"report.second_opinions: {error}") from error
    for name, other in others.items():
        own = predicted(asked[name])
        if own is not None and own.unit != other.card.unit:
            raise ConfigError(
                f"report.second_opinions: {name} there is in {other.card.unit or 'no unit'}, the "
                f"objective's in {own.unit or 'no unit'}; name models of the same values"
            )
    return others


def _compared(candidates: pd.DataFrame, name: str, others: Mapping[str, Predictor]) -> Opinion:
    card = others[name].card
    first = candidates[name].to_numpy(np.float64)
    second = candidates[f"{name}_second"].to_numpy(np.float64)
    low, high = (candidates[f"{name}_{end}"].to_numpy(np.float64) for end in ("low", "high"))
    both = np.isfinite(first) & np.isfinite(second)
    outside = both & ((second < low) | (second > high))
    kinds = " and ".join(dict.fromkeys(str(m["kind"]).replace("_", " ") for m in card.members))
    unit = f" {card.unit}" if card.unit else ""
    learnt = plural(int(card.data["n_used"]), "compound")
    n_outside = plural(int(outside.sum()), "candidate")
    interval = interval_name(card.task)
    sentence = (
        f"{name}: another model ({kinds}, trained on {learnt}) puts the mean of "
        f"{plural(int(both.sum()), 'candidate')} at {_mean(second[both])}{unit}, the run's own "
        f"predictor at {_mean(first[both])}. For {n_outside} the other value lies outside the "
        f"predictor's {interval}."
    )
    chart = scatter(
        first, second, low, high, title=f"{name}: two models",
        names=(f"the run's predictor, with its {interval}", "the other model"),
    )  # fmt: skip
    return Opinion(name, sentence, chart)


def _mean(values: NDArray[np.float64]) -> str:
    return number(float(values.mean())) if len(values) else "no value"
