"""What the generator can add: chosen by frequency, rooted up to symmetry, saved as plain JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from molgen.errors import ModelFileError
from molgen.graphs.encoding import encode
from molgen.graphs.vocabulary import N_FIXED_ACTIONS, STOP, Vocabulary, build_vocabulary
from tests.graphs.building import Kit, flat, planned


def vocabulary_of(*smiles: str, n_rooted_rings: int = 100, min_atom_count: int = 1) -> Vocabulary:
    encoded = [encode(flat(s)) for s in smiles]
    return build_vocabulary(encoded, n_rooted_rings=n_rooted_rings, min_atom_count=min_atom_count)


def test_it_survives_json(vocabulary: Vocabulary) -> None:
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    for mine, other in zip(vocabulary.tables(), again.tables(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("broken", [{}, {"rings": 3}, {"rings": [["key"]]}, {"rings": [[1, 2, 3]]}])
def test_broken_json_is_a_broken_model_file(broken: dict[str, object]) -> None:
    with pytest.raises(ModelFileError, match="vocabulary in the weights file is broken"):
        Vocabulary.from_json(broken)


def test_roots_that_a_symmetry_exchanges_are_one() -> None:
    assert len(vocabulary_of("Cc1ccccc1", "Cc1ccc(C)cc1").roots) == 1  # benzene
    pyridine = vocabulary_of("Cc1ccncc1", "Cc1cccnc1", "Cc1ccccn1")
    assert len(pyridine.rings) == 1
    assert len(pyridine.roots) == 3  # ortho, meta, para


def test_an_atom_without_free_valence_is_no_root() -> None:
    spiro = vocabulary_of("C1CC2(C1)CCN2")
    (ring,) = spiro.rings
    quaternary = [a for a in range(7) if sum(a in b[:2] for b in ring.bonds) == 4]
    assert len(quaternary) == 1
    assert all(root != quaternary[0] for _, root in spiro.roots)


def test_the_commonest_rooted_rings_are_taken() -> None:
    several = ["Cc1ccccc1"] * 3 + ["CC1CCCCC1"] * 2 + ["Cc1ccsc1"]
    assert len(vocabulary_of(*several, n_rooted_rings=2).rings) == 2
    (only,) = vocabulary_of(*several, n_rooted_rings=1).rings
    assert len(only.bonds) == 6 and "$" in only.key  # $ stands for an aromatic bond


def test_rare_atom_types_and_their_rings_are_left_out() -> None:
    both = vocabulary_of("CCO", "CCN", "C[Si](C)(C)C", "CC1CC[Si](C)(C)CC1", "CO", min_atom_count=3)
    assert both.atom_types == ((6, 0, 4),)
    assert not both.rings
    assert both.units(encode(flat("CCCl"))) is None


def test_a_ring_outside_the_vocabulary_is_opened_in_place() -> None:
    vocabulary = vocabulary_of("Cc1ccccc1", "CN", "CO")
    numbers = vocabulary.units(encode(flat("OC1CCNC1")))
    assert numbers is not None
    units, bonds = numbers
    assert len(units) == 6 and units.max() < len(vocabulary.atom_types)
    assert len(bonds) == 6


def test_every_action_says_what_it_adds_and_by_which_bond(vocabulary: Vocabulary) -> None:
    tables = vocabulary.tables()
    actions = tables.action_W
    assert vocabulary.n_actions == len(actions)
    assert list(actions["bond"][:N_FIXED_ACTIONS]) == [0, 1, 2, 3]
    assert STOP == 0 and (actions["item"][:N_FIXED_ACTIONS] == -1).all()
    for w, (item, order) in enumerate(vocabulary.attachments, start=N_FIXED_ACTIONS):
        assert tables.attach_I4[item, order] == w
        assert tuple(actions[w])[:2] == (order, item)


def test_an_expanded_ring_is_laid_down_root_first_and_connected(vocabulary: Vocabulary) -> None:
    for (system, root), rooted in zip(vocabulary.roots, vocabulary.tables().ring_R, strict=True):
        ring = vocabulary.rings[system]
        n = int(rooted["n_atoms"])
        assert n == len(ring.atom_types)
        assert vocabulary.atom_types[rooted["type"][0]] == ring.atom_types[root]
        bonds = rooted["bond"][: rooted["n_bonds"]]
        for k in range(1, n):
            assert any(first < k for first, second, _ in bonds if second == k)


def test_a_plan_has_the_molecules_bonds(kit: Kit) -> None:
    mol = flat("Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1")
    plan = planned(mol, kit)
    assert plan["n_atoms"] == mol.GetNumAtoms()
    assert (plan["bond"] > 0).sum() == 2 * mol.GetNumBonds()
    np.testing.assert_array_equal(plan["bond"], plan["bond"].T)
