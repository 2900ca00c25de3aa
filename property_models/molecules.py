"""The one door for structures: parse, standardise for prediction, identify.

A predictor sees the largest organic fragment of a molecule, uncharged where protons allow it,
rebuilt from its canonical SMILES. So an atom order, a counter-ion written as a fragment of its own
and the protonation of acids and amines do not change a prediction. These forms of one compound
stay different:

- beside a charge that no proton can take away, an acid keeps the form it was written in: carnitine
  with its carboxylate, and with the acid group of its hydrochloride;
- a metal written with a bond, as in [Na]OC(=O)c1ccccc1, is kept, and so is its molecule;
- tautomers and stereochemistry are left as they were written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.Scaffolds import MurckoScaffold

# Fingerprint counts are stored in one byte, and every training table has next to nothing above.
MAX_HEAVY_ATOMS = 200


@dataclass(frozen=True)
class Molecule:
    """One input, standardised for prediction.

    Attributes:
        mol: RDKit molecule rebuilt from `smiles`; None where the input cannot be predicted.
        smiles: Canonical isomeric SMILES of `mol`; '' where `mol` is None.
        reason: '' where `mol` is set, else why it is not.
    """

    mol: Chem.Mol | None
    smiles: str
    reason: str


@cache
def _uncharger() -> Any:
    return rdMolStandardize.Uncharger()


@cache
def _carbon() -> Chem.Mol:
    return Chem.MolFromSmarts("[#6]")


def parse(smiles: object) -> tuple[Chem.Mol | None, str]:
    """Parses one SMILES string as it is, without standardising.

    Returns:
        (molecule, '') or (None, reason). Anything that is no string, such as a missing value in
        a table, counts as unparsable.
    """
    if not isinstance(smiles, str):
        return None, f"not a SMILES string: {smiles!r}"
    text = smiles.strip()
    if not text:
        return None, "empty SMILES"
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    if mol is None:
        return None, f"RDKit cannot parse the SMILES {_shortened(text)!r}"
    if mol.GetNumAtoms() == 0:
        return None, "no atoms"
    return mol, ""


def standardise(smiles: object) -> Molecule:
    """Makes one input ready for prediction; never raises on a bad structure.

    Returns:
        The molecule (largest organic fragment, uncharged where protons allow it; see above for
        what stays as written), or a reason why there is none:
        unparsable, without carbon, with an attachment point, or above `MAX_HEAVY_ATOMS`.
    """
    mol, reason = parse(smiles)
    if mol is None:
        return Molecule(None, "", reason)
    with rdBase.BlockLogs():
        try:
            text, mol = _standard_form(mol, str(smiles).strip())
        except (ValueError, RuntimeError) as error:  # RDKit's sanitisation errors are ValueErrors
            return Molecule(None, "", f"cannot be standardised: {error}")
    reason = _unpredictable(mol, text)
    return Molecule(None, "", reason) if reason else Molecule(mol, text, "")


def standardise_all(smiles: Iterable[object]) -> list[Molecule]:
    """Standardises inputs in order; one entry per input."""
    return [standardise(entry) for entry in smiles]


def _standard_form(mol: Chem.Mol, source: str) -> tuple[str, Chem.Mol]:
    """The standard form of a molecule parsed from `source`."""
    parsed = mol
    if len(Chem.GetMolFrags(mol)) > 1:
        mol = max(Chem.GetMolFrags(mol, asMols=True), key=_fragment_rank)
    # Looking at the text first saves looking at each atom of nearly all molecules.
    if ("+" in source or "-" in source) and any(atom.GetFormalCharge() for atom in mol.GetAtoms()):
        mol = _uncharger().uncharge(mol)
    if ":" in source and any(atom.GetAtomMapNum() for atom in mol.GetAtoms()):
        mol = Chem.Mol(mol)
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
    text = Chem.MolToSmiles(mol)
    if mol is parsed and text == source:
        return text, mol  # it is what would be rebuilt
    rebuilt = Chem.MolFromSmiles(text)
    if rebuilt is None:
        raise ValueError("its canonical SMILES does not parse")
    # A second pass settles the rare molecules whose first canonical SMILES reads back differently.
    again = Chem.MolToSmiles(rebuilt)
    if again != text:
        text, rebuilt = again, Chem.MolFromSmiles(again)
        if rebuilt is None:
            raise ValueError("its canonical SMILES does not parse")
    return text, rebuilt


def _fragment_rank(mol: Chem.Mol) -> tuple[bool, int, float, str]:
    has_carbon = any(atom.GetAtomicNum() == 6 for atom in mol.GetAtoms())
    weight = float(rdMolDescriptors.CalcExactMolWt(mol))
    return has_carbon, mol.GetNumHeavyAtoms(), weight, Chem.MolToSmiles(mol)


def _unpredictable(mol: Chem.Mol, text: str) -> str:
    if "*" in text:
        return "has an attachment point or wildcard atom (*)"
    if not mol.HasSubstructMatch(_carbon()):
        return "has no carbon atom"
    if mol.GetNumAtoms() > MAX_HEAVY_ATOMS:
        return f"has {mol.GetNumAtoms()} heavy atoms, more than {MAX_HEAVY_ATOMS}"
    return ""


def canonical_smiles(mol: Chem.Mol) -> str:
    """Canonical isomeric SMILES."""
    return str(Chem.MolToSmiles(mol))


def inchikey(mol: Chem.Mol) -> str:
    """InChIKey (27 characters), '' where InChI refuses the molecule."""
    with rdBase.BlockLogs():
        return str(Chem.MolToInchiKey(mol))  # type: ignore[no-untyped-call]  # no stub


def inchikey_block(mol: Chem.Mol) -> str:
    """First block of the InChIKey (14 characters): the connectivity, without stereo or charge."""
    return inchikey(mol)[:14]


def scaffold(mol: Chem.Mol) -> str:
    """Bemis-Murcko scaffold without stereochemistry, as SMILES; '' for acyclic molecules.

    Source: Bemis and Murcko 1996, https://doi.org/10.1021/jm9602928.
    """
    smiles = MurckoScaffold.MurckoScaffoldSmiles(  # type: ignore[no-untyped-call]  # no stub
        mol=mol, includeChirality=False
    )
    return str(smiles)


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
