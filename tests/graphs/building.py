"""Short ways to plan and build molecules in tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from rdkit import Chem

from molgen.graphs.decoding import canonical_smiles
from molgen.graphs.encoding import encode, flatten
from molgen.graphs.orders import Plan, Target, draw_order, expand, new_plan, new_targets
from molgen.graphs.state import State, new_states, start, step
from molgen.graphs.vocabulary import Tables, Vocabulary
from tests.conftest import MAX_ATOMS


@dataclass(frozen=True, repr=False)  # Hypothesis shows arguments; these fill pages
class Kit:
    """A vocabulary and its arrays."""

    vocabulary: Vocabulary
    tables: Tables


@cache
def flat(smiles: str) -> Chem.Mol:
    """A molecule without stereo marks."""
    return flatten(Chem.MolFromSmiles(smiles))


def same(mol: Chem.Mol) -> str:
    """What two spellings of a molecule have in common."""
    return canonical_smiles(flatten(mol))


def shuffled(mol: Chem.Mol, seed: int) -> Chem.Mol:
    """The same molecule with its atoms in another order."""
    order = np.random.default_rng(seed).permutation(mol.GetNumAtoms())
    return Chem.RenumberAtoms(mol, [int(a) for a in order])


def planned(mol: Chem.Mol, kit: Kit) -> Plan:
    """A molecule ready for `draw_order`, nothing kept."""
    numbers = kit.vocabulary.units(encode(mol))
    assert numbers is not None
    plan = new_plan()
    expand(plan, numbers[0].astype(np.uint16), numbers[1].astype(np.uint8), kit.tables)
    return plan


def built(
    plan: Plan, kit: Kit, seed: int, *, max_atoms: int = MAX_ATOMS, prompt_only: bool = False
) -> tuple[State, Target]:
    """A planned molecule built in a random order, and what was to be predicted on the way."""
    states, targets = new_states(1), new_targets(1)
    plan["rng"] = seed
    draw_order(states[0], plan, kit.tables, max_atoms, targets[0], prompt_only)
    return states[0], targets[0]


def replayed(state: State, target: Target, kit: Kit) -> Iterator[tuple[State, int, Any]]:
    """The recorded steps taken again from the empty graph: before each, (graph, action, pointer).

    At the end once more with action 0, on the finished graph.
    """
    graph = new_states(1)[0]
    start(graph, False)
    for row in range(int(state["n_tokens"])):
        action = int(target["action"][row])
        if action < 0:
            continue
        yield graph, action, int(target["pointer"][row])
        if action > 0:
            step(graph, action, int(target["pointer"][row]), kit.tables)
