"""One call: why a predictor says what it says of one molecule, or why that is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from property_models.explain.attribution import (
    Hiding,
    attribute_atoms,
    attribution_unit,
    blend,
    predictor_score,
)
from property_models.explain.counterfactuals import Counterfactual, counterfactuals
from property_models.explain.drawing import draw_attribution
from property_models.explain.fragments import FragmentContribution, fragment_contributions
from property_models.explain.reliability import caution, trusted, why_hidden
from property_models.molecules import standardise

if TYPE_CHECKING:
    from property_models.additive import AdditiveModel
    from property_models.endpoints import Endpoint
    from property_models.explain.pairs import Replacement
    from property_models.predictor import Predictor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """What there is to say about one prediction.

    Attributes:
        smiles: The molecule as it was predicted; as given where it could not be.
        endpoint: What was predicted.
        value: Predicted; NaN where there is no prediction.
        low: Lower end of its interval.
        high: Upper end.
        neighbour: First InChIKey block of the nearest training compound.
        neighbour_similarity: Tanimoto similarity to it.
        neighbour_value: Its measured value.
        neighbour_bound: '<' or '>' where its true value lies below or above, else ''.
        hidden: Why there is no explanation; '' where there is one.
        caution: What to bear in mind; '' inside the domain.
        unit: Of the attributions.
        mol: The molecule whose atoms are attributed; None where hidden.
        atoms: Attribution of each atom, shape (n_atoms,); empty where hidden.
        fragments: Contributions of its pieces, the largest first.
        counterfactuals: Neighbours with one replaced group, supported changes first.
    """

    smiles: str
    endpoint: Endpoint
    value: float
    low: float
    high: float
    neighbour: str
    neighbour_similarity: float
    neighbour_value: float
    hidden: str
    caution: str
    unit: str
    mol: Chem.Mol | None = None
    atoms: Array = field(default_factory=lambda: np.empty(0))
    fragments: list[FragmentContribution] = field(default_factory=list)
    counterfactuals: list[Counterfactual] = field(default_factory=list)
    neighbour_bound: str = ""

    def svg(self, *, width_px: int = 360, height_px: int = 260) -> str:
        """The molecule with its attributions drawn; '' where hidden."""
        if self.mol is None:
            return ""
        return draw_attribution(
            self.mol, self.atoms, unit=self.unit, higher_is=self.endpoint.higher_is,
            width_px=width_px, height_px=height_px,
        )  # fmt: skip


def explain(
    predictor: Predictor,
    smiles: str,
    *,
    replacements: Sequence[Replacement] | None = None,
    additive: AdditiveModel | None = None,
    hiding: Hiding = "wildcard",
) -> Explanation:
    """Explains a predictor's answer for one molecule.

    Args:
        predictor: The model.
        smiles: The molecule. One that cannot be predicted raises nothing: `hidden` says why.
        replacements: For counterfactuals; None: the common ones.
        additive: Surrogate of the same predictor, whose attributions are blended with masking;
            None: the one kept with the predictor. Where there is none, or its `fidelity` is below
            `reliability.MIN_FIDELITY`, masking is all.
        hiding: How atoms are hidden; see `attribution`.
    """
    prediction = predictor.predict([smiles])
    molecule = standardise(smiles)
    known = {
        "smiles": molecule.smiles or str(smiles),
        "endpoint": predictor.endpoint,
        "value": float(prediction.value[0]),
        "low": float(prediction.low[0]),
        "high": float(prediction.high[0]),
        "neighbour": prediction.neighbour_inchikey[0],
        "neighbour_similarity": float(prediction.neighbour_similarity[0]),
        "neighbour_value": float(prediction.neighbour_value[0]),
        "neighbour_bound": prediction.neighbour_bound[0],
        "unit": attribution_unit(predictor.endpoint),
    }
    hidden = prediction.reasons[0] or why_hidden(predictor.card)
    if hidden or molecule.mol is None:
        return Explanation(**known, hidden=hidden, caution="")  # type: ignore[arg-type]  # mixed dict
    score = predictor_score(predictor)
    atoms = attribute_atoms([molecule.mol], score, hiding=hiding)
    surrogate = additive or predictor.parts.additive
    if surrogate is not None and trusted(surrogate):
        atoms = blend(atoms, surrogate.attribute([molecule.mol]))
    return Explanation(
        **known,  # type: ignore[arg-type]  # mixed dict
        hidden="",
        caution=caution(bool(prediction.in_domain[0]), float(prediction.neighbour_similarity[0])),
        mol=molecule.mol,
        atoms=atoms[0],
        fragments=fragment_contributions([molecule.mol], atoms, score, hiding=hiding)[0],
        counterfactuals=counterfactuals(predictor, molecule.smiles, replacements=replacements),
    )
