"""What would change the prediction: neighbours of a molecule that differ in one group.

"Replace Cl by F: hERG 0.71 -> 0.44". Groups are exchanged by replacements seen in measured
matched pairs (`pairs.replacements_of`) or by the list of common ones below, each product is
predicted with its interval, and only where the intervals support it is a change called one.

An exchanged group may bear or lose a stereocentre, so stereochemistry is left out of both sides:
the neighbours are compared with the molecule written without it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem

from property_models.errors import DataError
from property_models.explain.pairs import HYDROGEN, Replacement, cuts, join
from property_models.molecules import canonical_smiles, standardise, standardise_all

if TYPE_CHECKING:
    from property_models.endpoints import Direction
    from property_models.predictor import Prediction, Predictor

MIN_PROBABILITY_CHANGE = 0.1  # a smaller step of a probability decides nothing
_Z_90 = 1.645  # a normal variable is within so many deviations with 90 % probability

# Groups that medicinal chemists exchange for one another, by name.
GROUPS: dict[str, str] = {
    "H": HYDROGEN, "F": "F[*:1]", "Cl": "Cl[*:1]", "Br": "Br[*:1]", "CH3": "C[*:1]",
    "CF3": "FC(F)(F)[*:1]", "CN": "N#C[*:1]", "OCH3": "CO[*:1]", "OH": "O[*:1]", "NH2": "N[*:1]",
    "OCF3": "FC(F)(F)O[*:1]", "OCHF2": "FC(F)O[*:1]", "CHF2": "FC(F)[*:1]",
    "SO2CH3": "CS(=O)(=O)[*:1]", "NO2": "O=[N+]([O-])[*:1]", "CONH2": "NC(=O)[*:1]",
    "COOH": "O=C(O)[*:1]", "tetrazole": "c1([*:1])nnn[nH]1", "SO2NH2": "NS(=O)(=O)[*:1]",
    "COOCH3": "COC(=O)[*:1]", "CONHCH3": "CNC(=O)[*:1]", "NHAc": "CC(=O)N[*:1]",
    "ethyl": "CC[*:1]", "isopropyl": "CC(C)[*:1]", "cyclopropyl": "C1CC1[*:1]",
    "tert-butyl": "CC(C)(C)[*:1]", "cyclobutyl": "C1CC([*:1])C1", "oxetan-3-yl": "C1OCC1[*:1]",
    "NHCH3": "CN[*:1]", "N(CH3)2": "CN(C)[*:1]", "morpholine": "C1COCCN1[*:1]",
    "pyrrolidine": "C1CCN([*:1])C1", "piperidine": "C1CCN([*:1])CC1",
    "piperazine": "C1CN([*:1])CCN1", "N-methylpiperazine": "CN1CCN([*:1])CC1",
    "azetidine": "C1CN([*:1])C1",
    "phenyl": "c1ccc([*:1])cc1", "2-pyridyl": "c1ccc([*:1])nc1", "3-pyridyl": "c1cncc([*:1])c1",
    "4-pyridyl": "c1cc([*:1])ccn1", "2-thienyl": "c1csc([*:1])c1", "3-thienyl": "c1cc([*:1])cs1",
    "2-furyl": "c1coc([*:1])c1", "cyclohexyl": "C1CCC([*:1])CC1", "pyrimidin-2-yl":
    "c1cnc([*:1])nc1", "pyrimidin-5-yl": "c1ncc([*:1])cn1", "4-fluorophenyl":
    "Fc1ccc([*:1])cc1",
}  # fmt: skip
_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("H", "F", "Cl", "Br", "CH3", "CF3", "CN", "OCH3", "OH", "NH2", "CHF2", "OCHF2"),
    ("OCH3", "OCF3", "OCHF2", "OH", "SO2CH3", "CN"),
    ("COOH", "tetrazole", "SO2NH2", "CONH2", "COOCH3", "CONHCH3"),
    ("NO2", "CN", "CF3", "SO2CH3", "H", "Cl"),
    ("CH3", "ethyl", "isopropyl", "cyclopropyl", "tert-butyl", "cyclobutyl", "oxetan-3-yl", "CF3"),
    ("NH2", "NHCH3", "N(CH3)2", "NHAc", "OH"),
    ("morpholine", "pyrrolidine", "piperidine", "piperazine", "N-methylpiperazine", "azetidine",
     "N(CH3)2"),
    ("phenyl", "2-pyridyl", "3-pyridyl", "4-pyridyl", "2-thienyl", "3-thienyl", "2-furyl",
     "cyclohexyl", "pyrimidin-2-yl", "pyrimidin-5-yl", "4-fluorophenyl"),
)  # fmt: skip


@dataclass(frozen=True)
class Counterfactual:
    """A neighbour of the molecule, predicted beside it.

    Attributes:
        smiles: Of the neighbour.
        before: Name of the group that goes, or its SMILES.
        after: Name of the group that comes, or its SMILES.
        value: Predicted for the neighbour.
        low: Lower end of its interval.
        high: Upper end.
        baseline: Predicted for the molecule itself, without its stereochemistry.
        stereo_left_out: Whether the molecule has stereochemistry; only then may `baseline` differ
            from its own prediction.
        change: `value` less `baseline`.
        supported: Whether the intervals support a real change; see `is_supported`.
        effect: 'better', 'worse' or, for a neutral endpoint, 'higher' or 'lower'; 'no clear
            change' where it is not supported.
        in_domain: Whether the neighbour is in the predictor's domain.
        n_pairs: Measured pairs with this replacement.
        measured_change: Their mean change; NaN without any.
    """

    smiles: str
    before: str
    after: str
    value: float
    low: float
    high: float
    baseline: float
    stereo_left_out: bool
    change: float
    supported: bool
    effect: str
    in_domain: bool
    n_pairs: int
    measured_change: float


def common_replacements() -> list[Replacement]:
    """Exchanges within families of groups that are commonly tried for one another."""
    # Through a molecule and back: written as rdMMPA writes groups.
    canonical = {name: _canonical_group(smiles) for name, smiles in GROUPS.items()}
    pairs = dict.fromkeys(pair for family in _FAMILIES for pair in permutations(family, 2))
    return [Replacement(canonical[before], canonical[after]) for before, after in pairs]


def counterfactuals(
    predictor: Predictor,
    smiles: str,
    *,
    replacements: Sequence[Replacement] | None = None,
    max_neighbours: int = 500,
) -> list[Counterfactual]:
    """Neighbours of a molecule by one replaced group, the largest supported improvement first.

    Both sides of a comparison are without stereochemistry; see `Counterfactual.baseline`.

    Args:
        predictor: Whose prediction is to change.
        smiles: The molecule; a salt is stripped and charges are neutralised as for a prediction.
        replacements: From `pairs.replacements_of`; None: `common_replacements`.
        max_neighbours: Predicted at most, those with most measured pairs first.

    Returns:
        Supported changes first; then by change in the better direction (downwards in size for a
        neutral endpoint). Empty where nothing can be replaced.

    Raises:
        DataError: The SMILES cannot be predicted; says why.
    """
    molecule = standardise(smiles)
    if molecule.mol is None:
        raise DataError(f"{smiles!r} cannot be explained: {molecule.reason}")
    options = common_replacements() if replacements is None else list(replacements)
    flat = _without_stereo(molecule.mol)
    neighbours = _neighbours(molecule.mol, {molecule.smiles, flat}, options)
    neighbours = dict(sorted(neighbours.items(), key=_most_measured)[:max_neighbours])
    prediction = predictor.predict([flat, *neighbours])
    stereo_left_out = flat != molecule.smiles
    found = [
        _judged(prediction, row, product, replacement, predictor, stereo_left_out)
        for row, (product, replacement) in enumerate(neighbours.items(), start=1)
        if not prediction.reasons[row]
    ]
    direction = predictor.endpoint.higher_is
    return sorted(found, key=lambda c: (not c.supported, _rank(c.change, direction), c.smiles))


def is_supported(prediction: Prediction, a: int, b: int, *, task: str) -> bool:
    """Whether the predictions of rows a and b differ by more than their intervals allow for.

    Regression: the difference exceeds the 90 % half-width of a difference of two predictions with
    independent errors, the root of the sum of squares. Errors of neighbours are alike, so this
    errs on the careful side. Classification: the Venn-Abers intervals do not overlap (they tell
    how well the probability is calibrated), the probabilities differ by at least 0.1, and by more
    than the members' disagreement explains. In both cases the two must be in the domain.
    """
    if not (prediction.in_domain[a] and prediction.in_domain[b]):
        return False
    difference = abs(float(prediction.value[b] - prediction.value[a]))
    if task == "classification":
        if difference < MIN_PROBABILITY_CHANGE:
            return False
        if max(prediction.low[a], prediction.low[b]) <= min(prediction.high[a], prediction.high[b]):
            return False
        return difference > _Z_90 * float(np.hypot(prediction.spread[a], prediction.spread[b]))
    # The longer half: the other may have been cut off where the unit ends.
    half = np.maximum(prediction.high - prediction.value, prediction.value - prediction.low)
    return difference > float(np.hypot(half[a], half[b]))


def sentence(counterfactual: Counterfactual, *, name: str) -> str:
    """In words: "replace Cl by F: herg_block 0.71 -> 0.44 (better)".

    For a molecule with stereochemistry it adds that both numbers are without it.
    """
    c = counterfactual
    text = f"replace {c.before} by {c.after}: {name} {c.baseline:.2f} → {c.value:.2f} ({c.effect})"
    return f"{text}, both without stereochemistry" if c.stereo_left_out else text


def _without_stereo(mol: Chem.Mol) -> str:
    """SMILES as predicted of the molecule without stereochemistry; isotopes stay."""
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)
    return standardise(canonical_smiles(flat)).smiles


def _neighbours(
    mol: Chem.Mol, own: Collection[str], options: Sequence[Replacement]
) -> dict[str, Replacement]:
    """Products by SMILES as predicted, each with the replacement of most measured pairs.

    They have no stereochemistry. The molecule itself, in the forms `own`, is not among them.
    """
    by_group: dict[str, list[Replacement]] = {}
    for option in options:
        by_group.setdefault(option.before, []).append(option)
    made: dict[str, Replacement] = {}
    for cut in cuts(mol, hydrogens=True):
        for option in by_group.get(cut.group, ()):
            if not option.n_pairs and not _is_plausible(cut.core, option.after, cut.group):
                continue
            product = join(cut.core, option.after)
            if product and (product not in made or made[product].n_pairs < option.n_pairs):
                made[product] = option
    standard = standardise_all(made)
    found = {m.smiles: option for m, option in zip(standard, made.values(), strict=True)}
    return {s: option for s, option in found.items() if s and s not in own}


def _is_plausible(core: str, after: str, before: str) -> bool:
    """Whether a replacement that nobody measured makes a molecule worth a look.

    No bond between two hetero atoms, no two of them on one saturated carbon (as in N-CF3), and
    hydrogen gives way on aromatic carbon only.
    """
    bearer, group = _attachment(core), _attachment(after)
    if before == HYDROGEN and not (bearer.is_aromatic and bearer.number == 6):
        return False
    if group.number in (1, 6):
        return bearer.number == 6 or not group.beside_hetero  # no N-CF3, N-CN
    return bearer.number == 6 and (bearer.is_aromatic or not bearer.beside_hetero)


@dataclass(frozen=True)
class _Attachment:
    """The atom that bears an attachment point: element, aromatic, beside a hetero atom."""

    number: int
    is_aromatic: bool
    beside_hetero: bool


@lru_cache(maxsize=4096)
def _attachment(smiles: str) -> _Attachment:
    options = Chem.SmilesParserParams()
    # The group may be a hydrogen. RDKit's stub calls the options read-only.
    options.removeHs = False  # type: ignore[assignment]  # wrong stub
    mol = Chem.MolFromSmiles(smiles, options)
    mark = next(atom for atom in mol.GetAtoms() if atom.GetAtomMapNum() == 1)
    bearer = mark.GetNeighbors()[0]
    numbers = [neighbour.GetAtomicNum() for neighbour in bearer.GetNeighbors()]
    return _Attachment(
        bearer.GetAtomicNum(), bearer.GetIsAromatic(), any(n not in (0, 1, 6) for n in numbers)
    )


def _most_measured(item: tuple[str, Replacement]) -> tuple[int, str]:
    return -item[1].n_pairs, item[0]


def _judged(
    prediction: Prediction,
    row: int,
    smiles: str,
    replacement: Replacement,
    predictor: Predictor,
    stereo_left_out: bool,
) -> Counterfactual:
    """The neighbour in a row of a prediction, compared with the molecule in row 0."""
    change = float(prediction.value[row] - prediction.value[0])
    supported = is_supported(prediction, 0, row, task=predictor.card.task)
    return Counterfactual(
        smiles=smiles,
        before=group_name(replacement.before),
        after=group_name(replacement.after),
        value=float(prediction.value[row]),
        low=float(prediction.low[row]),
        high=float(prediction.high[row]),
        baseline=float(prediction.value[0]),
        stereo_left_out=stereo_left_out,
        change=change,
        supported=supported,
        effect=effect(change, predictor.endpoint.higher_is) if supported else "no clear change",
        in_domain=bool(prediction.in_domain[row]),
        n_pairs=replacement.n_pairs,
        measured_change=replacement.mean_change,
    )


def effect(change: float, higher_is: Direction) -> str:
    """A change in words: 'better' or 'worse'; 'higher' or 'lower' for a neutral endpoint."""
    if higher_is == "neutral":
        return "higher" if change > 0 else "lower"
    return "better" if (change > 0) == (higher_is == "better") else "worse"


def _rank(change: float, higher_is: Direction) -> float:
    if higher_is == "neutral":
        return -abs(change)
    return -change if higher_is == "better" else change


def group_name(group: str) -> str:
    """Common name of a group, or else its SMILES with `*` for the bond that was cut."""
    return _names().get(group, group.replace("[*:1]", "*"))


@cache
def _names() -> dict[str, str]:
    return {_canonical_group(smiles): name for name, smiles in GROUPS.items()}


def _canonical_group(smiles: str) -> str:
    """As rdMMPA writes it; hydrogen is no molecule of its own there."""
    return smiles if smiles == HYDROGEN else str(Chem.MolToSmiles(Chem.MolFromSmiles(smiles)))
