"""Could a chemist believe this molecule? Patterns of structures that nobody would try to make.

They judge what a search found, after the search. They are not those that the search may use to
breed with (molgen/search), and say nothing of how hard a believable molecule is to make: that is
the SA score's part. README.md says how many molecules of ZINC and ChEMBL they reject.
"""

from __future__ import annotations

from functools import cache

from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

# Single or double bonds only, never aromatic: `-,=`. Charged nitrogen of nitro groups is NX3 too.
_PATTERNS = (
    # -- cumulated bonds and strain
    ("cumulated double bonds", "[#6,#7,#8,#16]=[CX2;!$(C(=N)=S)]=[#6,#7,#8,#16]"),
    ("polyyne", "C#CC#CC#C"),
    ("double bond in a ring of three", "*1=**1"),
    ("double bond at a ring of three", "[r3]=!@*"),
    ("double bond in a ring of four", "*1=[*;!$(*=[O,N])]~*~*1"),
    ("ring of three with two heteroatoms", "[#7,#8,#16]1~[#7,#8,#16]~*~1"),
    (
        "ring of four with neighbouring heteroatoms",
        "[#7,#8,#16X2]1~[#7,#8,#16X2]~*~*~1",
    ),
    ("aromatic ring of four", "[a;!$(a=O)]1:a:[a;!$(a=O)]:a:1"),
    ("rings of three that share a bond", "*~1~2~*~*~1~*~2"),
    ("ring of three on a ring of four", "*~1~2~*~*~1~*~*~2"),
    ("rings of four that share a bond", "*~1~2~*~*~*~1~*~*~2"),
    # -- chains of heteroatoms
    ("peroxide", "[OX2,OX1-][OX2]"),
    (
        "three heteroatoms in a row",
        "[NX3,OX2,SX2;!a]-[NX3,NX4,OX2,SX2;!a]-[NX3,OX2,SX2,n]",
    ),
    (
        "four heteroatoms in a row",
        "[N,O,SX2;!a]-,=[N,O,SX2;!a]-,=[N,O,SX2;!a]-,=[N,O,SX2;!a;!$([OX1])]",
    ),
    ("sulfur on oxygen, unoxidised", "[SX2]-[OX2]"),
    ("halogen on nitrogen, oxygen or sulfur", "[#7,#8,SX2]-[F,Cl,Br,I]"),
    ("halogen on phosphorus", "P-[F,Cl,Br,I]"),
    ("phosphorus without oxygen or carbon", "[P;!$(P-,=[#6,#8])]"),
    # -- groups that do not last
    ("two hydroxyls on one carbon", "[OX2H]-[CX4;!$(C-C(F)F)]-[OX2H]"),
    (
        "amine and hydroxyl on one carbon",
        "[OX2H]-[CX4;!$(C-C(F)F)]-[NX3,n;!$(N-C=[O,S,N]);!$(N-S=O)]",
    ),
    (
        "primary amine and heteroatom on one carbon",
        "[$([NX3H2]),$([NX4H3])]-[CX4]-[N,O,S,n;!$(*-*=[O,N,S])]",
    ),
    ("hydroxylamine", "[NX3;!a;!$(N=*);!$(N-[#6,#16]=[O,N,S])]-[OX2;!a]"),
    ("hydroxyl on a nitrogen of an aromatic ring of five", "[nr5]-[OX2H]"),
    ("nitro on a double bond of carbon", "[#6;!a;!$(C-[#7])]=[#6;!a]-[N+](=O)[O-]"),
    (
        "single fluorine and heteroatom on one sp3 carbon",
        "F-[CX4;!H2;!$(C(F)F)]-[N,O,S;!$(*-*=O)]",
    ),
    ("carbamic acid", "[OX2H]-[CX3](=O)-[NX3,n]"),  # loses carbon dioxide
    # They lose hydrogen fluoride, however many fluorines there are.
    ("fluorine and OH, SH or NH on one sp3 carbon", "F-[CX4]-[OX2,SX2,NX3;H1,H2]"),
    ("halogen and heteroatom on one sp3 carbon", "[Cl,Br,I]-[CX4;!$(C(F)F)]-[N,O,S;!$(*-*=O)]"),
    ("acyl halide", "[CX3](=[O,S,N;!R])-[F,Cl,Br,I]"),
    ("alkyne on a heteroatom", "[CX2]#[CX2]-[N,O,S,F,Cl]"),
    ("imine with hydrogen on nitrogen", "[CX3;!$(C-[#7,#8,#16])]=[NX2H]"),
    ("thioaldehyde or thioketone", "[CX3;!$(C-[#7,#8,#16])]=[SX1]"),
    ("sulfur of four bonds without oxygen or nitrogen", "[#16v4,#16v6;!$(*=[O,N]);!$(S(F)(F)F)]"),
    ("hydrogen on sulfur of higher valence", "[#16v4,#16v6;H1,H2,H3]"),
    ("iodine, bromine or chlorine of higher valence", "[Cl,Br,I;X2,X3]"),
    # -- charges
    ("charged carbon", "[#6;!+0;!$([CX1-]#[NX2+])]"),
    ("positive oxygen", "[#8+]"),
    ("positive sulfur", "[#16+;!$([#16+]-[O-]);!$([#16X3+](-[#6])(-[#6])-[#6])]"),
    (
        "negative nitrogen",
        "[N-;!$([N-]=[N+]);!$([N-]-S(=O)=O);!$([N-]-C=O)]",
    ),
    (
        "positive nitrogen on a heteroatom",
        "[#7+;!$([N+](=N)=[N-]);!$([N+](=O)[O-])]~[#7,#8,#16;!a;!D1]",
    ),
    ("charged phosphorus, boron or halogen", "[P,B,F,Cl,Br,I;!+0]"),
)

_MAX_BRIDGEHEADS = 4  # as in adamantane; cubane and its like have more
_STIFF = 7  # atoms of a ring in which a bridgehead cannot be flat (Bredt's rule)
_SHORTEST_WITH_TRIPLE_BOND = 9


@cache
def _patterns() -> list[tuple[str, Chem.Mol]]:
    return [(name, Chem.MolFromSmarts(smarts)) for name, smarts in _PATTERNS]


def nonsense(mol: Chem.Mol) -> str:
    """What nobody would believe about a sanitised molecule; '' for nothing found."""
    for name, pattern in _patterns():
        if mol.HasSubstructMatch(pattern):
            return name
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        return "radical"
    if len(Chem.GetMolFrags(mol)) > 1:
        return "several molecules"
    return _impossible_ring(mol)


def _impossible_ring(mol: Chem.Mol) -> str:
    rings = mol.GetRingInfo()
    for bond in mol.GetBonds():
        sizes = rings.BondRingSizes(bond.GetIdx())
        triple = bond.GetBondType() == Chem.BondType.TRIPLE
        if triple and sizes and min(sizes) < _SHORTEST_WITH_TRIPLE_BOND:
            return "triple bond in a small ring"
    bridgeheads: list[int] = []
    rdMolDescriptors.CalcNumBridgeheadAtoms(mol, bridgeheads)  # type: ignore[arg-type]  # stub
    if len(bridgeheads) > _MAX_BRIDGEHEADS:
        return "cage of many bridges"
    for i in bridgeheads:
        flat = any(
            bond.GetBondTypeAsDouble() > 1 and bond.IsInRing()
            for bond in mol.GetAtomWithIdx(i).GetBonds()
        )
        if flat and max(rings.AtomRingSizes(i)) <= _STIFF:
            return "flat bridgehead"
    return ""
