"""LightGBM models read from their text form and evaluated many molecules at a time.

LightGBM walks one molecule down all trees, waiting for memory at each step. Here each split of a
tree is decided for a block of molecules at once, also where their ways do not lead, and crosses out
the leaves that it cuts off; the first leaf left is the molecule's (QuickScorer, Lucchese et al.
2015, https://doi.org/10.1145/2766462.2767733). No step depends on the one before, so all of it
compiles to vector instructions. The sums are LightGBM's, in its order: a test compares them for
equality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from property_models.popcount import n_bits_on

Array = NDArray[np.float64]

BLOCK = 64  # molecules that are decided on together

_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of a split's decision_type
_NAN_IS_MISSING, _ZERO_IS_MISSING = 2, 1  # kinds of missing values, in its bits 2 and 3
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class PackedTrees:
    """The trees of one LightGBM model, end to end; leaves of a tree from left to right.

    Attributes:
        starts: First split of each tree, int64, shape (n_trees + 1,).
        columns: Column that a split looks at, int32, shape (n_splits,).
        thresholds: A value above goes right, float32, shape (n_splits,).
        missing_right: Whether a missing value does, bool, shape (n_splits,).
        lefts: First and past the last leaf of the tree to the left of a split, int32, shape
            (n_splits, 2).
        leaf_starts: First leaf of each tree, int64, shape (n_trees + 1,).
        leaves: Their values, float64.
        n_columns: The table's.
        divisor: The sum of the leaves is divided by it.
        slope: Of the logistic function that makes a probability of it; 0: it is the value itself.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    missing_right: NDArray[np.bool_]
    lefts: NDArray[np.int32]
    leaf_starts: NDArray[np.int64]
    leaves: Array
    n_columns: int
    divisor: int
    slope: float

    def predict(self, blocks: NDArray[np.float32], n: int) -> Array:
        """Values or probabilities of the first n molecules of `blocks_of`, float64, shape (n,)."""
        if blocks.shape[1] != self.n_columns:
            raise ValueError(f"{blocks.shape[1]} columns; the trees expect {self.n_columns}")
        sums = _sums(
            blocks, self.starts, self.columns, self.thresholds, self.missing_right, self.lefts,
            self.leaf_starts, self.leaves,
        )[:n] / self.divisor  # fmt: skip
        if not self.slope:
            return sums
        return np.array([1.0 / (1.0 + math.exp(-self.slope * x)) for x in sums.tolist()])


def blocks_of(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """A table (n, d) cut into transposed blocks, float32, (n_blocks, d, BLOCK), filled with 0."""
    n, d = table.shape
    blocks = np.zeros((-(-n // BLOCK), d, BLOCK), np.float32)
    for number, block in enumerate(blocks):
        rows = table[number * BLOCK : (number + 1) * BLOCK]
        block[:, : len(rows)] = rows.T
    return blocks


@njit(cache=True, nogil=True)
def _sums(
    blocks: NDArray[np.float32],
    starts: NDArray[np.int64],
    columns: NDArray[np.int32],
    thresholds: NDArray[np.float32],
    missing_right: NDArray[np.bool_],
    lefts: NDArray[np.int32],
    leaf_starts: NDArray[np.int64],
    leaves: Array,
) -> Array:
    out = np.zeros(len(blocks) * BLOCK)
    n_words = (np.max(np.diff(leaf_starts)) + 63) // 64
    left = np.empty((n_words, BLOCK), np.uint64)  # bits of the leaves that a molecule may reach
    for number in range(len(blocks)):
        sums = out[number * BLOCK : (number + 1) * BLOCK]
        for tree in range(len(starts) - 1):
            first, n_leaves = leaf_starts[tree], leaf_starts[tree + 1] - leaf_starts[tree]
            left[: (n_leaves + 63) // 64] = _ALL
            for split in range(starts[tree], starts[tree + 1]):
                values, threshold = blocks[number, columns[split]], thresholds[split]
                for word in range(lefts[split, 0] // 64, (lefts[split, 1] - 1) // 64 + 1):
                    low = max(lefts[split, 0] - 64 * word, 0)
                    n = min(lefts[split, 1] - 64 * word, 64) - low
                    kept = ~((_ALL >> np.uint64(64 - n)) << np.uint64(low))
                    bits = left[word]
                    if missing_right[split]:
                        for i in range(BLOCK):
                            bits[i] &= _ALL if values[i] <= threshold else kept
                    else:
                        for i in range(BLOCK):
                            bits[i] &= kept if values[i] > threshold else _ALL
            if n_leaves <= 64:
                bits = left[0]
                for i in range(BLOCK):
                    sums[i] += leaves[first + np.int64(_n_zeros_below(bits[i]))]
            else:
                for i in range(BLOCK):
                    word = 0
                    while left[word, i] == 0:
                        word += 1
                    sums[i] += leaves[first + 64 * word + np.int64(_n_zeros_below(left[word, i]))]
    return out


@njit(cache=True, nogil=True)
def _n_zeros_below(word: np.uint64) -> np.uint64:
    """Zeros below the lowest bit that is on."""
    lowest = word & (~word + np.uint64(1))
    return n_bits_on(lowest - np.uint64(1))


# -- read -----------------------------------------------------------------------------------


def read_lightgbm(text: str) -> PackedTrees:
    """Reads a model that `lightgbm.Booster.model_to_string` wrote.

    Raises:
        ValueError: It is no such text, its splits do not make a tree or look at columns that are
            not there, or it holds what this package's recipes never make: splits by category,
            zero as a missing value, linear leaves, several classes.
    """
    head, *parts = text.split("\nTree=")
    if not head.startswith("tree\n") or not parts or "\nend of trees" not in parts[-1]:
        raise ValueError("not a LightGBM text model")
    header = _entries(head)
    objective = header["objective"].split()
    if header["num_class"] != "1" or header["num_tree_per_iteration"] != "1":
        raise ValueError("a LightGBM model of several classes")
    trees = [_tree(_entries(part.split("\n\n", 1)[0])) for part in parts]
    sizes = np.array([len(tree[-1]) for tree in trees])
    leaf_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    columns, thresholds, missing_right, lefts, leaves = (
        np.concatenate(part) for part in zip(*trees, strict=True)
    )
    n_columns = int(header["max_feature_idx"]) + 1
    if not ((columns >= 0) & (columns < n_columns)).all():
        raise ValueError("a LightGBM model that looks at columns that are not there")
    slope = 0.0
    if objective[0] == "binary":
        slope = float(dict(entry.split(":") for entry in objective[1:])["sigmoid"])
    return PackedTrees(
        leaf_starts - np.arange(len(leaf_starts)),  # a tree has one split less
        columns,
        thresholds,
        missing_right,
        lefts,
        leaf_starts,
        leaves,
        n_columns,
        len(trees) if "\naverage_output\n" in head else 1,
        slope,
    )


_Tree = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.int32], Array]


def _entries(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


def _tree(entries: Mapping[str, str]) -> _Tree:
    """Columns, thresholds, `missing_right` and `lefts` of a tree's splits, and its leaves."""
    leaves, exact = _reals(entries, "leaf_value"), _reals(entries, "threshold")
    columns, kinds = _integers(entries, "split_feature"), _integers(entries, "decision_type")
    children = np.array([_integers(entries, "left_child"), _integers(entries, "right_child")])
    if {len(columns), len(exact), len(kinds), children.shape[1]} != {len(leaves) - 1}:
        raise ValueError("a damaged LightGBM model")
    missing = kinds >> 2
    if (kinds & _CATEGORICAL).any() or (missing == _ZERO_IS_MISSING).any():
        raise ValueError("a LightGBM model with categories or missing zeros")
    if entries.get("is_linear", "0") != "0":
        raise ValueError("a LightGBM model with linear leaves")
    # A missing value goes the default way, or counts as 0 where training saw none.
    right = np.where(missing == _NAN_IS_MISSING, kinds & _DEFAULT_LEFT == 0, exact < 0.0)
    _check_children(children)
    order, lefts = _leaves_in_order(children)
    return columns, _rounded_down(exact), right, lefts, leaves[order]


def _check_children(children: NDArray[np.int32]) -> None:
    """ValueError where the children (2, n) are no tree as `_leaves_in_order` takes it.

    That is compiled code, which would follow a wrong index out of its arrays.
    """
    n = children.shape[1]
    if not n:
        return
    # Every leaf and every split but the first is the child of one split, which comes before it.
    once = np.concatenate([np.arange(-n - 1, 0), np.arange(1, n)])
    if (
        not np.array_equal(np.sort(children, axis=None), once)
        or ((children >= 0) & (children <= np.arange(n))).any()
    ):
        raise ValueError("a LightGBM model whose splits make no tree")


@njit(cache=True)
def _leaves_in_order(
    children: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The leaves from left to right, and the range of those to the left of each split.

    Args:
        children: Left and right child of each split, int32, shape (2, n); a split comes before
            its children, and ~i is leaf i.
    """
    n = children.shape[1]
    n_below = np.zeros(n, np.int32)  # leaves below each split
    for split in range(n - 1, -1, -1):
        for child in children[:, split]:
            n_below[split] += n_below[child] if child >= 0 else 1
    order, lefts = np.zeros(n + 1, np.int64), np.zeros((n, 2), np.int32)
    first = np.zeros(n, np.int32)  # first leaf below each split
    for split in range(n):
        place = first[split]
        for side in range(2):
            child = children[side, split]
            if child >= 0:
                first[child] = place
                place += n_below[child]
            else:
                order[place] = ~child
                place += 1
            if side == 0:
                lefts[split, 0], lefts[split, 1] = first[split], place
    return order, lefts


def _integers(entries: Mapping[str, str], name: str) -> NDArray[np.int32]:
    return np.array(entries.get(name, "").split(), np.int32)


def _reals(entries: Mapping[str, str], name: str) -> Array:
    return np.array(entries.get(name, "").split(), np.float64)


def _rounded_down(exact: Array) -> NDArray[np.float32]:
    """The largest float32 not above each: a float32 is above one as it is above the other."""
    rounded = exact.astype(np.float32)
    above = rounded.astype(np.float64) > exact
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded
