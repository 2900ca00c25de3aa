"""A strict check that a sample contains its prompt, written without the generator's own code."""

from __future__ import annotations

from collections import Counter

from rdkit import Chem

from molgen.generator.prompts import Prompt
from molgen.generator.sampler import Sample

_ORDERS = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}


def assert_kept(prompt: Prompt, sample: Sample) -> None:
    """Atom for atom: element, charge, bonds, hydrogens, and what hangs at each attachment point."""
    core, mol = prompt.core, sample.mol
    kept = sample.kept
    assert len(set(kept)) == len(kept) == core.GetNumAtoms()
    assert set(kept) == set(range(len(kept))), "the kept atoms come first"
    for i, a in enumerate(kept):
        before, after = core.GetAtomWithIdx(i), mol.GetAtomWithIdx(a)
        assert before.GetAtomicNum() == after.GetAtomicNum()
        assert before.GetFormalCharge() == after.GetFormalCharge()
        assert before.GetIsotope() == after.GetIsotope() == 0
        assert before.GetTotalValence() == after.GetTotalValence()
        assert after.GetNumRadicalElectrons() == 0
        for j in range(i):
            _assert_same_bond(core.GetBondBetweenAtoms(i, j), mol.GetBondBetweenAtoms(a, kept[j]))
        _assert_open_where_told(prompt, i, before, after, set(kept))


def _assert_same_bond(before: Chem.Bond | None, after: Chem.Bond | None) -> None:
    assert (before is None) == (after is None), "a bond between kept atoms came or went"
    if before is None or after is None:
        return
    if before.GetIsAromatic():
        assert after.GetIsAromatic()
    elif not after.GetIsAromatic():  # it may have become part of a larger aromatic system
        assert before.GetBondType() == after.GetBondType()


def _assert_open_where_told(
    prompt: Prompt, i: int, before: Chem.Atom, after: Chem.Atom, kept: set[int]
) -> None:
    new = [b for b in after.GetBonds() if b.GetOtherAtomIdx(after.GetIdx()) not in kept]
    n_lost = before.GetTotalNumHs() - after.GetTotalNumHs()
    plain = Counter(_ORDERS[b.GetBondType()] for b in new if not b.GetIsAromatic())
    n_aromatic = len(new) - plain.total()
    in_plain = sum(order * n for order, n in plain.items())
    # An aromatic bond is single or double, in a benzyne triple.
    assert in_plain + n_aromatic <= n_lost <= in_plain + 3 * n_aromatic
    if prompt.n_points:
        marks = Counter({order: n for order, n in enumerate(prompt.marks[i], start=1)})
        assert len(new) == marks.total(), "one substituent for each attachment point"
        assert n_lost == sum(order * n for order, n in marks.items())
        assert plain <= marks, "by a bond of the order drawn"


def assert_molecule(sample: Sample, max_atoms: int) -> None:
    """Valid, one piece, within size, and canonical."""
    mol = Chem.MolFromSmiles(sample.smiles)
    assert mol is not None
    assert "." not in sample.smiles and "*" not in sample.smiles
    assert 1 <= mol.GetNumAtoms() <= max_atoms
    assert mol.GetNumAtoms() == sample.mol.GetNumAtoms()
    assert Chem.MolToSmiles(mol) == sample.smiles
    assert all(a.GetNumRadicalElectrons() == 0 for a in mol.GetAtoms())
