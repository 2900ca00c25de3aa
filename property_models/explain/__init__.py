"""Explanations: which atoms and fragments a prediction comes from, and what would change it.

- `explain`: everything about one prediction
- `attribute_atoms`, `predictor_score`: attributions of atoms, for any predictor
- `fit_additive`: a surrogate with exact attributions
- `gradients.integrated_gradients`: for a network (imports torch; so not named here)
- `fragments`, `fragment_contributions`: pieces of a molecule
- `matched_pairs`, `replacements_of`, `counterfactuals`: one group exchanged
- `draw_attribution`: all that as a picture
- `why_hidden`: when it is not worth showing
"""

from __future__ import annotations

from property_models.additive import AdditiveModel, fit_additive
from property_models.explain.attribution import (
    attribute_atoms,
    attribute_parts,
    attribution_unit,
    blend,
    predictor_score,
)
from property_models.explain.counterfactuals import (
    Counterfactual,
    common_replacements,
    counterfactuals,
    sentence,
)
from property_models.explain.drawing import draw_attribution
from property_models.explain.explanation import Explanation, explain
from property_models.explain.fragments import (
    Fragment,
    FragmentContribution,
    fragment_contributions,
    fragments,
)
from property_models.explain.pairs import MatchedPair, Replacement, matched_pairs, replacements_of
from property_models.explain.reliability import caution, why_hidden

__all__ = [
    "AdditiveModel",
    "Counterfactual",
    "Explanation",
    "Fragment",
    "FragmentContribution",
    "MatchedPair",
    "Replacement",
    "attribute_atoms",
    "attribute_parts",
    "attribution_unit",
    "blend",
    "caution",
    "common_replacements",
    "counterfactuals",
    "draw_attribution",
    "explain",
    "fit_additive",
    "fragment_contributions",
    "fragments",
    "matched_pairs",
    "predictor_score",
    "replacements_of",
    "sentence",
    "why_hidden",
]
