"""Likelihoods: exact where everything can be enumerated, honest about their error elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from rdkit import Chem

from molgen.generator.likelihood import log_prob_of_molecules, log_prob_of_orders
from molgen.generator.network import GraphTransformer, NetworkSize, to_tensors
from molgen.graphs.decoding import canonical_smiles, to_mol
from molgen.graphs.encoding import encode
from molgen.graphs.order_probability import sequence_probability
from molgen.graphs.orders import Target, new_targets
from molgen.graphs.state import (
    State,
    action_columns,
    allowed_actions,
    allowed_atoms,
    new_states,
    start,
    step,
)
from molgen.graphs.vocabulary import STOP, build_vocabulary
from tests.graphs.building import Kit, built, flat, planned

# ------------------------------------------------------------- a space small enough to enumerate

MAX_ATOMS = 4


@pytest.fixture(scope="module")
def toy() -> GraphTransformer:
    """Carbon, oxygen, and two rings added whole, four atoms at most, outputs far from even."""
    known = [encode(flat(s)) for s in ("C1CC1", "C1CC1O", "C1CO1", "CC1CO1", "CO")]
    vocabulary = build_vocabulary(known, n_rooted_rings=20, min_atom_count=1)
    size = NetworkSize(width=16, n_layers=2, n_heads=2, max_atoms=MAX_ATOMS)
    torch.manual_seed(3)
    network = GraphTransformer(vocabulary, size).eval()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.3)
    return network


@dataclass
class Space:
    """Every building sequence: its molecule, what identifies it, and its log-probability."""

    smiles: list[str]
    keys: list[bytes]
    log_prob: np.ndarray  # type: ignore[type-arg]

    def totals(self) -> dict[str, float]:
        """Over all sequences of each molecule."""
        sums: Counter[str] = Counter()
        for smiles, log_prob in zip(self.smiles, self.log_prob, strict=True):
            sums[smiles] += float(np.exp(log_prob))
        return dict(sums)


def key(target: Target) -> bytes:
    return bytes(target["action"].tobytes() + target["pointer"].tobytes())


@pytest.fixture(scope="module")
def space(toy: GraphTransformer) -> Space:
    state, target = new_states(1)[0], new_targets(1)[0]
    target["action"][:] = target["pointer"][:] = -1
    start(state, False)
    pending, finished = [(state, target)], []
    while pending:
        for state, target in after(*pending.pop(), toy):
            done = (target["action"] == STOP).any()
            (finished if done else pending).append((state, target))
    states, targets = new_states(len(finished)), new_targets(len(finished))
    for b, (state, target) in enumerate(finished):
        states[b], targets[b] = state, target
    with torch.no_grad():
        log_prob = [
            log_prob_of_orders(toy, *to_tensors(states[i : i + 512], targets[i : i + 512]))
            for i in range(0, len(states), 512)
        ]
    smiles = [canonical_smiles(to_mol(s, toy.vocabulary)) for s in states]
    return Space(smiles, [key(t) for t in targets], torch.cat(log_prob).double().numpy())


def after(state: State, target: Target, toy: GraphTransformer) -> list[tuple[State, Target]]:
    """Every legal next step."""
    row, result = int(state["n_tokens"]) - 1, []
    allowed_actions(state, 1, MAX_ATOMS, target["allowed"][row])
    size = toy.tables.action_W["size"].clip(1)
    legal = target["allowed"][row][action_columns(toy.tables)] >= size
    for action in np.flatnonzero(legal):
        atoms = np.zeros(64, np.uint8)
        if action != STOP and state["n_atoms"]:
            allowed_atoms(state, action, MAX_ATOMS, toy.tables, atoms)
        for pointer in np.flatnonzero(atoms) if atoms.any() else [-1]:
            next_state, next_target = state.copy(), target.copy()
            next_target["action"][row], next_target["pointer"][row] = action, pointer
            next_target["pointer_allowed"][row] = atoms
            if action != STOP:
                step(next_state, action, pointer, toy.tables)
            result.append((next_state, next_target))
    return result


def test_all_sequences_and_all_molecules_sum_to_one(space: Space) -> None:
    assert len(space.keys) == len(set(space.keys)) > 1000
    assert np.exp(space.log_prob).sum() == pytest.approx(1, abs=1e-4)
    totals = space.totals()
    assert {"C1CC1", "CC1CC1", "C1CO1", "C1CCC1", "OC1CO1", "C#CC=C"} <= set(totals)
    assert sum(totals.values()) == pytest.approx(1, abs=1e-4)


def sequences_of(smiles: str, kit: Kit, n: int = 300) -> dict[bytes, float]:
    """The sequences that many draws bring, each with its own probability of being drawn."""
    mol = flat(smiles)
    plan, order = planned(mol, kit), np.array(encode(mol).source_atoms)
    matches = np.array(mol.GetSubstructMatches(mol, uniquify=False))
    symmetries = np.argsort(order)[matches[:, order]].astype(np.int16)
    scratch = new_states(1)[0], new_targets(1)[0]
    found: dict[bytes, float] = {}
    for seed in range(n):
        state, target = built(plan, kit, seed)
        if key(target) not in found:
            found[key(target)] = sequence_probability(
                state, plan, target, symmetries, kit.tables, 45, scratch
            )
    return found


def test_a_molecule_is_the_sum_over_its_orders(toy: GraphTransformer, space: Space) -> None:
    kit = Kit(toy.vocabulary, toy.tables)
    known = dict(zip(space.keys, space.log_prob, strict=True))
    of_molecule = defaultdict(set)
    for smiles, one in zip(space.smiles, space.keys, strict=True):
        of_molecule[smiles].add(one)
    molecules = sorted(of_molecule)
    log_prob, error = log_prob_of_molecules(toy, molecules, n_orders=200, seed=1)
    totals = space.totals()
    for smiles, value in zip(molecules, log_prob, strict=True):
        drawn = sequences_of(smiles, kit)
        assert set(drawn) <= of_molecule[smiles]
        assert sum(drawn.values()) == pytest.approx(1)
        exact = np.log(sum(np.exp(known[one]) for one in drawn))
        assert value == pytest.approx(exact, abs=1e-4)
        assert value < np.log(totals[smiles]) + 1e-4, "a lower bound of the whole"
    assert (error == 0).all(), "all orders of so small molecules are seen"


def test_few_orders_are_right_on_average_and_know_their_error(toy: GraphTransformer) -> None:
    """Cyclobutane's ring is not in the vocabulary: its oxygen kin has several sequences."""
    smiles = "C1COC1"
    (exact,), (no_error,) = log_prob_of_molecules(toy, [smiles], n_orders=300)
    assert no_error == 0
    estimates = log_prob_of_molecules(toy, [smiles] * 400, n_orders=2, seed=5)
    ratio = np.exp(estimates.log_prob - exact)
    partly = estimates.standard_error > 0
    assert partly.any()
    assert ratio.mean() == pytest.approx(1, abs=4 * ratio.std() / 20 + 1e-6)


# ---------------------------------------------------------------------------------------- drugs


@pytest.mark.parametrize(
    "smiles",
    ["CC(C)(C)C", "Cc1cc(C)cc(C)c1", "FC(F)(F)c1cc(C(F)(F)F)cc(C)c1", "C1CC2CC1CN2",
     "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "C1CCNOC1C", "C12C3C4C1C5C2C3C45", "CC1CC2(C)CC1(C)C2"],
)  # fmt: skip
def test_the_sequences_drawn_have_the_probabilities_said(kit: Kit, smiles: str) -> None:
    """Symmetric molecules, rings in and outside the vocabulary, several closures at an atom."""
    found = sequences_of(smiles, kit, n=3000)
    assert sum(found.values()) == pytest.approx(1)
    plan, n = planned(flat(smiles), kit), 2000
    drawn = Counter(key(built(plan, kit, seed + 10_000)[1]) for seed in range(n))
    terms = [(drawn[s] - n * q) ** 2 / (n * q) for s, q in found.items()]
    assert sum(terms) < len(terms) + 5 * np.sqrt(2 * len(terms))


def test_what_cannot_be_built_has_a_reason_and_no_number(network: GraphTransformer) -> None:
    smiles = ["CCO", "oops", "", "[U]", "C" * 46, "CC.CC", "C[N+](=O)[O-]", "C" * 45, "OCC"]
    found = log_prob_of_molecules(network, smiles, n_orders=4)
    assert [r is None for r in found.reasons] == [not np.isnan(x) for x in found.log_prob]
    assert found.reasons[1] == found.reasons[2] == "cannot be parsed"
    assert "U" in str(found.reasons[3]) or "vocabulary" in str(found.reasons[3])
    assert found.reasons[4] == "more than 45 heavy atoms"
    assert found.reasons[5] == "more than one fragment"
    assert found.log_prob[0] == pytest.approx(found.log_prob[-1], abs=1e-4)
    again = log_prob_of_molecules(network, smiles, n_orders=4)
    np.testing.assert_array_equal(found.log_prob, again.log_prob)


@pytest.mark.parametrize(
    ("one", "other"),
    [("CC(=O)Nc1ccc(O)cc1", "O=C(C)Nc1ccc(O)cc1"), ("Cc1cccc(C)c1", "c1cc(C)cc(C)c1"),
     ("COc1ccccc1", "[2H]C([2H])([2H])Oc1ccccc1")],
)  # fmt: skip
def test_a_molecule_is_as_likely_however_it_is_written(
    network: GraphTransformer, one: str, other: str
) -> None:
    found = log_prob_of_molecules(network, [one, other], n_orders=64)
    assert found.reasons == [None, None]
    assert (found.standard_error == 0).all()
    assert found.log_prob[0] == pytest.approx(found.log_prob[1], abs=1e-4)


def test_rdkit_agrees_that_symmetries_are_all_there(kit: Kit) -> None:
    mol = flat("FC(F)(F)c1ccccc1")
    assert len(mol.GetSubstructMatches(mol, uniquify=False)) == 12
    assert Chem.MolToSmiles(mol) == "FC(F)(F)c1ccccc1"
    assert len(sequences_of("FC(F)(F)c1ccccc1", kit, n=50)) == 1
