"""When an explanation is not worth showing: where the model is no better than guessing.

An attribution explains the model, not the molecule. Of a model that does not predict, it is a
coloured picture of noise, and it looks just as convincing. So the card is asked first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from property_models.additive import AdditiveModel
    from property_models.model_card import ModelCard

# Lower end of the 95 % bootstrap interval of the out-of-fold metric, scaffold split.
MIN_AUROC = 0.6
MIN_R2 = 0.1
# Below, more than half of what a model says does not come from local environments.
MIN_FIDELITY = 0.5


def why_hidden(card: ModelCard) -> str:
    """Why no explanation of this predictor is shown; '' where it may be.

    The rule: the lower end of the 95 % interval of AUROC (classification) must reach 0.6, of R2
    (regression) 0.1, on scaffolds that the model had not seen. A card without that interval
    counts as a model that is no better than guessing.
    """
    name, needed = ("auroc", MIN_AUROC) if card.task == "classification" else ("r2", MIN_R2)
    bounds = _interval(card.metrics, name)
    label = {"auroc": "AUROC", "r2": "R²"}[name]
    if bounds is None:
        return f"the model card has no 95 % interval of {label}, so the model may be guessing"
    if bounds[0] < needed:
        return (
            f"the model is hardly better than guessing: {label} on unseen scaffolds is between "
            f"{bounds[0]:.2f} and {bounds[1]:.2f} (95 %), below {needed:g} at its lower end"
        )
    return ""


def caution(in_domain: bool, neighbour_similarity: float) -> str:
    """What to say beside the explanation of one molecule; '' inside the domain."""
    if in_domain:
        return ""
    return (
        "outside the domain of the model (nearest training compound: Tanimoto similarity "
        f"{neighbour_similarity:.2f}); the picture shows an extrapolation"
    )


def trusted(surrogate: AdditiveModel) -> bool:
    """Whether an additive surrogate says enough of the model to be drawn."""
    return surrogate.fidelity >= MIN_FIDELITY  # not a number: False


def _interval(metrics: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    found = metrics.get("intervals_95", {}).get(name)
    if not found or len(found) != 2:
        return None
    return float(found[0]), float(found[1])
