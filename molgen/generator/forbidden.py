"""What may not be built: elements left out, and substructures given as SMARTS.

Elements are masked while a molecule is built. A finished molecule that matches a forbidden
substructure is rejected; atoms and ring systems that bring a match by themselves are masked, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase

from molgen.errors import ConfigError
from molgen.generator.prompts import MAX_MATCHES, Prompt
from molgen.graphs.decoding import BOND_TYPES, hydrogens, new_atom
from molgen.graphs.vocabulary import N_FIXED_ACTIONS, Vocabulary

NO_LEGAL_STEP = "no legal step left"

# What stays as it is, whatever is added to a finished ring or atom: element, charge, membership in
# a ring, and that a ring is aromatic (bridging it would end that; so odd a molecule is not missed).
_LASTING = re.compile(
    r"(Atom(And|Or|Null|AtomicNum \d+ !?= val|FormalCharge -?\d+ !?= val|InNRings -1 = val"
    r"|Type 1\d\d\d = val|IsAromatic 1 = val)"
    r"|Bond(And|Or|Null|InRing 1 = val|Order 12 = val)"
    r"|(Single|Double)OrAromaticBond 1 = val)"
)


@dataclass(frozen=True)
class Restrictions:
    """What may be added, and what no finished molecule matches.

    Attributes:
        usable_W: False for the actions that are never taken.
        patterns: SMARTS as written, and the query.
    """

    usable_W: npt.NDArray[np.bool_]
    patterns: tuple[tuple[str, Chem.Mol], ...]

    def first_match(
        self, smiles: str, mol: Chem.Mol, kept: Sequence[int], prompt: Prompt | None
    ) -> str | None:
        """The first SMARTS that a finished molecule matches and its prompt alone does not.

        Args:
            smiles: as it will be written; without a prompt this is what is judged, since reading
                it again may perceive aromaticity anew.
            mol: the molecule.
            kept: atoms of its prompt.
            prompt: what it was grown from, if anything.

        Returns:
            The SMARTS as the user wrote it; None: there is no match.
        """
        if not self.patterns:
            return None
        if prompt is None:
            mol = Chem.MolFromSmiles(smiles)
        core_atom = {a: i for i, a in enumerate(kept)}
        for text, query in self.patterns:
            n_matches = 1 if prompt is None else MAX_MATCHES
            matches = mol.GetSubstructMatches(query, maxMatches=n_matches)
            inside = [
                frozenset(core_atom[a] for a in match)
                for match in matches
                if core_atom.keys() >= set(match)
            ]
            if len(inside) < len(matches):
                return text
            if prompt is not None and inside and not prompt.own_matches(query).issuperset(inside):
                return text
        return None


def restrictions(
    vocabulary: Vocabulary, elements: Sequence[str], forbidden: Sequence[str]
) -> Restrictions:
    """Read a user's restrictions.

    Args:
        vocabulary: of the generator.
        elements: symbols of those that may be added; empty: all.
        forbidden: SMARTS.

    Raises:
        ConfigError: an element that the generator does not know, SMARTS that cannot be parsed, or
            nothing is left to build from.
    """
    if not elements and not forbidden:
        return Restrictions(np.ones(vocabulary.n_actions, np.bool_), ())
    return _restrictions(vocabulary, tuple(elements), tuple(forbidden))


@lru_cache(maxsize=4)  # every shard asks for the same
def _restrictions(
    vocabulary: Vocabulary, elements: tuple[str, ...], forbidden: tuple[str, ...]
) -> Restrictions:
    patterns = tuple((text, parse_smarts(text)) for text in forbidden)
    lasting = [query for _, query in patterns if _lasts(query)]
    numbers = _atomic_numbers(vocabulary, elements) if elements else None
    usable_items = [
        (numbers is None or all(a.GetAtomicNum() in numbers for a in item.GetAtoms()))
        and not any(item.HasSubstructMatch(query) for query in lasting)
        for item in _items(vocabulary)
    ]
    if not any(usable_items):
        raise ConfigError("elements, forbidden: nothing is left that could be added")
    usable = np.ones(vocabulary.n_actions, np.bool_)
    for w, (item, _) in enumerate(vocabulary.attachments, start=N_FIXED_ACTIONS):
        usable[w] = usable_items[item]
    return Restrictions(usable, patterns)


def _items(vocabulary: Vocabulary) -> Iterator[Chem.Mol]:
    """Every atom type and rooted ring, as a molecule of its own."""
    for atom_type in vocabulary.atom_types:
        yield _molecule([atom_type], ())
    rings = [_molecule(ring.atom_types, ring.bonds) for ring in vocabulary.rings]
    for ring, _ in vocabulary.roots:
        yield rings[ring]


def _molecule(
    atom_types: Sequence[tuple[int, int, int]], bonds: Sequence[tuple[int, int, int]]
) -> Chem.Mol:
    """With the hydrogens that the valences ask for; RDKit takes a bare S(VI) for a thiophene's."""
    in_bonds = [0] * len(atom_types)
    for first, second, order in bonds:
        in_bonds[first] += order
        in_bonds[second] += order
    editable = Chem.RWMol()
    for (number, charge, valence), taken in zip(atom_types, in_bonds, strict=True):
        editable.AddAtom(new_atom(number, charge, hydrogens(number, charge, valence, taken)))
    for first, second, order in bonds:
        editable.AddBond(first, second, BOND_TYPES[order])
    mol = editable.GetMol()
    Chem.SanitizeMol(mol)
    return mol


def _atomic_numbers(vocabulary: Vocabulary, elements: Sequence[str]) -> set[int]:
    table = Chem.GetPeriodicTable()
    known = {table.GetElementSymbol(t[0]): t[0] for t in vocabulary.atom_types}
    for symbol in elements:
        if symbol not in known:
            raise ConfigError(
                f"elements: {symbol!r} is not among those that this generator knows: "
                + ", ".join(sorted(known))
            )
    return {known[symbol] for symbol in elements}


def _lasts(query: Chem.Mol) -> bool:
    """Whether a match stays a match, whatever is added to the molecule."""
    described = [a.DescribeQuery() for a in query.GetAtoms()]
    described += [b.DescribeQuery() for b in query.GetBonds()]
    return all(_LASTING.fullmatch(line.strip()) for text in described for line in text.splitlines())


def parse_smarts(text: str) -> Chem.Mol:
    """A query molecule; hydrogens beside an atom become a condition on it, `[H]C` is `[C;!H0]`.

    Raises:
        ConfigError: it cannot be parsed, or asks for hydrogens in a way that nothing would match.
    """
    with rdBase.BlockLogs():
        query = Chem.MolFromSmarts(text)
        if query is None or query.GetNumAtoms() == 0:
            raise ConfigError(f"forbidden {text!r}: cannot be parsed as SMARTS")
        _, unmergeable = Chem.HasQueryHs(query)
        query = Chem.MergeQueryHs(query)
    lines = [line.strip() for a in query.GetAtoms() for line in a.DescribeQuery().splitlines()]
    if unmergeable or "AtomAtomicNum 1 = val" in lines:
        raise ConfigError(
            f"forbidden {text!r}: hydrogens are not atoms here; write what carries them, such as "
            "[CH3] or [*;!H0], or leave them out"
        )
    return query


def read_smarts_file(path: Path) -> list[str]:
    """SMARTS from a file: one a line, a name may follow it; empty lines and # lines are skipped.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
