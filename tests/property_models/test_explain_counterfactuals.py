"""Matched pairs and counterfactual neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import Crippen

from property_models.endpoints import Endpoint
from property_models.errors import DataError
from property_models.explain import (
    Replacement,
    common_replacements,
    counterfactuals,
    matched_pairs,
    replacements_of,
    sentence,
)
from property_models.explain.counterfactuals import GROUPS, effect, group_name, is_supported
from property_models.explain.pairs import HYDROGEN, cuts, join
from property_models.molecules import standardise
from tests.property_models.drugs import DRUGS


@dataclass
class LogpPredictor:
    """Predicts Crippen's logP with intervals of one width."""

    half_width: float = 0.1
    in_domain: bool = True
    endpoint: Endpoint = field(
        default_factory=lambda: Endpoint("logp", "regression", "log10", "worse", "")
    )

    @property
    def card(self) -> Any:
        return SimpleNamespace(task=self.endpoint.task)

    def predict(self, smiles: Sequence[str]) -> Any:
        value = np.array([Crippen.MolLogP(Chem.MolFromSmiles(s)) for s in smiles])
        return prediction(value, self.half_width, in_domain=self.in_domain)


def prediction(value: Any, half_width: float, *, in_domain: bool = True, spread: float = 0) -> Any:
    value = np.asarray(value, dtype=float)
    n = len(value)
    return SimpleNamespace(
        value=value,
        low=value - half_width,
        high=value + half_width,
        spread=np.full(n, spread),
        in_domain=np.full(n, in_domain),
        reasons=[""] * n,
    )


def flat(smiles: str) -> str:
    return str(Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False))


@given(st.sampled_from(DRUGS))
def test_a_cut_molecule_joined_again_is_the_molecule(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    for cut in cuts(mol, hydrogens=True):
        assert join(cut.core, cut.group) == flat(smiles), cut


def test_pairs_differ_in_one_group_and_are_found_once() -> None:
    mols = [Chem.MolFromSmiles(s) for s in ("Clc1ccccc1", "Fc1ccccc1", "c1ccccc1", "CCCCO")]
    found = {(p.first, p.second, p.before, p.after) for p in matched_pairs(mols)}
    assert found == {
        (0, 1, "Cl[*:1]", "F[*:1]"),
        (0, 2, "Cl[*:1]", HYDROGEN),
        (1, 2, "F[*:1]", HYDROGEN),
    }


def test_replacements_tell_the_mean_measured_change_in_both_directions() -> None:
    smiles = ["Clc1ccccc1", "Fc1ccccc1", "Clc1ccncc1", "Fc1ccncc1"]
    pairs = matched_pairs([Chem.MolFromSmiles(s) for s in smiles])
    found = {
        (r.before, r.after): r
        for r in replacements_of(pairs, np.array([3.0, 2.0, 2.0, 0.5]), min_pairs=2)
    }
    forth, back = found["Cl[*:1]", "F[*:1]"], found["F[*:1]", "Cl[*:1]"]
    assert (forth.n_pairs, forth.mean_change) == (2, -1.25)
    assert back.mean_change == 1.25 and forth.deviation == pytest.approx(0.3536, abs=1e-3)


def test_a_pair_without_a_measured_value_does_not_count() -> None:
    pairs = matched_pairs([Chem.MolFromSmiles(s) for s in ("Clc1ccccc1", "Fc1ccccc1")])
    assert replacements_of(pairs, np.array([1.0, np.nan])) == []


def test_common_groups_are_written_as_the_cuts_write_them() -> None:
    for name, smiles in GROUPS.items():
        if smiles == HYDROGEN:
            continue
        product = Chem.MolFromSmiles(join("c1ccc(-c2ccc([*:1])cc2)cc1", smiles))
        groups = {cut.group for cut in cuts(product)}
        assert any(group_name(group) == name for group in groups), name
    assert len({(r.before, r.after) for r in common_replacements()}) == len(common_replacements())


def test_neighbours_are_sorted_by_improvement_and_named() -> None:
    found = counterfactuals(LogpPredictor(), "Clc1ccc(CCN)cc1")  # type: ignore[arg-type]
    assert found[0].supported and found[0].effect == "better"
    changes = [c.change for c in found if c.supported]
    assert changes == sorted(changes)
    chlorine_to_fluorine = next(c for c in found if (c.before, c.after) == ("Cl", "F"))
    assert chlorine_to_fluorine.smiles == flat("Fc1ccc(CCN)cc1")
    own = Crippen.MolLogP(Chem.MolFromSmiles("Clc1ccc(CCN)cc1"))
    assert sentence(chlorine_to_fluorine, name="logp") == (
        f"replace Cl by F: logp {own:.2f} → {chlorine_to_fluorine.value:.2f} (better)"
    )


class StereoPredictor(LogpPredictor):
    """Predicts 3 for what is written with stereochemistry and 1 for all else."""

    def predict(self, smiles: Sequence[str]) -> Any:
        written = [any(sign in s for sign in "@/\\") for s in smiles]
        return prediction(np.where(written, 3.0, 1.0), self.half_width)


@pytest.mark.parametrize("chiral", ["C[C@H](N)Cc1ccc(Cl)cc1", "CN(C)C/C=C/c1ccc(Cl)cc1"])
def test_a_loss_of_stereochemistry_is_no_change(chiral: str) -> None:
    found = counterfactuals(StereoPredictor(), chiral)  # type: ignore[arg-type]
    assert {(c.change, c.supported, c.effect) for c in found} == {(0.0, False, "no clear change")}
    assert all(c.baseline == c.value == 1.0 and c.stereo_left_out for c in found)
    assert chiral not in {c.smiles for c in found} and flat(chiral) not in {c.smiles for c in found}
    assert sentence(found[0], name="x").endswith(
        "x 1.00 → 1.00 (no clear change), both without stereochemistry"
    )


def test_without_stereochemistry_the_baseline_is_the_molecules_own_prediction() -> None:
    own = "[2H]c1ccc(CC(C)N)cc1"  # an isotope is no stereochemistry
    found = counterfactuals(LogpPredictor(), own)  # type: ignore[arg-type]
    assert found and not any(c.stereo_left_out for c in found)
    assert {c.baseline for c in found} == {Crippen.MolLogP(Chem.MolFromSmiles(own))}


def test_neighbours_are_sound_molecules_without_new_bonds_between_hetero_atoms() -> None:
    bad = Chem.MolFromSmarts("[#7,#8,#9,#16,#17,#35]~[#8,#9,#17,#35;!$(O=N);!$([O-][N+])]")
    own = Chem.MolFromSmiles("COc1ccc(CC(C)N)cc1")
    assert not own.HasSubstructMatch(bad)
    for c in counterfactuals(LogpPredictor(), "COc1ccc(CC(C)N)cc1"):  # type: ignore[arg-type]
        mol = standardise(c.smiles).mol
        assert mol is not None
        if "S" not in c.smiles and "[N+]" not in c.smiles:
            assert not mol.HasSubstructMatch(bad), c.smiles


def test_wide_intervals_support_no_change() -> None:
    wide = LogpPredictor(half_width=10.0)
    found = counterfactuals(wide, "Clc1ccc(CCN)cc1")  # type: ignore[arg-type]
    assert found and not any(c.supported for c in found)
    assert {c.effect for c in found} == {"no clear change"}


def test_an_interval_that_is_cut_off_where_its_unit_ends_supports_no_more() -> None:
    whole = prediction([0.1, 1.0], half_width=0.8)
    cut = SimpleNamespace(**{**vars(whole), "low": np.maximum(whole.low, 0.0)})
    assert not is_supported(whole, 0, 1, task="regression")
    assert not is_supported(cut, 0, 1, task="regression")  # type: ignore[arg-type]


def test_outside_the_domain_no_change_is_supported() -> None:
    outside = LogpPredictor(in_domain=False)
    found = counterfactuals(outside, "Clc1ccc(CCN)cc1")  # type: ignore[arg-type]
    assert found and not any(c.supported for c in found)


def test_measured_replacements_are_tried_instead_of_the_common_ones() -> None:
    measured = [Replacement("Cl[*:1]", "C#C[*:1]", 4, -0.3, 0.1)]
    (found,) = counterfactuals(
        LogpPredictor(),
        "Clc1ccc(CCN)cc1",
        replacements=measured,  # type: ignore[arg-type]
    )
    assert found.smiles == flat("C#Cc1ccc(CCN)cc1")
    assert (found.n_pairs, found.measured_change) == (4, -0.3)


def test_a_molecule_without_a_replaceable_group_has_no_neighbours() -> None:
    assert counterfactuals(LogpPredictor(), "C1CC1", replacements=[]) == []  # type: ignore[arg-type]


def test_an_unreadable_structure_is_refused_with_the_reason() -> None:
    with pytest.raises(DataError, match="cannot be explained: RDKit cannot parse"):
        counterfactuals(LogpPredictor(), "C1CC")  # type: ignore[arg-type]


def test_a_difference_of_values_must_exceed_the_combined_half_width() -> None:
    assert is_supported(prediction([1.0, 2.5], 1.0), 0, 1, task="regression")
    assert not is_supported(prediction([1.0, 2.3], 1.0), 0, 1, task="regression")


def test_a_difference_of_probabilities_must_be_large_disjoint_and_above_disagreement() -> None:
    def supported(p: float, half: float, spread: float) -> bool:
        return is_supported(prediction([0.3, p], half, spread=spread), 0, 1, task="classification")

    assert supported(0.6, 0.02, 0.05)
    assert not supported(0.35, 0.002, 0.0)  # too small to decide anything
    assert not supported(0.6, 0.2, 0.0)  # intervals overlap
    assert not supported(0.6, 0.02, 0.2)  # members disagree by more


def test_the_direction_of_the_endpoint_decides_what_better_is() -> None:
    assert effect(1.0, "better") == effect(-1.0, "worse") == "better"
    assert effect(-1.0, "better") == effect(1.0, "worse") == "worse"
    assert (effect(1.0, "neutral"), effect(-1.0, "neutral")) == ("higher", "lower")
