"""Packing: what is usable is kept, what is not is counted, and the file gives it all back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from molgen.errors import DataError
from molgen.graphs import dataset
from molgen.graphs.dataset import PackedMolecules, pack
from tests.graphs.building import flat
from tests.property_models.drugs import DRUGS


def assert_equal(one: PackedMolecules, other: PackedMolecules) -> None:
    assert one.vocabulary == other.vocabulary
    assert one.info == other.info
    for column in ("units", "unit_start", "bonds", "bond_start", "n_atoms"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))


def test_a_packed_file_gives_back_what_was_saved(packed: PackedMolecules, tmp_path: Path) -> None:
    packed.save(tmp_path / "drugs.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["drugs.npz"]
    assert_equal(PackedMolecules.load(tmp_path / "drugs.npz"), packed)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"header"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a packed molecule file"):
        PackedMolecules.load(path)
    np.savez(tmp_path / "numbers.npz", a=np.arange(3))
    with pytest.raises(DataError, match="not a packed molecule file"):
        PackedMolecules.load(tmp_path / "numbers.npz")
    with pytest.raises(DataError, match="nowhere"):
        PackedMolecules.load(tmp_path / "nowhere.npz")


def test_a_truncated_file_is_refused(packed: PackedMolecules, tmp_path: Path) -> None:
    path = tmp_path / "drugs.npz"
    packed.save(path)
    whole = path.read_bytes()
    for n in (len(whole) // 3, len(whole) - 10):
        path.write_bytes(whole[:n])
        with pytest.raises(DataError, match="not a packed molecule file"):
            PackedMolecules.load(path)


def test_what_is_left_out_is_counted_by_reason() -> None:
    smiles = ["CCO", "OCC", "C[C@H](N)O", "C[C@@H](N)O", "oops", "", "CCO.Cl", "C[CH2]", "C" * 9]
    packed = pack(smiles, max_atoms=8, min_atom_count=1)
    assert packed.info == {
        "n_lines": 9,
        "n_molecules": 2,
        "left_out": {
            "duplicate": 2,
            "cannot be parsed": 1,
            "no structure": 1,
            "more than one fragment": 1,
            "unpaired electron": 1,
            "more than 8 heavy atoms": 1,
        },
    }
    assert list(packed.n_atoms) == [3, 4]


def test_rare_atoms_are_left_out_and_counted() -> None:
    packed = pack(["CCO", "CCCO", "CCBr"], max_atoms=8, min_atom_count=2)
    reason = "atom type in fewer than 2 molecules (data.min_atom_count)"
    assert packed.info["left_out"] == {reason: 1}
    again = pack(["CCBr", "CO"], max_atoms=8, vocabulary=packed.vocabulary)
    assert again.vocabulary is packed.vocabulary
    assert again.info["left_out"] == {"atom type not in the vocabulary": 1}


def test_a_set_too_small_for_its_settings_is_told_which() -> None:
    with pytest.raises(DataError, match=r"2 atom type in fewer than 20 molecules \(data\.min_atom"):
        pack(["CCO", "CCN"], max_atoms=8)


def test_nothing_usable_is_an_error_that_counts() -> None:
    with pytest.raises(
        DataError, match=r"none of the 3 structures can be used.*2 cannot be parsed"
    ):
        pack(["oops", "C.C", "what"], max_atoms=8)
    with pytest.raises(DataError, match="no lines"):
        pack([], max_atoms=8)


def test_a_subset_holds_the_chosen_molecules_in_order(packed: PackedMolecules) -> None:
    chosen = np.array([5, 0, 7])
    part = packed.subset(chosen)
    assert len(part) == 3
    for k, i in enumerate(chosen):
        np.testing.assert_array_equal(
            part.units[part.unit_start[k] : part.unit_start[k + 1]],
            packed.units[packed.unit_start[i] : packed.unit_start[i + 1]],
        )
        np.testing.assert_array_equal(
            part.bonds[part.bond_start[k] : part.bond_start[k + 1]],
            packed.bonds[packed.bond_start[i] : packed.bond_start[i + 1]],
        )


def test_packed_molecules_come_in_the_order_of_the_lines(packed: PackedMolecules) -> None:
    usable = [flat(s).GetNumAtoms() for s in DRUGS if flat(s).GetNumAtoms() <= 45]
    assert list(packed.n_atoms) == usable


def test_several_processes_pack_the_same_and_report_progress(
    packed: PackedMolecules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_CHUNK", 60)
    lines: list[int] = []
    two = pack(
        DRUGS, max_atoms=45, n_rooted_rings=500, min_atom_count=1, n_processes=2,
        on_progress=lines.append,
    )  # fmt: skip
    assert sum(lines) == len(DRUGS)
    assert_equal(two, packed)
