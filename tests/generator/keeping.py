"""A strict check that a sample contains its prompt, written without the generator's own code."""

from __future__ import annotations

from collections import Counter

from rdkit import Chem

from molgen.generator.prompts import Prompt
from molgen.generator.sampler import Sample

_NO_CENTRE = Chem.ChiralType.CHI_UNSPECIFIED
_ORDERS = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}


def assert_kept(prompt: Prompt, sample: Sample) -> None:
    """Atom for atom: element, charge, isotope, bonds, hydrogens, configuration, and what hangs at
    each attachment point."""
    written = _read(prompt.smiles)
    isotopes = [a.GetIsotope() for a in written.GetAtoms() if a.GetAtomicNum()]
    core, mol = prompt.core, sample.mol
    kept = sample.kept
    assert len(set(kept)) == len(kept) == core.GetNumAtoms()
    assert set(kept) == set(range(len(kept))), "the kept atoms come first"
    for i, a in enumerate(kept):
        before, after = core.GetAtomWithIdx(i), mol.GetAtomWithIdx(a)
        assert before.GetAtomicNum() == after.GetAtomicNum()
        assert before.GetFormalCharge() == after.GetFormalCharge()
        assert after.GetIsotope() == isotopes[i]
        assert before.GetTotalValence() == after.GetTotalValence()
        assert after.GetNumRadicalElectrons() == 0
        for j in range(i):
            _assert_same_bond(core.GetBondBetweenAtoms(i, j), mol.GetBondBetweenAtoms(a, kept[j]))
        _assert_open_where_told(prompt, i, before, after, set(kept))
    if set(prompt.smiles) & set("@/\\"):
        _assert_same_configuration(written, mol, kept)


def _read(smiles: str) -> Chem.Mol:
    """The prompt with every stereo mark and hydrogen as written."""
    settings = Chem.SmilesParserParams()
    settings.sanitize = False  # type: ignore[assignment]
    mol = Chem.MolFromSmiles(smiles, settings)
    Chem.SanitizeMol(mol)
    return mol


def _assert_same_bond(before: Chem.Bond | None, after: Chem.Bond | None) -> None:
    assert (before is None) == (after is None), "a bond between kept atoms came or went"
    if before is None or after is None:
        return
    if before.GetIsAromatic():  # a fused or strained new ring may have ended that
        assert after.GetIsAromatic() or _ORDERS[after.GetBondType()] < 3
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


def _assert_same_configuration(written: Chem.Mol, mol: Chem.Mol, kept: tuple[int, ...]) -> None:
    """Around each centre and double bond of the prompt, unless it is none in the sample."""
    core = [a.GetIdx() for a in written.GetAtoms() if a.GetAtomicNum()]
    place = dict(zip(core, kept, strict=True))
    points = [a for a in written.GetAtoms() if not a.GetAtomicNum()]
    taken = {(a, x) for a in kept for x in kept}
    for point in sorted(points, key=_number):
        a = place[point.GetNeighbors()[0].GetIdx()]
        around = [n.GetIdx() for n in mol.GetAtomWithIdx(a).GetNeighbors()]
        place[point.GetIdx()] = min(x for x in around if (a, x) not in taken)
        taken.add((a, place[point.GetIdx()]))
    stereogenic = Chem.FindPotentialStereo(Chem.Mol(mol))
    centres = {e.centeredOn for e in stereogenic if e.type == Chem.StereoType.Atom_Tetrahedral}
    bonds = {e.centeredOn for e in stereogenic if e.type == Chem.StereoType.Bond_Double}
    for atom in written.GetAtoms():
        if atom.GetChiralTag() != _NO_CENTRE:
            a = place[atom.GetIdx()]
            if mol.GetAtomWithIdx(a).GetChiralTag() == _NO_CENTRE:
                assert a not in centres, "a configuration was lost"
            else:
                before = _surroundings(written, atom.GetIdx(), place)
                assert before == _surroundings(mol, a, {x: x for x in place.values()})
    Chem.SetBondStereoFromDirections(written)
    for bond in written.GetBonds():
        if bond.GetStereo() != Chem.BondStereo.STEREONONE:
            ends = place[bond.GetBeginAtomIdx()], place[bond.GetEndAtomIdx()]
            made = mol.GetBondBetweenAtoms(*ends)
            if made.GetStereo() == Chem.BondStereo.STEREONONE:
                assert made.GetIdx() not in bonds, "a configuration was lost"
            else:
                sides = [place[x] for x in bond.GetStereoAtoms()]
                assert _is_trans(bond, list(bond.GetStereoAtoms())) == _is_trans(made, sides)


def _number(point: Chem.Atom) -> tuple[int, int]:
    return point.GetAtomMapNum() or point.GetIsotope(), point.GetIdx()


def _surroundings(mol: Chem.Mol, centre: int, names: dict[int, int]) -> str:
    """The centre alone, each neighbour a numbered dummy; 999 for a hydrogen or what replaced it."""
    whole = Chem.AddHs(mol, onlyOnAtoms=[centre])
    bonds = list(whole.GetAtomWithIdx(centre).GetBonds())
    labels = [names.get(b.GetOtherAtomIdx(centre), 998) + 1 for b in bonds]
    cut = Chem.FragmentOnBonds(
        whole, [b.GetIdx() for b in bonds], dummyLabels=[(x, x) for x in labels],
        bondTypes=[Chem.BondType.SINGLE] * len(bonds),
    )  # fmt: skip
    cut.GetAtomWithIdx(centre).SetNoImplicit(True)
    cut.GetAtomWithIdx(centre).SetNumExplicitHs(0)
    (alone,) = (f for f in Chem.GetMolFrags(cut) if centre in f)
    return str(Chem.MolFragmentToSmiles(cut, alone, isomericSmiles=True))


def _is_trans(bond: Chem.Bond, sides: list[int]) -> bool:
    trans = bond.GetStereo() in (Chem.BondStereo.STEREOTRANS, Chem.BondStereo.STEREOE)
    swapped = sum(x not in sides for x in bond.GetStereoAtoms())
    return trans != (swapped == 1)


def assert_molecule(sample: Sample, max_atoms: int) -> None:
    """Valid, one piece, within size, and canonical."""
    mol = Chem.MolFromSmiles(sample.smiles)
    assert mol is not None
    assert "." not in sample.smiles and "*" not in sample.smiles
    assert 1 <= mol.GetNumAtoms() <= max_atoms
    assert mol.GetNumAtoms() == sample.mol.GetNumAtoms()
    assert Chem.MolToSmiles(mol) == sample.smiles
    assert all(a.GetNumRadicalElectrons() == 0 for a in mol.GetAtoms())
