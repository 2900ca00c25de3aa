"""The network: causal, the same with a cache, a probability, and able to learn."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from molgen.generator.likelihood import log_prob_of_orders
from molgen.generator.network import (
    Cache,
    GraphTransformer,
    NetworkSize,
    Tokens,
    autocast,
    has_bfloat16,
    to_tensors,
)
from molgen.generator.sampler import SamplingOptions, draw, sample
from molgen.graphs.dataset import PackedMolecules
from molgen.graphs.decoding import canonical_smiles, to_mol
from molgen.graphs.encoding import encode
from molgen.graphs.orders import Target, Targets, new_targets
from molgen.graphs.state import (
    KEPT_MARKED,
    N_CODES,
    State,
    States,
    allowed_actions,
    allowed_atoms,
    new_states,
    start,
    step,
)
from molgen.graphs.vocabulary import N_FIXED_ACTIONS, STOP, Vocabulary, build_vocabulary
from molgen.training.batches import batches
from tests.graphs.building import Kit, built, flat, planned
from tests.property_models.drugs import DRUGS


def lively(network: GraphTransformer, seed: int = 0) -> GraphTransformer:
    """A network of the same shape whose outputs depend strongly on everything it sees."""
    torch.manual_seed(seed)
    other = GraphTransformer(network.vocabulary, network.size).eval()
    with torch.no_grad():
        for weight in other.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.3)
    return other


@pytest.fixture(scope="module")
def batch(kit: Kit) -> tuple[States, Targets]:
    """Sixteen drugs, half of them around a marked kept part."""
    states, targets = new_states(16), new_targets(16)
    for b, smiles in enumerate(DRUGS[:16]):
        plan = planned(flat(smiles), kit)
        if b % 2:
            plan["kept"][: plan["n_atoms"] // 2] = KEPT_MARKED
            for a in range(plan["n_atoms"] // 2):
                for c in range(plan["n_atoms"] // 2, plan["n_atoms"]):
                    if plan["bond"][a, c]:
                        plan["mark"][a, plan["bond"][a, c]] += 1
        states[b], targets[b] = built(plan, kit, b)
    return states, targets


def test_a_token_changes_nothing_before_it(
    network: GraphTransformer, batch: tuple[States, Targets]
) -> None:
    network = lively(network)
    tokens, _ = to_tensors(*batch)
    n_tokens = int(batch[0]["n_tokens"].min())  # of the padding behind nothing is asked
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        before = network(tokens)
        for j in (1, 2, n_tokens // 2, n_tokens - 1):
            features, code = tokens.features_BT5.clone(), tokens.code_BTT.clone()
            features[:, j:, 0] = torch.randint(
                len(network.vocabulary.atom_types), features[:, j:, 0].shape, generator=generator
            )
            features[:, j:, 1] = torch.randint(4, features[:, j:, 1].shape, generator=generator)
            changed = torch.randint(1, N_CODES, code[:, j:].shape, generator=generator)
            code[:, j:] = torch.where(code[:, j:] > 0, changed, 0)
            after = network(Tokens(features, code))
            torch.testing.assert_close(after[:, :j], before[:, :j], rtol=0, atol=1e-6)
            assert (after[:, j] - before[:, j]).abs().max() > 1e-2


def test_tokens_are_those_of_the_prefix(kit: Kit) -> None:
    """The rows of a finished molecule are those that were there when it was half built."""
    for seed in range(5):
        whole, target = built(planned(flat(DRUGS[3]), kit), kit, seed)
        graph = new_states(1)[0]
        start(graph, False)
        rows = np.flatnonzero(target["action"][: whole["n_tokens"]] > 0)
        for row in rows[: len(rows) // 2]:
            step(graph, target["action"][row], target["pointer"][row], kit.tables)
        n = int(graph["n_tokens"])
        assert n < whole["n_tokens"]
        np.testing.assert_array_equal(
            np.tril(graph["code"][:n, :n]), np.tril(whole["code"][:n, :n])
        )


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="Linux tells what a processor has")
def test_products_are_in_bfloat16_where_the_processor_has_instructions_for_it() -> None:
    has = "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    assert has_bfloat16("cpu") == has and has_bfloat16("cuda")
    for asked, expected in ((None, has), (True, True), (False, False)):
        with autocast(asked):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == (torch.bfloat16 if expected else torch.float32)


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 1e-4), (True, 0.15)])
def test_a_cache_gives_the_same_numbers(
    network: GraphTransformer, batch: tuple[States, Targets], bfloat16: bool, tolerance: float
) -> None:
    """Tokens are fed a few at a time, of each molecule another number, in slots of any order."""
    network = lively(network)
    states, targets = batch
    tokens, _ = to_tensors(states, targets)
    whole = network(tokens).detach()
    keys = network.pointer_key(whole).detach()
    rng = np.random.default_rng(0)
    slot_B = torch.from_numpy(rng.permutation(len(states)))
    n_fed = np.zeros(len(states), np.int64)
    with torch.no_grad(), autocast(bfloat16):
        cache = Cache(network.size, len(states), tokens.code_BTT.shape[1])
        while (n_fed < states["n_tokens"]).any():
            last = np.minimum(n_fed + rng.integers(0, 9, len(states)), states["n_tokens"])
            new = [(b, i) for b in range(len(states)) for i in range(n_fed[b], last[b])]
            n_fed = last
            if not new:
                continue
            row, at = (torch.tensor(x) for x in zip(*new, strict=True))
            h_PD = network.extend(
                tokens.features_BT5[row, at], tokens.code_BTT[row, at].to(torch.uint8),
                slot_B[row], at, cache,
            )  # fmt: skip
            scale = 1 if not bfloat16 else float(whole.abs().max())
            torch.testing.assert_close(h_PD.float(), whole[row, at], rtol=0, atol=tolerance * scale)
            torch.testing.assert_close(
                cache.pointer_keys_STD[slot_B[row], at], keys[row, at],
                rtol=0, atol=tolerance * (1 if not bfloat16 else float(keys.abs().max())),
            )  # fmt: skip


def test_padding_changes_nothing(network: GraphTransformer, batch: tuple[States, Targets]) -> None:
    network = lively(network)
    states, targets = batch
    with torch.no_grad():
        together = log_prob_of_orders(network, *to_tensors(states, targets))
        alone = [
            log_prob_of_orders(network, *to_tensors(states[b : b + 1], targets[b : b + 1]))[0]
            for b in range(len(states))
        ]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-3)
    assert torch.isfinite(together).all() and (together < 0).all()


# ------------------------------------------------------------- a space small enough to enumerate


@pytest.fixture(scope="module")
def toy() -> GraphTransformer:
    """Single atoms C, N and O, three at most."""
    vocabulary = build_vocabulary(
        [encode(flat(s)) for s in ("CCO", "CCN")], n_rooted_rings=0, min_atom_count=1
    )
    size = NetworkSize(width=16, n_layers=2, n_heads=2, max_atoms=3)
    return lively(GraphTransformer(vocabulary, size), seed=3)


@pytest.fixture(scope="module")
def sequences(toy: GraphTransformer) -> tuple[States, Targets]:
    """Every building sequence there is."""
    finished: list[tuple[State, Target]] = []
    state, target = new_states(1)[0], new_targets(1)[0]
    target["action"][:] = target["pointer"][:] = -1
    start(state, False)
    enumerate_from(state, target, toy, finished)
    states, targets = new_states(len(finished)), new_targets(len(finished))
    for b, (state, target) in enumerate(finished):
        states[b], targets[b] = state, target
    return states, targets


def enumerate_from(
    state: State, target: Target, toy: GraphTransformer, finished: list[tuple[State, Target]]
) -> None:
    row, limit = int(state["n_tokens"]) - 1, toy.size.max_atoms
    allowed_actions(state, 1, limit, target["allowed"][row])
    for action in range(toy.vocabulary.n_actions):
        if not is_allowed(action, target["allowed"][row], toy.vocabulary):
            continue
        atoms = np.zeros(64, np.uint8)
        if action != STOP and state["n_atoms"]:
            allowed_atoms(state, action, limit, toy.tables, atoms)
            assert atoms.any(), "an action that is allowed has a place to go"
        for pointer in np.flatnonzero(atoms) if atoms.any() else [-1]:
            next_state, next_target = state.copy(), target.copy()
            next_target["action"][row], next_target["pointer"][row] = action, pointer
            next_target["pointer_allowed"][row] = atoms
            if action == STOP:
                finished.append((next_state, next_target))
            else:
                step(next_state, action, pointer, toy.tables)
                enumerate_from(next_state, next_target, toy, finished)


def is_allowed(action: int, allowed_7: np.ndarray, vocabulary: Vocabulary) -> bool:  # type: ignore[type-arg]
    if action == STOP:
        return bool(allowed_7[6])
    if action < N_FIXED_ACTIONS:
        return bool(allowed_7[2 + action])
    _, order = vocabulary.attachments[action - N_FIXED_ACTIONS]
    return bool(allowed_7[order - 1] >= 1)


def test_probabilities_of_all_sequences_sum_to_one(
    toy: GraphTransformer, sequences: tuple[States, Targets]
) -> None:
    assert len(sequences[0]) > 300
    with torch.no_grad():
        log_prob = log_prob_of_orders(toy, *to_tensors(*sequences))
    assert log_prob.double().exp().sum() == pytest.approx(1, abs=1e-4)
    assert log_prob.max() - log_prob.min() > 5, "a lively network, or this shows little"


def test_the_space_is_every_small_molecule(
    sequences: tuple[States, Targets], toy: GraphTransformer
) -> None:
    found = {canonical_smiles(to_mol(s, toy.vocabulary)) for s in sequences[0]}
    expected = ["C", "C#N", "CC=O", "C1CC1", "C1=CC1", "C=C=O", "O=O", "C1NO1", "OO"]
    assert {Chem.CanonSmiles(s) for s in expected} <= found
    assert all(Chem.MolFromSmiles(s).GetNumAtoms() <= 3 for s in found)


def test_the_sampler_draws_with_the_networks_probabilities(
    toy: GraphTransformer, sequences: tuple[States, Targets]
) -> None:
    torch.set_num_threads(1)
    states, targets = sequences
    with torch.no_grad():
        prob = log_prob_of_orders(toy, *to_tensors(states, targets)).double().exp()
    expected: Counter[str] = Counter()
    for state, p in zip(states, prob, strict=True):
        expected[canonical_smiles(to_mol(state, toy.vocabulary))] += float(p)
    n = 6000
    options = SamplingOptions(min_atoms=1, max_atoms=3)
    samples = draw(toy, n, seed=7, options=options, bfloat16=False).samples
    drawn = Counter(s.smiles for s in samples)
    assert set(drawn) <= set(expected)
    # Pearson's statistic over the molecules expected at least five times, others pooled.
    common = [s for s, p in expected.items() if n * p >= 5]
    rest = n - sum(drawn[s] for s in common), n * (1 - sum(expected[s] for s in common))
    terms = [((drawn[s] - n * expected[s]) ** 2) / (n * expected[s]) for s in common]
    terms.append((rest[0] - rest[1]) ** 2 / max(rest[1], 1e-9))
    freedom = len(terms) - 1
    assert sum(terms) < freedom + 4 * math.sqrt(2 * freedom)


# -------------------------------------------------------------------------------------- learning


def test_it_overfits_eight_molecules(packed: PackedMolecules) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    size = NetworkSize(width=64, n_layers=2, n_heads=2, max_atoms=45)
    network = GraphTransformer(packed.vocabulary, size)
    eight = packed.subset(np.arange(8))
    tokens, goals = next(batches(eight, batch_size=8, prompt_share=0.0, max_atoms=45, seed=1))
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(160):
        loss = -log_prob_of_orders(network, tokens, goals).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    # log(8) nats are left: which of the eight it is going to be.
    assert losses[0] > 40
    assert losses[-1] < math.log(8) + 0.5
    eight_smiles = {Chem.CanonSmiles(s) for s in DRUGS[:8]}
    drawn = [s.smiles for s in sample(network.eval(), 64, seed=1)]
    assert sum(s in eight_smiles for s in drawn) > 0.8 * len(drawn)
