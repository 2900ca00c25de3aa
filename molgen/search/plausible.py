"""Structures that no chemist would make: refused when proposed, at no cost to the budget.

Unlike the alerts and hazards of an objective, which are about safety, this is about whether the
structure is a molecule at all in practice. Edits of graphs make such things, and a score is
easily fooled by them. What approved drugs hold is let through (a test says so for many).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from rdkit import Chem

_RULES = {
    "cumulated double bonds": "[*]=[#6]=[#6,#7,#16]",
    "peroxide": "[OX2][OX2]",
    "sulphur chain or sulphenic acid": "[SX2][SX2][SX2],[SX2]-[OX2]",
    "three heteroatoms in a chain": "[#7,#8,#16;!a;!$([#16](=O)=O)]-[#7,#8;!a]-[#7,#8,#16;!a]",
    # None of 20,000 in ChEMBL (experiments/pmo/rules.py); a single nitrogen there is common.
    "two heteroatoms in a chain on an azole": "[#7,#8,#16;!a;!$([#16](=O)=O)]-[#7,#8;!a]-n",
    "halogen on a heteroatom": "[#7,#8,#16,#15][F,Cl,Br,I]",
    # Displaced by water; not beside other halogens (isoflurane).
    "halogen and heteroatom on one carbon": (
        "[Cl,Br,I][CX4;!$(C(F)F);!$(CC(F)(F)F)][NX3,NX4,OX2,SX2]"
    ),
    # Fluticasone and sevoflurane have -CH2F on sulphur or oxygen.
    "one fluorine and heteroatom on one carbon": (
        "F[CX4;!$(C(F)F)][NX3,NX4],F[CX4;!H2;!$(C(F)F)][OX2,SX2]"
    ),
    "carbamic acid": "[#7;X3][CX3](=[OX1])[OX2H]",  # falls apart into amine and carbon dioxide
    # It leaves as hydrogen fluoride: trifluoromethanol and its like do not last.
    "fluorine beside a hydroxyl, thiol or amine": "[OX2H,SX2H,NX3H,NX3H2][CX4]F",
    "acyl or thioacyl halide": "[CX3](=[O,S])[F,Cl,Br,I]",
    "imidoyl halide": "[CX3;!R](=[NX2])[F,Cl,Br,I]",
    "halogen and heteroatom on one double bond": "[NX3,OX2,SX2][CX3;!R](=[CX3])[F,Cl,Br,I]",
    "thioketone or thioacyl azole": "[#6,n][CX3;!a](=[SX1])[#6]",
    "triple bond in a ring": "[R]#[R]",
    # Amides there (ynamides) are stable.
    "triple bond on a heteroatom": (
        "[OX2,SX2,F,Cl,$([NX3;!$(N[#6]=[O,N,S]);!$(NS(=O)=O)])][CX2]#[CX2]"
    ),
    "double bond in a ring of three": "[r3]=[r3],[r3]:[r3]",
    "two heteroatoms in a ring of three": "[r3;#7,#8,#16]@[r3;#7,#8,#16]",
    "two neighbouring heteroatoms in a ring of four": "[r4;#7,#8,SX2]@[r4;#7,#8,SX2]",
    "double bond in a ring of four": "[r4;!$([r4]@[r4]=O)]=@[r4;!$([r4]@[r4]=O)]",  # not squarates
    "aromatic ring of four": "[a;!$(a=O)]1:a:[a;!$(a=O)]:a:1",  # not squarates
    "double bond out of a ring of three": "[r3]=[#7,#8,#16],[r3]=!@[#6]",
    "imine of formaldehyde": "[CX3H2]=[NX2]",
    "imine with hydrogen on nitrogen": "[CX3;!$(C-[#7,#8,#16])]=[NX2H]",  # amidines are fine
    "open azo or diazo group": "[#7;!a;!R]=[#7;!a]",
    "two hydroxyls on one carbon": "[OX2H][CX4][OX2H]",
    "vinyl ether, thioether or amine": (
        "[CX3H2]=[CX3H1][OX2,SX2,NX3],[CX3]=[CX3;!R]-[OX2]-[CX3;!R]=[CX3]"
    ),
    "ketene acetal or aminal": (
        "[CX3;!a;!$(C-[#6]=[O,N,S]);!$(C-C#N);!$(C-[N+](=O));!$(C-S(=O)=O);!$(C-a)]=[CX3;!a]"
        "([NX3,OX2,SX2])[NX3,OX2,SX2]"
    ),
    "hemiaminal": "[OX2H,SX2H][CX4][NX3,NX4,n]",
    "hemiacetal": "[OX2H,SX2H][CX4;!$([R]@[CX4][OX2H])][OX2,SX2]",  # a sugar's is fine
    "amine on an acetal or aminal": "[NX3H2,NX4H3][CX4][N,n,OX2,SX2]",
    "hydroxylamine": "[NX3;!a;!$(N=*);!$(N[#6]=[O,N,S]);!$(NS(=O)=O)][OX2;!a]",
    "hydroxyl on an azole's nitrogen": "[nr5][OX2H]",
    # Nitroethenediamines such as ranitidine are stable.
    "nitroalkene": "[CX3;!$(C[#7])]=[CX3;!a][$([N+](=O)[O-])]",
    "enol": "[OX2H][CX3;!a]=[CX3;!a;!$(C-[#6]=O);!$(C-C#N)]",
    "primary enamine": "[NX3H2][CX3;!a]=[CX3;!a;!$(C-[#6]=[O,N]);!$(C-C#N);!$(C-[N+](=O))]",
    "unusual sulphur": "[#16X3;!$([#16]=O);!a],[#16X4;!$([#16](=[O,N])=[O,N])],[#16](=C)=*,[SX6]",
    "unusual phosphorus": "[#15X2],[#15X3],[#15X5]",
    "thiocarbonyl on a hydrogen": "[CX3;H1,H2]=S",
    "positive nitrogen on a heteroatom": "[NX4;+]-[#7,#16,OX2]",
    "charged atom": (
        "[!+0;!$([N+](=O)[O-]);!$([O-][N+]=O);!$([n+][O-]);!$([O-][n+]);!$([NX4+;!H4]);!$([n+]);"
        "!$([O-]C=O);!$([O-]S(=O)=O);!$([O-]P=O);!$([N+]#[C-]);!$([C-]#[N+]);!$([N+](C)(=C)C)]"
    ),
    "anion": "[O-;!$([O-][N+]=O);!$([O-][n+])],[N-,n-,S-,C-]",
}
_DOUBLE = Chem.BondType.DOUBLE
_MAX_RING = 8
_MIN_MACROCYCLE = 12
_SMALL_RING = 4


@cache
def _patterns() -> tuple[tuple[str, Chem.Mol, Chem.Mol], ...]:
    """Of each rule: its name, a cheaper pattern that must match for it to match, the pattern."""
    found = []
    for name, smarts in _RULES.items():
        for one in _alternatives(smarts):
            cheaper, whole = Chem.MolFromSmarts(_without_exceptions(one)), Chem.MolFromSmarts(one)
            found.append((name, cheaper, whole))
    return tuple(found)


@cache
def _double_in_ring() -> Chem.Mol:
    return Chem.MolFromSmarts("[#6]=@[#6]")


def _without_exceptions(smarts: str) -> str:
    """The pattern less its `!$(...)`, which RDKit would look for before all else."""
    while (start := smarts.find("!$(")) >= 0:
        depth, end = 1, start + 3
        while depth:
            depth += (smarts[end] == "(") - (smarts[end] == ")")
            end += 1
        smarts = smarts[:start].rstrip(";&") + smarts[end:]
    return smarts


def _alternatives(smarts: str) -> list[str]:
    """Parts between the commas outside brackets."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(smarts):
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            parts.append(smarts[start:i])
            start = i + 1
    return [*parts, smarts[start:]]


def implausible(mol: Chem.Mol) -> str:
    """'' for a plausible structure, else the first of its `flaws`."""
    return next(flaws(mol), "")


def flaws(mol: Chem.Mol) -> Iterator[str]:
    """What makes a structure implausible, rule by rule.

    Args:
        mol: sanitised. Charges are read as they stand: a salt's acid or amine is fine, other
            charges outside nitro groups, N-oxides and quaternary nitrogens are not.
    """
    for name, cheaper, whole in _patterns():
        if mol.HasSubstructMatch(cheaper) and mol.HasSubstructMatch(whole):
            yield name
    rings = mol.GetRingInfo()
    small = [set(ring) for ring in rings.BondRings() if len(ring) <= _SMALL_RING]
    if any(a & b for i, a in enumerate(small) for b in small[:i]):
        yield "fused small rings"
    if any(_MAX_RING < len(ring) < _MIN_MACROCYCLE for ring in rings.AtomRings()):
        yield f"ring of {_MAX_RING + 1} to {_MIN_MACROCYCLE - 1} atoms"
    if mol.HasSubstructMatch(_double_in_ring()) and any(
        _is_polyene(mol, ring) for ring in rings.AtomRings()
    ):
        yield "two double bonds in a ring of carbon"
    if _breaks_bredts_rule(mol):
        yield "double bond at a bridgehead"


def _is_polyene(mol: Chem.Mol, ring: Sequence[int]) -> bool:
    """Two double bonds or more in a ring of carbon without a carbonyl: one of 1,300 in ChEMBL.

    A search for what is new and like an aryl draws them in place of one.
    """
    atoms = [mol.GetAtomWithIdx(i) for i in ring]
    if any(a.GetAtomicNum() != 6 for a in atoms):
        return False
    around = zip(ring, [*ring[1:], ring[0]], strict=True)
    n_double = sum(mol.GetBondBetweenAtoms(i, j).GetBondType() == _DOUBLE for i, j in around)
    return n_double >= 2 and not any(_has_oxo(a) for a in atoms)


def _has_oxo(atom: Chem.Atom) -> bool:
    return any(
        b.GetBondType() == _DOUBLE and b.GetOtherAtom(atom).GetAtomicNum() == 8
        for b in atom.GetBonds()
    )


def _breaks_bredts_rule(mol: Chem.Mol) -> bool:
    """Whether a double bond is at the head of a small bridge."""
    rings = [set(ring) for ring in mol.GetRingInfo().AtomRings() if len(ring) <= _MAX_RING]
    for i, first in enumerate(rings):
        for second in rings[:i]:
            shared = first & second
            if len(shared) <= 2:
                continue
            heads = [
                a for a in shared
                if sum(n.GetIdx() in shared for n in mol.GetAtomWithIdx(a).GetNeighbors()) == 1
            ]  # fmt: skip
            for a in heads:
                for bond in mol.GetAtomWithIdx(a).GetBonds():
                    if bond.GetBondTypeAsDouble() > 1 and bond.IsInRing():
                        return True
    return False
