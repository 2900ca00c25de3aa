"""Per-atom attribution for any predictor: what changes when an atom cannot be seen.

Two ways to hide atoms:

- 'wildcard': the atoms become wildcards (atomic number 0) without hydrogens or charge, and all
  features are computed again. Rings and chain lengths stay; what is lost is what the atoms were.
- 'deletion': the atoms are removed and the open valences filled with hydrogen, as in "remove an
  atom" (Matveieva and Polishchuk 2021, https://doi.org/10.1186/s13321-021-00519-x). Every variant
  is an ordinary molecule, but opening a ring changes far more than the atom that was removed.

Hiding an atom also changes the surroundings of its neighbours, so colour runs into them, as in
the similarity maps of Riniker and Landrum (2013, https://doi.org/10.1186/1758-2946-5-43). The
additive surrogate (`property_models.additive`) does not have that fault but only knows what is
local. Their weighted mean, `blend`, is the default (experiments/explanations).

A positive attribution means that the atom raises the score: score of the molecule less score of
the molecule with the atom hidden. Attributions of atoms overlap; they do not add up to the score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from property_models.features import Features, featurise

if TYPE_CHECKING:
    from property_models.endpoints import Endpoint, Task
    from property_models.ensemble import Member
    from property_models.predictor import Predictor

Array = NDArray[np.float64]
Score = Callable[[Features], Array]
Hiding = Literal["wildcard", "deletion"]

CHUNK = 256  # variants featurised at once: bounds memory, does not change results
MASKING_SHARE = 1 / 3  # of a blend; chosen on known answers (experiments/explanations)
_PROBABILITY_FLOOR = 1e-3  # log-odds beyond that of 1 in 1,000 say nothing


def predictor_score(predictor: Predictor) -> Score:
    """The members' combined score of a predictor, on the scale on which it is attributed.

    Returns:
        A function of features: the value in the endpoint's unit (regression), or the log-odds of
        the uncalibrated probability (classification). Log-odds, because near 0 and 1 a
        probability hardly moves whatever is hidden.
    """
    parts, task = predictor.parts, predictor.card.task
    return lambda features: attributed_score(parts.members, parts.weights, task, features)


def attributed_score(
    members: Sequence[Member], weights: Sequence[float], task: Task, features: Features
) -> Array:
    """What `predictor_score` gives, for members that are no predictor yet, shape (n,)."""
    from property_models.ensemble import mean_score, member_scores

    found = mean_score(member_scores(members, features), weights, task=task)
    return log_odds(found) if task == "classification" else found


def log_odds(probability: Array) -> Array:
    """log(p / (1 - p)) of probabilities, which are first kept within [0.001, 0.999]."""
    p = np.clip(probability, _PROBABILITY_FLOOR, 1.0 - _PROBABILITY_FLOOR)
    return np.asarray(np.log(p / (1.0 - p)), dtype=np.float64)


def attribution_unit(endpoint: Endpoint) -> str:
    """Unit of the attributions of `predictor_score`."""
    if endpoint.task == "classification":
        return "log-odds"
    return endpoint.unit or "unit not stated"


def attribute_atoms(
    mols: Sequence[Chem.Mol], score: Score, *, hiding: Hiding = "wildcard"
) -> list[Array]:
    """Attribution of every atom of every molecule.

    Args:
        mols: Molecules from `molecules.standardise`.
        score: Of features, shape (n,); `predictor_score` makes one.
        hiding: How an atom is hidden; see the module.

    Returns:
        One float64 array of shape (n_atoms,) per molecule, in the score's unit. NaN where a
        molecule without the atom cannot be built or has no score.
    """
    return attribute_parts(
        mols, [[(a,) for a in range(mol.GetNumAtoms())] for mol in mols], score, hiding=hiding
    )


def attribute_parts(
    mols: Sequence[Chem.Mol],
    parts: Sequence[Sequence[Sequence[int]]],
    score: Score,
    *,
    hiding: Hiding = "wildcard",
) -> list[Array]:
    """What each part of each molecule does to the score: all atoms of a part hidden at once.

    Args:
        mols: Molecules from `molecules.standardise`.
        parts: Of each molecule, sets of atom indices.
        score: Of features, shape (n,).
        hiding: How atoms are hidden.

    Returns:
        One float64 array per molecule, one entry per part; NaN where there is no score.
    """
    if not mols:
        return []
    base = score(featurise(mols))
    found = [np.full(len(p), np.nan) for p in parts]
    for places, variants in _chunks(mols, parts, hiding):
        for (row, column), value in zip(places, score(featurise(variants)), strict=True):
            found[row][column] = base[row] - value
    return found


def hide(mol: Chem.Mol, atoms: Sequence[int], *, hiding: Hiding = "wildcard") -> Chem.Mol | None:
    """The molecule without what the atoms are; None where RDKit cannot build it."""
    with rdBase.BlockLogs():
        try:
            return _wildcards(mol, atoms) if hiding == "wildcard" else _deleted(mol, atoms)
        except (ValueError, RuntimeError):  # RDKit's sanitisation errors are ValueErrors
            return None


def _wildcards(mol: Chem.Mol, atoms: Sequence[int]) -> Chem.Mol:
    editable = Chem.RWMol(mol)
    for index in atoms:
        atom = editable.GetAtomWithIdx(int(index))
        atom.SetAtomicNum(0)
        atom.SetFormalCharge(0)
        atom.SetNumExplicitHs(0)
        atom.SetNoImplicit(False)
        atom.SetIsotope(0)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    hidden: Chem.Mol = editable.GetMol()
    Chem.SanitizeMol(hidden)
    return hidden


def _deleted(mol: Chem.Mol, atoms: Sequence[int]) -> Chem.Mol | None:
    if len(set(atoms)) >= mol.GetNumAtoms():
        return None
    editable = Chem.RWMol(mol)
    Chem.Kekulize(editable, clearAromaticFlags=True)
    for index in atoms:
        for neighbour in editable.GetAtomWithIdx(int(index)).GetNeighbors():
            # An explicit hydrogen count would keep RDKit from filling the valence.
            neighbour.SetNumExplicitHs(0)
            neighbour.SetNoImplicit(False)
    for index in sorted({int(a) for a in atoms}, reverse=True):
        editable.RemoveAtom(index)
    rest: Chem.Mol = editable.GetMol()
    Chem.SanitizeMol(rest)
    return rest


def _chunks(
    mols: Sequence[Chem.Mol], parts: Sequence[Sequence[Sequence[int]]], hiding: Hiding
) -> Iterator[tuple[list[tuple[int, int]], list[Chem.Mol]]]:
    """Variants of all molecules some at a time, each with its molecule's row and its part."""
    places: list[tuple[int, int]] = []
    variants: list[Chem.Mol] = []
    for row, mol in enumerate(mols):
        for column, atoms in enumerate(parts[row]):
            hidden = hide(mol, atoms, hiding=hiding)
            if hidden is None:
                continue
            places.append((row, column))
            variants.append(hidden)
            if len(variants) == CHUNK:
                yield places, variants
                places, variants = [], []
    if variants:
        yield places, variants


def blend(masking: Sequence[Array], additive: Sequence[Array]) -> list[Array]:
    """Weighted mean of two attributions of the same molecules; without masking, the other's.

    Args:
        masking: From `attribute_atoms`, shape (n_atoms,) per molecule.
        additive: From `AdditiveModel.attribute`, likewise.
    """
    share = MASKING_SHARE
    return [
        np.where(np.isnan(a), b, share * a + (1.0 - share) * b)
        for a, b in zip(masking, additive, strict=True)
    ]
