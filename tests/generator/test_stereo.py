"""Stereochemistry: kept by neighbour order, restored on samples, never picked silently."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.generator.network import GraphTransformer
from molgen.generator.prompts import parse_prompt

CHIRAL = [
    "CC(=O)N[C@@H](Cc1ccccc1)C(=O)O",
    "C[C@H](N)/C=C/C(=O)O",
    "C[C@@H]1CC[C@@H](C(=O)O)O1",
    "O[C@H]1[C@H](O)CN[C@@H]1CO",
    "C[C@](F)(Cl)/C=C\\CO",
    "C[S@](=O)c1ccccc1",
    "CC[C@@]1(C)CC[C@H](N)CC1",
    "C/C=C/C=C\\C",
    "F/C(Cl)=C(/O)C",
    "[13CH3][C@H](C)O",
]


def restored(smiles: str, prompt_text: str, kept: list[int], network: GraphTransformer) -> str:
    """The flat molecule with the prompt's stereo put back."""
    flat = Chem.MolFromSmiles(smiles)
    prompt = parse_prompt(prompt_text, network.vocabulary, network.tables)
    return str(Chem.MolToSmiles(prompt.finish(flat, kept)))


@settings(max_examples=60)
@given(st.sampled_from(CHIRAL), st.integers(0, 2**32))
def test_a_molecule_kept_whole_gets_its_stereo_back_in_any_order_of_atoms(
    network: GraphTransformer, smiles: str, seed: int
) -> None:
    """Written anew with atoms shuffled as prompt, and shuffled again as sample."""
    rng = np.random.default_rng(seed)
    mol = Chem.MolFromSmiles(smiles)
    n = mol.GetNumAtoms()
    shuffled = Chem.RenumberAtoms(mol, [int(a) for a in rng.permutation(n)])
    text = Chem.MolToSmiles(shuffled, canonical=False)
    prompt = parse_prompt(text, network.vocabulary, network.tables)
    order = rng.permutation(n)
    flat = Chem.Mol(prompt.core)
    sample = Chem.RenumberAtoms(flat, [int(a) for a in order])
    kept = [int(np.flatnonzero(order == a)[0]) for a in range(n)]
    assert Chem.MolToSmiles(prompt.finish(sample, kept)) == Chem.MolToSmiles(mol)


@pytest.mark.parametrize(
    ("prompt", "flat", "kept", "expected"),
    [
        # The point counts as a neighbour.
        ("N[C@@H](C)[*:1]", "NC(C)CO", [0, 1, 2], "N[C@@H](C)CO"),
        ("N[C@@H]([*:1])C", "NC(CO)C", [0, 1, 4], "N[C@@H](CO)C"),
        ("[*:1][C@@H](N)C", "OCC(N)C", [2, 3, 4], "OC[C@@H](N)C"),
        # A label may change where the neighbours do not.
        ("C[C@H](F)[*:1]", "CC(F)Br", [0, 1, 2], "C[C@H](F)Br"),
        ("C[C@H](F)[*:1]", "CC(F)CC", [0, 1, 2], "C[C@H](F)CC"),
        # A new atom lies where the hydrogen lay.
        ("N[C@@H](C)O", "NC(C)(O)F", [0, 1, 2, 3], "N[C@@](F)(C)O"),
        # Points at one atom are filled in the order of their numbers.
        ("F[C@]([*:1])([*:2])C", "FC(Br)(Cl)C", [0, 1, 4], "F[C@](Br)(Cl)C"),
        ("F[C@]([*:2])([*:1])C", "FC(Br)(Cl)C", [0, 1, 4], "F[C@](Cl)(Br)C"),
        ("C/C=C/[*:1]", "CC=CC(F)F", [0, 1, 2], "C/C=C/C(F)F"),
        ("C/C=C\\[*:1]", "FC(F)C=CC", [5, 4, 3], "C/C=C\\C(F)F"),
        ("[*:1]/C=C/[*:2]", "OCC=CCF", [2, 3], "OC/C=C/CF"),
        # Two equal substituents: no configuration is left.
        ("N[C@@H](C)[*:1]", "NC(C)C", [0, 1, 2], "CC(C)N"),
        ("C/C=C(/C)[*:1]", "CC=C(C)C", [0, 1, 2, 3], "CC=C(C)C"),
        ("[13CH3][C@H](C)[*:1]", "CC(C)O", [0, 1, 2], "[13CH3][C@H](C)O"),
    ],
)
def test_neighbour_order_decides(
    network: GraphTransformer, prompt: str, flat: str, kept: list[int], expected: str
) -> None:
    assert restored(flat, prompt, kept, network) == Chem.CanonSmiles(expected)
