"""Building orders: whatever the order, the molecule comes out, and every step is a legal one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from molgen.graphs.decoding import to_mol
from molgen.graphs.orders import Plan, choose_kept
from molgen.graphs.state import (
    FAR,
    FREE,
    KEPT_MARKED,
    KIND_CLOSE,
    KIND_START,
    MAX_ATOMS,
    N_ALLOWED,
    State,
    action_columns,
    allowed_actions,
    allowed_atoms,
    token_limit,
)
from molgen.graphs.vocabulary import N_FIXED_ACTIONS, STOP, Vocabulary
from tests.conftest import MAX_ATOMS as LIMIT
from tests.graphs.building import Kit, built, flat, planned, replayed, same, shuffled
from tests.property_models.drugs import DRUGS

SMALL = [s for s in DRUGS if flat(s).GetNumAtoms() <= LIMIT]
drugs = st.sampled_from(SMALL)
seeds = st.integers(0, 2**63 - 1)


def with_kept_part(plan: Plan, seed: int, marked: bool) -> Plan:
    plan["rng"] = seed
    choose_kept(plan, marked)
    return plan


@given(drugs, seeds)
def test_any_order_gives_the_molecule_back(kit: Kit, smiles: str, seed: int) -> None:
    mol = shuffled(flat(smiles), seed)
    state, _ = built(planned(mol, kit), kit, seed)
    assert same(to_mol(state, kit.vocabulary)) == same(mol)


@given(drugs, seeds, st.booleans())
def test_any_order_around_a_kept_part_gives_the_molecule_back(
    kit: Kit, smiles: str, seed: int, marked: bool
) -> None:
    plan = with_kept_part(planned(flat(smiles), kit), seed, marked)
    state, _ = built(plan, kit, seed)
    assert same(to_mol(state, kit.vocabulary)) == same(flat(smiles))


def test_ties_are_drawn_at_random(kit: Kit) -> None:
    plan = planned(flat(DRUGS[0]), kit)
    orders = {tuple(built(plan, kit, seed)[0]["type"][:13]) for seed in range(20)}
    assert len(orders) > 1
    again = [built(plan, kit, 3)[0]["type"].tolist() for _ in range(2)]
    assert again[0] == again[1]


@given(drugs, seeds, st.sampled_from(["nothing", "kept", "marked"]))
def test_every_recorded_target_is_legal(kit: Kit, smiles: str, seed: int, kept: str) -> None:
    plan = planned(flat(smiles), kit)
    if kept != "nothing":
        with_kept_part(plan, seed, kept == "marked")
    state, target = built(plan, kit, seed)
    columns = action_columns(kit.tables)
    rows = np.flatnonzero(target["action"][: state["n_tokens"]] >= 0)
    assert target["action"][rows[-1]] == STOP
    for row in rows:
        action, pointer = target["action"][row], target["pointer"][row]
        need = max(1, kit.tables.action_W[action]["size"]) if action >= N_FIXED_ACTIONS else 1
        assert target["allowed"][row, columns[action]] >= need
        if pointer >= 0:
            assert target["pointer_allowed"][row, pointer] == 1
        else:
            assert action == STOP or row == 0


@given(drugs, seeds)
def test_the_targets_replayed_build_the_same_tokens(kit: Kit, smiles: str, seed: int) -> None:
    """And on the way the masks, worked out afresh, are those that were recorded."""
    state, target = built(planned(flat(smiles), kit), kit, seed)
    graph = None
    for graph, action, pointer in replayed(state, target, kit):
        row = int(graph["n_tokens"]) - 1
        allowed, atoms = np.zeros(N_ALLOWED, np.int16), np.zeros(MAX_ATOMS, np.uint8)
        allowed_actions(graph, 1, LIMIT, allowed)
        np.testing.assert_array_equal(allowed, target["allowed"][row])
        if pointer >= 0:
            allowed_atoms(graph, action, LIMIT, kit.tables, atoms)
            np.testing.assert_array_equal(atoms, target["pointer_allowed"][row])
    assert graph is not None
    n = int(state["n_tokens"])
    for column in ("token_type", "token_bond", "token_kind", "token_status", "token_atom"):
        np.testing.assert_array_equal(graph[column][:n], state[column][:n])
    np.testing.assert_array_equal(np.tril(graph["code"][:n, :n]), np.tril(state["code"][:n, :n]))


@given(drugs, seeds)
def test_after_every_step_the_graph_is_what_rdkit_says(kit: Kit, smiles: str, seed: int) -> None:
    state, target = built(planned(flat(smiles), kit), kit, seed)
    for graph, _, _ in replayed(state, target, kit):
        if graph["n_atoms"]:
            check_against_rdkit(graph, kit.vocabulary)


def check_against_rdkit(graph: State, vocabulary: Vocabulary) -> None:
    n = int(graph["n_atoms"])
    mol = to_mol(graph, vocabulary)
    distance = Chem.GetDistanceMatrix(mol)
    connected = distance < 1e6
    np.testing.assert_array_equal(graph["distance"][:n, :n][connected], distance[connected])
    assert (graph["distance"][:n, :n][~connected] == FAR).all()
    assert graph["n_parts"] == len(Chem.GetMolFrags(mol))
    for a, atom in enumerate(mol.GetAtoms()):
        assert graph["degree"][a] == atom.GetDegree()
        assert (graph["system"][a] >= 0) == atom.IsInRing()
        bonds = int(graph["bond"][a].sum())
        valence = vocabulary.atom_types[graph["type"][a]][2]
        if graph["status"][a] != KEPT_MARKED:
            assert graph["capacity"][a] == valence - bonds
    for bond in mol.GetBonds():  # one number for all that rings hold together
        if bond.IsInRing():
            assert graph["system"][bond.GetBeginAtomIdx()] == graph["system"][bond.GetEndAtomIdx()]
    assert graph["n_tokens"] <= token_limit(LIMIT)


@given(drugs, seeds, st.booleans())
def test_a_graph_around_a_kept_part_is_what_rdkit_says(
    kit: Kit, smiles: str, seed: int, marked: bool
) -> None:
    """Kept parts may lie apart at first, and are joined later."""
    plan = with_kept_part(planned(flat(smiles), kit), seed, marked)
    check_against_rdkit(built(plan, kit, seed, prompt_only=True)[0], kit.vocabulary)
    check_against_rdkit(built(plan, kit, seed)[0], kit.vocabulary)


@given(drugs, seeds, st.booleans())
def test_kept_atoms_come_first_and_cost_nothing(
    kit: Kit, smiles: str, seed: int, marked: bool
) -> None:
    plan = with_kept_part(planned(flat(smiles), kit), seed, marked)
    n_kept = int((plan["kept"] != FREE).sum())
    if plan["n_atoms"] > 1:
        assert 0 < n_kept < plan["n_atoms"]
    state, target = built(plan, kit, seed)
    n = int(state["n_atoms"])
    assert (state["status"][:n_kept] != FREE).all()
    assert (state["status"][n_kept:n] == FREE).all()
    kept_tokens = [i for i in range(1, state["n_tokens"]) if state["token_atom"][i] < n_kept]
    assert kept_tokens == list(range(1, len(kept_tokens) + 1))
    assert (target["action"][: len(kept_tokens)] == -1).all()
    assert target["action"][len(kept_tokens)] > 0


@given(drugs, seeds)
def test_marked_atoms_are_open_only_at_their_marks(kit: Kit, smiles: str, seed: int) -> None:
    plan = with_kept_part(planned(flat(smiles), kit), seed, True)
    prompt, _ = built(plan, kit, seed, prompt_only=True)
    n = int(prompt["n_atoms"])
    assert prompt["n_marks"] == plan["mark"][: plan["n_atoms"]].sum()
    atoms = np.zeros(MAX_ATOMS, np.uint8)
    for order in (1, 2, 3):
        by_order = [
            w
            for w in range(N_FIXED_ACTIONS, kit.vocabulary.n_actions)
            if kit.tables.action_W[w]["bond"] == order and kit.tables.action_W[w]["size"] == 1
        ]
        allowed_atoms(prompt, by_order[0], MAX_ATOMS, kit.tables, atoms)
        np.testing.assert_array_equal(atoms[:n] == 1, prompt["mark"][:n, order] > 0)
    finished, _ = built(plan, kit, seed)
    assert finished["n_marks"] == 0 and (finished["mark"][:n] == 0).all()
    for a in range(n):  # every bond from the kept part to the rest sits where a mark was
        for order in (1, 2, 3):
            made = (finished["bond"][a, n : finished["n_atoms"]] == order).sum()
            assert made == prompt["mark"][a, order]


def test_stop_waits_for_every_mark_and_for_one_piece(kit: Kit) -> None:
    for seed in range(50):
        plan = with_kept_part(planned(flat(DRUGS[2]), kit), seed, True)
        prompt, _ = built(plan, kit, seed, prompt_only=True)
        allowed = np.zeros(N_ALLOWED, np.int16)
        allowed_actions(prompt, 1, LIMIT, allowed)
        assert not allowed[6]


def test_a_ring_is_one_step_where_it_can_be_and_its_atoms_know_it(kit: Kit) -> None:
    state, target = built(planned(flat("Cc1ccccc1"), kit), kit, 1)
    n_steps = (target["action"][: state["n_tokens"]] >= 0).sum()
    assert n_steps == 3  # methyl and ring in some order, stop
    assert state["token_kind"][0] == KIND_START
    assert KIND_CLOSE not in state["token_kind"][: state["n_tokens"]]


def test_a_ring_outside_the_vocabulary_is_built_atom_by_atom(kit: Kit) -> None:
    mol = flat("C1CCNOC1C")
    assert not any("C1CCNOC1" in s for s in DRUGS)
    state, _ = built(planned(mol, kit), kit, 1)
    assert (state["token_kind"][: state["n_tokens"]] == KIND_CLOSE).sum() == 1
    assert same(to_mol(state, kit.vocabulary)) == same(mol)


@pytest.mark.parametrize("smiles", ["C", "CC", "C#N"])
def test_the_smallest_molecules_can_be_kept_in_part(kit: Kit, smiles: str) -> None:
    plan = with_kept_part(planned(flat(smiles), kit), 1, True)
    assert (plan["kept"] != FREE).sum() == (1 if plan["n_atoms"] > 1 else 0)
