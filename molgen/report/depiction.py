"""Structure drawings that can be compared at a glance: the same part is drawn the same way up.

The first molecule with a core that the campaign had to keep, or else with a Murcko scaffold, is
turned so that its long axis lies flat; the others with that part are laid out on it. A layout of
its own can still be mirrored in two ways: it is mirrored so that atoms with the same surroundings
lie on the same side as in the layouts before it, those of similar molecules above all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor, rdFingerprintGenerator
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams
from rdkit.Geometry import Point3D

from molgen.graphs.open_stereo import open_elements

# Element colours that can be read on light and on dark paper. Black stands for the text colour of
# the page and is replaced after drawing.
_PALETTE: dict[int, tuple[float, ...]] = {
    -1: (0, 0, 0), 0: (0.45, 0.45, 0.45), 1: (0.45, 0.45, 0.45), 6: (0, 0, 0),
    7: (0.27, 0.49, 0.88), 8: (0.87, 0.31, 0.27), 9: (0.16, 0.58, 0.45),
    15: (0.80, 0.46, 0.13), 16: (0.69, 0.52, 0.05), 17: (0.18, 0.58, 0.28),
    35: (0.64, 0.33, 0.20), 53: (0.52, 0.30, 0.68),
}  # fmt: skip
_ALERT_COLOUR = (0.98, 0.72, 0.30, 0.75)
_PX_PER_ANGSTROM = 20.0  # RDKit lays bonds out 1.5 Å long
_FEATURE_RADIUS = 3
Array = NDArray[np.float64]
_HEADER_END = "<!-- END OF HEADER -->"
_NOISE = re.compile(
    r" class='[^']*'|fill-rule:evenodd;|;stroke-linecap:butt|;stroke-linejoin:miter"
    r"|;stroke-opacity:1(?=[;'])| (?=/>)"
)


def align(
    mols: Sequence[Chem.Mol], scaffolds: Sequence[str], cores: Sequence[str] = ()
) -> list[Chem.Mol]:
    """Gives every molecule 2D coordinates in a common orientation.

    Args:
        mols: Molecules; they are not changed.
        scaffolds: Murcko scaffold of each as SMILES, '' where there is none.
        cores: SMILES of parts that were to be kept, attachment points as `[*:1]`. Of a core in
            several pieces the largest piece counts.

    Returns:
        Copies in the same order with one 2D conformer. Molecules with the same core, or else with
        the same scaffold, have the same coordinates at its atoms. Double bonds of undetermined
        configuration are marked as such, so that drawings and molfiles cross them.
    """
    sides = _Sides()
    pieces = [_core_piece(core) for core in cores]
    templates: dict[str, Chem.Mol] = {}
    placed = []
    for original, scaffold in zip(mols, scaffolds, strict=True):
        mol = Chem.Mol(original)
        for bond in open_elements(mol)[1]:
            mol.GetBondWithIdx(bond).SetStereo(Chem.BondStereo.STEREOANY)
        candidates = [*pieces, Chem.MolFromSmiles(scaffold) if scaffold else None]
        part = next((p for p in candidates if p is not None and mol.HasSubstructMatch(p)), None)
        key = Chem.MolToSmiles(part) if part is not None else ""
        if key in templates and _lay_out_on(mol, templates[key]):
            sides.remember(mol)
        else:
            mol = sides.lay_out(mol)
            if part is not None:
                templates.setdefault(key, _cut_out(mol, part))
        placed.append(mol)
    return placed


def draw(
    mol: Chem.Mol, *, width_px: int = 320, height_px: int = 220, highlight: Iterable[int] = ()
) -> str:
    """An SVG element of a molecule, text drawn as paths, in the colour of the surrounding text.

    Args:
        mol: Molecule; its 2D coordinates are used where it has any.
        width_px: Width of the view box.
        height_px: Height of the view box; bonds have one length in all drawings unless a molecule
            would not fit.
        highlight: Indices of atoms to mark, with the bonds between them.

    Returns:
        `<svg …>…</svg>` without XML declaration, namespace prefixes, ids or outside references.
        Undetermined stereocentres carry a question mark.
    """
    mol = Chem.Mol(mol)
    if not mol.GetNumConformers():
        rdDepictor.Compute2DCoords(mol, canonOrient=True)
    for index in open_elements(mol)[0]:
        mol.GetAtomWithIdx(index).SetProp("atomNote", "?")
    atoms = sorted(set(highlight))
    bonds = [
        bond.GetIdx() for bond in mol.GetBonds()
        if bond.GetBeginAtomIdx() in atoms and bond.GetEndAtomIdx() in atoms
    ]  # fmt: skip
    drawer = rdMolDraw2D.MolDraw2DSVG(width_px, height_px)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.fixedBondLength = _PX_PER_ANGSTROM
    options.bondLineWidth = 1.5
    options.padding = 0.04
    options.setAtomPalette(_PALETTE)
    options.setHighlightColour(_ALERT_COLOUR)
    options.highlightBondWidthMultiplier = 10
    options.annotationFontScale = 0.8
    options.setAnnotationColour((0.55, 0.35, 0.75))
    prepared = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=True, addChiralHs=False)
    drawer.DrawMolecule(prepared, highlightAtoms=atoms, highlightBonds=bonds)
    drawer.FinishDrawing()
    return _plain_svg(str(drawer.GetDrawingText()), width_px, height_px)


def alert_atoms(mol: Chem.Mol, catalogs: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Structural alerts of a molecule, and the atoms that cause each.

    Args:
        mol: Molecule.
        catalogs: Names of RDKit filter catalogues, such as 'PAINS' and 'BRENK'.

    Returns:
        Name as the scoring writes it, such as 'PAINS quinone_A(370)' -> indices of its atoms.
    """
    found: dict[str, set[int]] = {}
    for catalog in dict.fromkeys(catalogs):
        for entry in _filter_catalog(catalog).GetMatches(mol):
            atoms = found.setdefault(f"{catalog} {entry.GetDescription()}", set())
            for match in entry.GetFilterMatches(mol):
                atoms.update(int(pair[1]) for pair in match.atomPairs)
    return {name: tuple(sorted(atoms)) for name, atoms in found.items()}


@cache
def _filter_catalog(name: str) -> FilterCatalog:
    params = FilterCatalogParams()
    params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog(params)


def _core_piece(core: str) -> Chem.Mol | None:
    """The largest connected piece of a core, without its attachment points."""
    mol = Chem.MolFromSmiles(core)
    if mol is None:
        return None
    editable = Chem.RWMol(mol)
    for index in sorted((a.GetIdx() for a in mol.GetAtoms() if not a.GetAtomicNum()), reverse=True):
        editable.RemoveAtom(index)
    with rdBase.BlockLogs():
        pieces = Chem.GetMolFrags(editable, asMols=True, sanitizeFrags=False)
    if not pieces:
        return None
    piece = max(pieces, key=lambda p: p.GetNumAtoms())
    # Aromaticity was perceived with the attachment points in place; the piece is only a pattern.
    piece.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(piece)
    return Chem.Mol(piece)


def _cut_out(mol: Chem.Mol, part: Chem.Mol) -> Chem.Mol:
    """`part` with the coordinates that its atoms have in `mol`, which must contain it."""
    conformer = Chem.Conformer(part.GetNumAtoms())
    for index, atom in enumerate(mol.GetSubstructMatch(part)):
        conformer.SetAtomPosition(index, mol.GetConformer().GetAtomPosition(atom))
    template = Chem.Mol(part)
    template.AddConformer(conformer)
    return template


def _lay_out_on(mol: Chem.Mol, template: Chem.Mol) -> bool:
    """Lays `mol` out in place with the template's coordinates; False where that fails."""
    params: Any = rdDepictor.ConstrainedDepictionParams()
    params.acceptFailure = True
    with rdBase.BlockLogs():
        match = rdDepictor.GenerateDepictionMatching2DStructure(mol, template, -1, None, params)
    return len(match) > 0


class _Sides:
    """Remembers where atoms of a kind were drawn, and mirrors the next layout accordingly."""

    def __init__(self) -> None:
        self._generator = rdFingerprintGenerator.GetMorganGenerator(radius=_FEATURE_RADIUS)
        self._placed: list[dict[int, Array]] = []  # environment -> its mean position, [2]

    def lay_out(self, original: Chem.Mol) -> Chem.Mol:
        """A copy with fresh coordinates, centred, long axis flat, mirrored to fit the others."""
        mol = Chem.Mol(original)
        rdDepictor.Compute2DCoords(mol, canonOrient=True, useRingTemplates=True)
        rdDepictor.NormalizeDepiction(mol, canonicalize=1, scaleFactor=1.0)
        sign = self._best_sign(self._features(mol))
        conformer = mol.GetConformer()
        for index, (x, y) in enumerate(_centred(mol) * sign):
            conformer.SetAtomPosition(index, Point3D(float(x), float(y), 0.0))
        self.remember(mol)
        return mol

    def remember(self, mol: Chem.Mol) -> None:
        """Takes a finished layout as an example for the next ones."""
        self._placed.append(self._features(mol))

    def _best_sign(self, features: dict[int, Array]) -> Array:
        """Which way to mirror, [2]: each earlier layout has a say that grows with likeness."""
        agreement = np.zeros(2)
        for earlier in self._placed:
            shared = features.keys() & earlier.keys()
            if shared:
                likeness = len(shared) / len(features.keys() | earlier.keys())
                for key in sorted(shared):
                    agreement += likeness**3 * features[key] * earlier[key]
        return np.where(np.round(agreement, 6) < 0, -1.0, 1.0)

    def _features(self, mol: Chem.Mol) -> dict[int, Array]:
        """Hashes of the circular environments, each with the mean position of its centres, [2]."""
        xy = _centred(mol)
        unit = xy / max(float(np.abs(xy).max()), 1e-9)
        extra = rdFingerprintGenerator.AdditionalOutput()
        extra.AllocateBitInfoMap()
        self._generator.GetSparseCountFingerprint(mol, additionalOutput=extra)
        found = {}
        for key, places in extra.GetBitInfoMap().items():
            # A bare element (radius 0) says little about where it belongs.
            centres = [atom for atom, radius in places if radius]
            if centres:
                found[int(key)] = np.asarray(unit[centres].mean(axis=0))
        return found


def _centred(mol: Chem.Mol) -> Array:
    """Coordinates around their centre, [n_atoms, 2]."""
    xy: Array = np.asarray(mol.GetConformer().GetPositions())[:, :2]
    return np.asarray(xy - xy.mean(axis=0))


def _plain_svg(text: str, width_px: int, height_px: int) -> str:
    """Keeps only the drawing of RDKit's SVG document, without what is SVG's default anyway."""
    body = text[text.index(_HEADER_END) + len(_HEADER_END) : text.rindex("</svg>")]
    lines = (line for line in body.splitlines() if line.strip() and not line.startswith("<rect"))
    drawing = _NOISE.sub("", "".join(lines)).replace("#000000", "currentColor")
    return f"<svg class='mol' viewBox='0 0 {width_px} {height_px}' role='img'>{drawing}</svg>"
