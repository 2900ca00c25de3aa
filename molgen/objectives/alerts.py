"""Structural alerts by name, and a short hard list of chemical warfare agents.

The alerts are RDKit's catalogues; they mark what deserves a look, not what is impossible.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from rdkit import Chem
from rdkit.Chem import FilterCatalog


@cache
def _catalog(name: str) -> FilterCatalog.FilterCatalog:
    params = FilterCatalog.FilterCatalogParams()
    params.AddCatalog(getattr(FilterCatalog.FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog.FilterCatalog(params)


def alerts(mol: Chem.Mol, catalogs: Sequence[str]) -> list[str]:
    """Names of the alerts a molecule matches, such as 'PAINS quinone_A(370)'.

    Args:
        mol: The molecule.
        catalogs: Of 'PAINS' (Baell and Holloway 2010, https://doi.org/10.1021/jm901137j),
            'BRENK' (Brenk et al. 2008, https://doi.org/10.1002/cmdc.200700139), 'NIH' (Jadhav
            et al. 2010, https://doi.org/10.1021/jm901070c; Doveston et al. 2015,
            https://doi.org/10.1039/c4ob02287d) and 'ZINC' (property and group rules of the ZINC
            database).

    Returns:
        One name per matching pattern, in the order of the catalogues; an alert that two of them
        share is listed for both.
    """
    return [
        f"{name} {entry.GetDescription()}"
        for name in dict.fromkeys(catalogs)
        for entry in _catalog(name).GetMatches(mol)
    ]


# Source of the classes: Schedule 1 of the Annex on Chemicals, Chemical Weapons Convention, with
# the changes in force since 7 June 2020,
# https://www.opcw.org/chemical-weapons-convention/annexes/annex-chemicals/annex-chemicals
# The patterns are wider than the Schedule (chain lengths are not checked), because a filter that
# a longer chain escapes is none. Not covered: the toxins (saxitoxin, ricin) and the bisquaternary
# carbamates of the Schedule.
_HAZARDS: tuple[tuple[str, str], ...] = (
    # 1.A.1 (sarin, soman and their like), 1.A.13 to 1.A.15 (the amidine series) and 1.B.9
    # (phosphonyl difluorides): every phosphorus-fluorine bond. The counter-ion PF6- is spared.
    ("organophosphorus fluoride", "[#15;X3,X4]F"),
    # 1.A.2 (tabun and its like)
    ("organophosphorus cyanide", "[#15;X3,X4]C#N"),
    # 1.A.3 (VX and its like), with sulfur or selenium. The phosphorus carries carbon, nitrogen or
    # an ester, so that amifostine (a phosphorothioic acid) passes. Echothiophate, once an eye
    # drop, is caught.
    (
        "phosphorothiolate ester of an aminoethanethiol",
        "[#15;X4;$([#15][#6]),$([#15][#7]),$([#15]O[#6])]"
        "[S,Se;X2][CX4][CX4][#7;X3,X4;!$([#7]C=[O,S,N])]",
    ),
    # its isomers with the doubly bonded sulfur
    (
        "phosphonothionate ester of an aminoethanol",
        "[#15;X4;$([#15][CX4])](=[S,Se])O[CX4][CX4][#7;X3,X4;!$([#7]C=[O,S,N])]",
    ),
    # 1.A.4: one 2-haloethyl arm on a thioether is enough, as in the Schedule's first entry
    ("sulfur mustard", "[Cl,Br,I][CX4;H2][CX4;H2][SX2][#6]"),
    # 1.A.6: two 2-haloethyl arms on one nitrogen. Anticancer drugs of this kind count as well:
    # chlorambucil, melphalan, bendamustine, cyclophosphamide.
    (
        "nitrogen mustard",
        "[#7;X3,X4]([CX4;H2][CX4;H2][Cl,Br,I])[CX4;H2][CX4;H2][Cl,Br,I]",
    ),
    # the arms on two nitrogens of one phosphorus: ifosfamide
    (
        "nitrogen mustard",
        "[#15]([#7;X3][CX4;H2][CX4;H2][Cl,Br,I])[#7;X3][CX4;H2][CX4;H2][Cl,Br,I]",
    ),
    # 1.A.5: one to three 2-chlorovinyl groups on arsenic
    ("lewisite", "[#33][CX3]=[CX3][Cl]"),
)


@cache
def _hazard_patterns() -> list[tuple[str, Chem.Mol]]:
    return [(name, Chem.MolFromSmarts(smarts)) for name, smarts in _HAZARDS]


def hazard(mol: Chem.Mol) -> str:
    """Name of the class of chemical warfare agents a molecule belongs to; '' for none."""
    for name, pattern in _hazard_patterns():
        if mol.HasSubstructMatch(pattern):
            return name
    return ""
