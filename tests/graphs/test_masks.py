"""The masks: whatever is drawn, the graph ends as one piece with every attachment point used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.graphs.dataset import PackedMolecules
from molgen.graphs.decoding import to_mol
from molgen.graphs.encoding import encode
from molgen.graphs.orders import Plan, choose_kept, draw_batch, expand, new_plan, new_targets
from molgen.graphs.state import (
    KEPT,
    KEPT_MARKED,
    MAX_ATOMS,
    N_ALLOWED,
    State,
    action_columns,
    allowed_actions,
    allowed_atoms,
    atoms_needed,
    lock,
    new_states,
    step,
    token_limit,
)
from molgen.graphs.vocabulary import STOP
from tests.conftest import MAX_ATOMS as LIMIT
from tests.graphs.building import Kit, built, flat, planned
from tests.property_models.drugs import DRUGS

drugs = st.sampled_from([s for s in DRUGS if 1 < flat(s).GetNumAtoms() <= LIMIT])
seeds = st.integers(0, 2**63 - 1)


Requirements = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]


def requirements(kit: Kit) -> Requirements:
    return action_columns(kit.tables), kit.tables.action_W["size"].clip(1)


def legal_actions(
    g: State, needs: Requirements, max_atoms: int, min_atoms: int = 1
) -> npt.NDArray[np.int64]:
    allowed = np.zeros(N_ALLOWED, np.int16)
    allowed_actions(g, min_atoms, max_atoms, allowed)
    return np.flatnonzero(allowed[needs[0]] >= needs[1])


def walk(g: State, kit: Kit, seed: int, max_atoms: int, min_atoms: int = 1) -> int:
    """Take legal steps until stop; how many. Closures and small items are taken oftenest, since
    they are what can lead astray."""
    rng = np.random.default_rng(seed)
    size, needs = kit.tables.action_W["size"], requirements(kit)
    for n_steps in range(200):
        legal = legal_actions(g, needs, max_atoms, min_atoms)
        assert len(legal), "a dead end"
        small = legal[size[legal] < 2]
        action = int(rng.choice(small if len(small) and rng.random() < 0.8 else legal))
        if action == STOP:
            return n_steps
        atoms = np.zeros(MAX_ATOMS, np.uint8)
        allowed_atoms(g, action, max_atoms, kit.tables, atoms)
        assert atoms.any(), "an action that can go nowhere"
        step(g, action, int(rng.choice(np.flatnonzero(atoms))), kit.tables)
        assert g["n_atoms"] <= max_atoms and g["n_tokens"] <= token_limit(max_atoms)
    raise AssertionError("it never stops")


def prompt_of(smiles: str, seed: int, marked: bool, kit: Kit) -> State:
    """A random part of a drug, in one or several fragments, laid down."""
    plan = planned(flat(smiles), kit)
    plan["rng"] = seed
    choose_kept(plan, marked)
    return built(plan, kit, seed, prompt_only=True)[0]


def fragments(kit: Kit, *pieces: tuple[str, dict[int, tuple[int, int, int]]]) -> State:
    """Fragments with attachment points (of order 1, 2, 3) at their atoms, laid down."""
    plans = []
    for smiles, marks in pieces:
        mol = flat(smiles)
        encoded = encode(mol)
        numbers = kit.vocabulary.units(encoded)
        assert numbers is not None
        plans.append((encoded, numbers, marks))
    units = np.concatenate([n[0] for _, n, _ in plans]).astype(np.uint16)
    bonds, kept = [], []
    for encoded, (_, own), marks in plans:
        bonds.append(own + np.array([len(kept), len(kept), 0]))
        kept += [marks.get(a, (0, 0, 0)) for a in encoded.source_atoms]
    plan: Plan = new_plan()
    expand(plan, units, np.concatenate(bonds).astype(np.uint8), kit.tables)
    marked = any(any(m) for m in kept)
    for a, m in enumerate(kept):
        plan["kept"][a] = KEPT_MARKED if marked else KEPT
        plan["mark"][a, 1:] = m
    return built(plan, kit, 1, prompt_only=True)[0]


def needed(g: State) -> int:
    n_closures = int(g["n_tokens"] - 1 - g["n_atoms"])
    return int(atoms_needed(g["n_atoms"], n_closures, g["n_marks"], g["n_parts"]))


def assert_complete(g: State, kit: Kit) -> None:
    assert g["n_marks"] == 0 and g["n_parts"] == 1
    assert len(Chem.GetMolFrags(to_mol(g, kit.vocabulary))) == 1  # and its valences are legal


@settings(max_examples=80)
@given(drugs, seeds, st.booleans(), st.integers(0, 6))
def test_from_any_part_of_any_drug_no_step_leads_into_a_dead_end(
    kit: Kit, smiles: str, seed: int, marked: bool, slack: int
) -> None:
    """At the very limit of size, and a little above it."""
    g = prompt_of(smiles, seed, marked, kit)
    walk(g, kit, seed, min(needed(g) + slack, MAX_ATOMS))
    assert_complete(g, kit)


AWKWARD = {
    "two points at one atom": [("C", {0: (2, 0, 0)}), ("O", {0: (1, 0, 0)})],
    "double bonds": [("C1CCNCC1", {0: (0, 1, 0)}), ("c1ccccc1", {0: (1, 0, 0)})],
    "double bonds everywhere": [("C", {0: (0, 1, 0)}), ("N", {0: (0, 1, 0)})] * 2,
    "triple bonds": [("CC", {0: (0, 0, 1)}), ("CC", {0: (0, 0, 1)})],
    "single to triple": [("CC", {0: (0, 0, 1)}), ("CC", {0: (1, 0, 0)})],
    "three fragments": [(s, {0: (1, 0, 0)}) for s in ("O", "N", "c1ccccc1")],
    "six fragments": [("F", {0: (1, 0, 0)})] * 6,
    "a middle piece": [("O", {0: (1, 0, 0)}), ("c1ccccc1", {0: (1, 0, 0), 3: (1, 0, 0)}),
                       ("C", {0: (1, 0, 0)})],
    "charges": [("[NH4+]", {0: (1, 0, 0)}), ("CC(=O)[O-]", {0: (1, 0, 0)})],
    "all of an atom's bonds": [("C", {0: (4, 0, 0)}), ("S", {0: (0, 1, 0)})],
    "unmarked": [("c1ccncc1", {}), ("O", {}), ("CC", {})],
    "unmarked, one hydrogen each": [("F", {}), ("F", {}), ("Cl", {}), ("F", {})],
}  # fmt: skip


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_fragments_are_joined_at_any_size(kit: Kit, name: str) -> None:
    for seed in range(60):
        g = fragments(kit, *AWKWARD[name])
        max_atoms = needed(g) + seed % 4
        walk(g, kit, seed, max_atoms, min_atoms=max_atoms if seed % 2 else 1)
        assert_complete(g, kit)


def attachable_elements(g: State, kit: Kit) -> set[int]:
    types, items = kit.vocabulary.atom_types, kit.tables.action_W["item"]
    legal = legal_actions(g, requirements(kit), LIMIT)
    return {types[items[w]][0] for w in legal if 0 <= items[w] < len(types)}


def test_a_halogen_cannot_take_the_last_point_of_a_fragment(kit: Kit) -> None:
    apart = fragments(kit, ("c1ccccc1", {0: (1, 0, 0)}), ("N", {0: (1, 0, 0)}))
    assert {6, 7, 8} <= attachable_elements(apart, kit)
    assert not {9, 17} & attachable_elements(apart, kit)
    alone = fragments(kit, ("c1ccccc1", {0: (1, 0, 0)}))
    assert {6, 7, 8, 9, 17} <= attachable_elements(alone, kit)


def test_no_ring_passes_through_a_locked_bond(kit: Kit) -> None:
    """The two ends of 2-butene grow towards each other and may not meet."""
    for locked in (False, True):
        n_rings = 0
        for seed in range(60):
            g = fragments(kit, ("CC=CC", {}))
            middle = [a for a in range(4) if g["degree"][a] == 2]
            if locked:
                lock(g, *middle)
            walk(g, kit, seed, 10)
            mol = to_mol(g, kit.vocabulary)
            n_rings += mol.GetBondBetweenAtoms(*middle).IsInRing()
        assert (n_rings == 0) == locked


def test_no_new_ring_passes_through_a_locked_bond_that_is_in_one(kit: Kit) -> None:
    """Cyclooctene: a bridge or a ring fused to it would put its double bond into a smaller one."""
    for locked in (False, True):
        n_more = 0
        for seed in range(60):
            g = fragments(kit, ("C1CCCC=CCC1", {}))
            (middle,) = np.argwhere(np.triu(g["bond"]) == 2)
            if locked:
                lock(g, *middle)
            walk(g, kit, seed, 10)
            mol = to_mol(g, kit.vocabulary)
            around = mol.GetRingInfo().AtomRings()
            n_more += not any(len(r) == 8 and set(r) <= set(range(8)) for r in around)
            n_more += sum(set(middle) <= set(r) for r in around) > 1
        assert (n_more == 0) == locked


def test_thousands_of_random_kept_parts_are_legal_to_learn(packed: PackedMolecules) -> None:
    """Every recorded step is one the masks allow, so its log-probability is finite."""
    tables = packed.vocabulary.tables()
    n = 3000
    states, targets, plan = new_states(n), new_targets(n), new_plan()
    chosen = np.arange(n, dtype=np.int64) % len(packed)
    seeds = np.arange(n, dtype=np.uint64) * np.uint64(7919)
    draw_batch(
        states, targets, plan, packed.units, packed.unit_start, packed.bonds, packed.bond_start,
        chosen, seeds, 1.0, tables, LIMIT,
    )  # fmt: skip
    b, t = np.nonzero(targets["action"] >= 0)
    action = targets["action"][b, t]
    need = tables.action_W["size"].clip(1)[action]
    assert (targets["allowed"][b, t, action_columns(tables)[action]] >= need).all()
    b, t = np.nonzero(targets["pointer"] >= 0)
    assert (targets["pointer_allowed"][b, t, targets["pointer"][b, t]] == 1).all()
    joined = (states["status"] == KEPT).any(1) | (states["status"] == KEPT_MARKED).any(1)
    assert joined.mean() > 0.9
