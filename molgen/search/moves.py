"""The moves: from parents, or from nothing, to proposed molecules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem, rdBase

from molgen.errors import ConfigError
from molgen.generator.design_modes import link, regrow
from molgen.generator.exit_vectors import cut_away, read_molecule, to_prompt
from molgen.generator.network import GraphTransformer
from molgen.generator.prompts import Prompt, parse_prompt
from molgen.generator.sampler import SamplingOptions, check_room, sample
from molgen.search.edits import (
    Parts,
    cross,
    graft,
    mutate,
    neighbours,
    read,
    side_of_a_cut,
    swap_ring,
)

# For each move of the config, its arms: what the bandit tells apart.
ARMS = {
    "sample": ("sample",),
    "regrow": ("regrow_small", "regrow_medium", "regrow_large"),
    "link": ("link",),
    "cross": ("cross",),
    "graft": ("graft",),
    "swap_ring": ("swap_ring",),
    "edit": ("edit", "edit_twice"),
}
DRAWN = ("sample", "regrow", "link")  # moves of the network
MOVE_OF = {arm: move for move, arms in ARMS.items() for arm in arms}
_REGROWN = {"regrow_small": (1, 3), "regrow_medium": (4, 8), "regrow_large": (9, 16)}  # atoms
N_PARENTS = {"sample": 0, "link": 2, "cross": 2}  # of the other arms: one


@dataclass(frozen=True)
class Order:
    """Proposals to make by one arm, one for each entry of `parents`.

    Attributes:
        arm: one of `ARMS`, `library`, or `neighbours`: as many different edits of a parent as it
            comes times.
        parents: SMILES of the parents of each; empty tuples for `sample`, for `library` the
            molecule itself.
        prompt: of `sample`: index of the config's prompt, -1 for de novo.
    """

    arm: str
    parents: tuple[tuple[str, ...], ...]
    prompt: int = -1


@dataclass(frozen=True)
class Made:
    """A proposed molecule, and how it came about."""

    smiles: str
    arm: str
    parents: tuple[str, ...]
    prompt: int  # index of the config's, -1 where it had none


def make(
    orders: Sequence[Order], network: GraphTransformer, prompts: Sequence[Prompt],
    options: SamplingOptions, seed: Sequence[int], parts: Parts | None = None,
) -> list[Made]:  # fmt: skip
    """Carry out orders.

    Args:
        orders: of one shard.
        network: draws and completes.
        prompts: of the config.
        options: sizes bind all moves, what may be sampled binds the network's.
        seed: of the shard.
        parts: of other molecules, for `graft` and `swap_ring`; None: there are none.

    Returns:
        What was made, at most what was ordered: a move that does not apply to its parents (no
        bond to cut, nothing that fits) makes nothing.
    """
    made, drafts = [], []
    for number, order in enumerate(orders):
        rng = np.random.default_rng([*seed, number])
        if order.arm == "sample":
            prompt = prompts[order.prompt] if order.prompt >= 0 else None
            drafts += [_Draft(order.arm, (), order.prompt, prompt)] * len(order.parents)
        elif order.arm == "library":
            mols = [_read(p[0]) for p in order.parents]
            made += [
                Made(Chem.MolToSmiles(m), "library", (), -1) for m in mols if _fits(m, options)
            ]
        elif order.arm == "neighbours":
            with rdBase.BlockLogs():
                made += _neighbours(order, options, rng)
        elif order.arm in _REGROWN or order.arm == "link":
            drafts += _cut_parents(order, network, options, rng)
        else:
            with rdBase.BlockLogs():  # of edits that no valence allows
                made += _edited(order, options, parts or Parts(), rng)
    return made + _completed(drafts, network, options, [*seed, len(orders)])


@dataclass(frozen=True)
class _Draft:
    """What the network is to complete."""

    arm: str
    parents: tuple[str, ...]
    number: int  # of the config's prompt
    prompt: Prompt | None


def _cut_parents(
    order: Order, network: GraphTransformer, options: SamplingOptions, rng: np.random.Generator
) -> list[_Draft]:
    drafts = []
    for p in order.parents:
        try:
            text = _pieces(p, rng) if order.arm == "link" else _cut(p[0], order.arm, rng)
            prompt = parse_prompt(text, network.vocabulary, network.tables)
            check_room(network, prompt, options)
        except ConfigError:  # nothing to cut, too large, or an atom that the network does not know
            continue
        drafts.append(_Draft(order.arm, p, -1, prompt))
    return drafts


def _completed(
    drafts: Sequence[_Draft], network: GraphTransformer, options: SamplingOptions,
    seed: Sequence[int],
) -> list[Made]:  # fmt: skip
    """All in one go: a step of the network costs little more for many than for few."""
    if not drafts:
        return []
    prompts = [draft.prompt for draft in drafts]
    # Samples of one prompt share its beginnings.
    prompt = prompts[0] if all(p is prompts[0] for p in prompts) else prompts
    drawn = sample(network, len(drafts), seed=seed, prompt=prompt, options=options)
    return [Made(s.smiles, d.arm, d.parents, d.number) for s, d in zip(drawn, drafts, strict=True)]


def _cut(smiles: str, arm: str, rng: np.random.Generator) -> str:
    low, high = _REGROWN[arm]
    size = read_molecule(smiles).GetNumAtoms()
    n_atoms = int(rng.integers(low, high + 1))
    return regrow(smiles, min(n_atoms, max(1, 2 * size // 3)), seed=rng)[0]


def _pieces(parents: Sequence[str], rng: np.random.Generator) -> str:
    """A piece of each parent, to be joined by the network."""
    pieces = []
    for smiles in parents:
        mol = read_molecule(smiles)
        kept = side_of_a_cut(mol, rng)
        if kept is None:
            raise ConfigError(f"{smiles!r}: has no single bond outside rings to cut")
        pieces.append(to_prompt(cut_away(mol, set(range(mol.GetNumAtoms())) - kept)))
    return link(pieces, seed=rng)[0]


def _edited(
    order: Order, options: SamplingOptions, parts: Parts, rng: np.random.Generator
) -> list[Made]:
    made = []
    for p in order.parents:
        mols = [read(s) for s in p]
        if order.arm == "cross":
            child = cross(mols[0], mols[1], rng)
        elif order.arm == "graft":
            child = graft(mols[0], parts.groups, rng)
        elif order.arm == "swap_ring":
            child = swap_ring(mols[0], parts.ring_systems, rng)
        else:
            child = mutate(mols[0], rng)
        if order.arm == "edit_twice" and child is not None:
            child = mutate(child, rng)
        # A cross is sometimes edited as well, or the population's parts would run out.
        if order.arm == "cross" and child is not None and rng.random() < 0.3:
            child = mutate(child, rng)
        if child is not None and _fits(child, options):
            made.append(Made(Chem.MolToSmiles(child), order.arm, p, -1))
    return made


def _neighbours(order: Order, options: SamplingOptions, rng: np.random.Generator) -> list[Made]:
    made = []
    for p, n in Counter(order.parents).items():
        children = neighbours(read(p[0]), n, rng)
        made += [
            Made(Chem.MolToSmiles(child), order.arm, p, -1)
            for child in children if _fits(child, options)
        ]  # fmt: skip
    return made


def _read(smiles: str) -> Chem.Mol | None:
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


def _fits(mol: Chem.Mol | None, options: SamplingOptions) -> bool:
    """One piece within the sizes."""
    return (
        mol is not None
        and options.fewest_atoms <= mol.GetNumAtoms() <= options.max_atoms
        and len(Chem.GetMolFrags(mol)) == 1
    )
