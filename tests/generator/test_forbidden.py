"""What is forbidden is in no sample, and what that cost is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import Chem

from molgen.errors import ConfigError
from molgen.generator.forbidden import (
    parse_smarts,
    read_smarts_file,
    restrictions,
)
from molgen.generator.network import GraphTransformer
from molgen.generator.prompts import parse_prompt
from molgen.generator.sampler import Drawn, SamplingOptions, draw
from molgen.graphs.dataset import pack
from molgen.graphs.vocabulary import N_FIXED_ACTIONS, Vocabulary
from tests.generator.keeping import assert_kept, assert_molecule
from tests.generator.test_prompts import MARKED, SEVERAL, STEREO, UNMARKED

BENZENE = "c1ccccc1"


def mols(drawn: Drawn) -> list[Chem.Mol]:
    return [Chem.MolFromSmiles(s.smiles) for s in drawn.samples]


def elements_of(mol: Chem.Mol) -> set[str]:
    return {atom.GetSymbol() for atom in mol.GetAtoms()}


# ------------------------------------------------------------------------------------- elements


def test_only_the_elements_allowed_are_added_and_nothing_is_rejected(
    network: GraphTransformer,
) -> None:
    drawn = draw(network, 100, seed=1, options=SamplingOptions(elements=("C", "O")))
    assert all(elements_of(mol) <= {"C", "O"} for mol in mols(drawn))
    assert {"C", "O"} == set.union(*(elements_of(mol) for mol in mols(drawn)))
    assert drawn.n_attempts == 100 and not drawn.n_rejected


def test_a_prompt_may_hold_other_elements(network: GraphTransformer) -> None:
    prompt = parse_prompt("[*:1]c1ncsc1", network.vocabulary, network.tables)
    options = SamplingOptions(elements=("C",), max_atoms=20)
    drawn = draw(network, 50, seed=1, prompt=prompt, options=options)
    for each in drawn.samples:
        assert_molecule(each, 20)
        assert_kept(prompt, each)
        symbols = [atom.GetSymbol() for atom in each.mol.GetAtoms()]
        assert symbols.count("N") == symbols.count("S") == 1
    assert not drawn.n_rejected


def test_elements_that_soon_leave_no_open_valence_still_finish(network: GraphTransformer) -> None:
    options = SamplingOptions(elements=("F",), min_atoms=10)
    assert {s.smiles for s in draw(network, 10, seed=1, options=options).samples} <= {"F", "FF"}


def test_elements_that_cannot_be_used_are_refused(network: GraphTransformer) -> None:
    with pytest.raises(ConfigError, match=r"elements: 'Xe' is not among .* C, .* O"):
        draw(network, 1, seed=1, options=SamplingOptions(elements=("C", "Xe")))
    prompt = parse_prompt("[*:1]=C1CCCCC1", network.vocabulary, network.tables)
    with pytest.raises(ConfigError, match="bond of order 2"):
        draw(network, 1, seed=1, prompt=prompt, options=SamplingOptions(elements=("F",)))


# --------------------------------------------------------------------------------- substructures


def test_no_sample_matches_and_every_attempt_is_counted(network: GraphTransformer) -> None:
    patterns = "C=C", "[NX3;H2]"
    free = draw(network, 60, seed=2, options=SamplingOptions(max_atoms=12))
    drawn = draw(network, 60, seed=2, options=SamplingOptions(forbidden=patterns, max_atoms=12))
    for smarts in patterns:
        query = Chem.MolFromSmarts(smarts)
        assert any(mol.HasSubstructMatch(query) for mol in mols(free)), "or this shows nothing"
        assert not any(mol.HasSubstructMatch(query) for mol in mols(drawn))
    assert len(drawn.samples) == 60
    assert drawn.n_rejected.total() == drawn.n_attempts - 60 > 0
    assert set(drawn.n_rejected) <= set(patterns)


def test_rings_that_bring_a_match_are_not_begun(
    network: GraphTransformer, vocabulary: Vocabulary
) -> None:
    usable = restrictions(vocabulary, (), (BENZENE,)).usable_W
    ring = Chem.MolFromSmarts(BENZENE)
    masked = 0
    for w, (item, _) in enumerate(vocabulary.attachments, start=N_FIXED_ACTIONS):
        if item < len(vocabulary.atom_types):
            assert usable[w], "a single atom is no ring"
            continue
        system = vocabulary.rings[vocabulary.roots[item - len(vocabulary.atom_types)][0]]
        six = [t for t in system.atom_types if t[0] == 6]
        if not usable[w]:
            masked += 1
            assert len(six) >= 6
    assert 0 < masked < len(vocabulary.attachments) / 2
    drawn = draw(network, 60, seed=3, options=SamplingOptions(forbidden=(BENZENE,)))
    assert not any(mol.HasSubstructMatch(ring) for mol in mols(drawn))
    assert drawn.n_attempts < 70, "a benzene built atom by atom is rare"


@pytest.mark.parametrize("smarts", ["[CH]=O", "[C;!R]", "[#6;X3]", "[$(c=O)]", "C=C", "[NH]"])
def test_a_pattern_that_may_stop_matching_masks_nothing(
    vocabulary: Vocabulary, smarts: str
) -> None:
    assert restrictions(vocabulary, (), (smarts,)).usable_W.all()


def test_a_forbidden_element_is_never_added(network: GraphTransformer) -> None:
    drawn = draw(network, 50, seed=1, options=SamplingOptions(forbidden=("[#7]", "[F,Cl]")))
    assert not any(elements_of(mol) & {"N", "F"} for mol in mols(drawn))
    assert drawn.n_rejected["[#7]"] == 0


def test_a_match_wholly_inside_the_prompt_does_not_count(network: GraphTransformer) -> None:
    prompt = parse_prompt("[*:1]c1ccccc1", network.vocabulary, network.tables)
    options = SamplingOptions(forbidden=(BENZENE,), max_atoms=20)
    drawn = draw(network, 40, seed=1, prompt=prompt, options=options)
    query = Chem.MolFromSmarts(BENZENE)
    assert all(len(mol.GetSubstructMatches(query)) == 1 for mol in mols(drawn))


def test_what_only_the_whole_molecule_matches_counts_inside_the_prompt_too(
    network: GraphTransformer,
) -> None:
    tertiary = "[NX3;H0]"
    options = SamplingOptions(elements=("C",), forbidden=(tertiary,), max_atoms=6)
    prompt = parse_prompt("CN", network.vocabulary, network.tables)
    drawn = draw(network, 60, seed=1, prompt=prompt, options=options)
    assert not any(mol.HasSubstructMatch(Chem.MolFromSmarts(tertiary)) for mol in mols(drawn))
    assert drawn.n_rejected[tertiary]
    prompt = parse_prompt("[*:1]N([*:2])C", network.vocabulary, network.tables)
    assert draw(network, 5, seed=1, prompt=prompt, options=options).samples, "the user's own"


@pytest.mark.parametrize("smiles", MARKED + SEVERAL + STEREO + UNMARKED)
def test_a_prompt_matches_itself_with_points_or_hydrogens(
    network: GraphTransformer, smiles: str
) -> None:
    prompt = parse_prompt(smiles, network.vocabulary, network.tables)
    atoms = {frozenset([a]) for a in range(prompt.core.GetNumAtoms())}
    assert prompt.own_matches(Chem.MolFromSmarts("*")) == atoms
    open_atoms = {frozenset([a]) for a, _ in prompt.points}
    assert prompt.own_matches(Chem.MolFromSmarts("[*;$(*~[#0])]")) == open_atoms
    hydrogens = prompt.own_matches(Chem.MolFromSmarts("[*;!H0]"))
    assert hydrogens >= open_atoms


def test_a_sulphone_ring_is_no_thiophene() -> None:
    rings = ["C1=CS(=O)(=O)C=C1", "c1ccsc1", "O=S1(=O)C=Cc2ccccc21"]
    found = pack(rings, max_atoms=20, min_atom_count=1).vocabulary
    usable = restrictions(found, (), ("[s]",)).usable_W
    masked = {
        found.rings[found.roots[item - len(found.atom_types)][0]].atom_types
        for w, (item, _) in enumerate(found.attachments, start=N_FIXED_ACTIONS)
        if not usable[w]
    }
    assert len(masked) == 1 and all((16, 0, 2) in types for types in masked)


def test_fragments_that_nothing_may_join_are_refused(network: GraphTransformer) -> None:
    prompt = parse_prompt("C[*:1].N[*:2]", network.vocabulary, network.tables)
    with pytest.raises(ConfigError, match="takes two bonds, as joining fragments asks"):
        draw(network, 2, seed=1, prompt=prompt, options=SamplingOptions(elements=("F",)))
    prompt = parse_prompt("C[*:1].N[*:2].O[*:3]", network.vocabulary, network.tables)
    options = SamplingOptions(elements=("O",), max_attempts=3, max_atoms=9)
    with pytest.raises(ConfigError, match=r"^elements: .* by no legal step left; allow more el"):
        draw(network, 2, seed=1, prompt=prompt, options=options)


def test_what_cannot_be_avoided_ends_in_one_error(network: GraphTransformer) -> None:
    options = SamplingOptions(forbidden=("[#6,#7,#8;!R,R]",), max_attempts=3)
    with pytest.raises(ConfigError, match=r"forbidden: \d+ molecules started.* rejected \d+ by"):
        draw(network, 20, seed=1, options=options)
    with pytest.raises(ConfigError, match="nothing is left"):
        draw(network, 1, seed=1, options=SamplingOptions(forbidden=("*",)))


def test_restrictions_leave_the_seed_in_charge(network: GraphTransformer) -> None:
    options = SamplingOptions(forbidden=("C=C",), top_p=0.9)
    first, again, other = (draw(network, 30, seed=s, options=options) for s in (1, 1, 2))
    assert [s.smiles for s in first.samples] == [s.smiles for s in again.samples]
    assert first.n_rejected == again.n_rejected
    assert [s.smiles for s in first.samples] != [s.smiles for s in other.samples]


def test_hydrogens_in_smarts_are_conditions_on_what_carries_them() -> None:
    methyl = parse_smarts("[H]C([H])[H]")
    assert [Chem.MolFromSmiles(s).HasSubstructMatch(methyl) for s in ("CO", "C1CC1")] == [1, 0]
    for text in ("[H]", "[2H]C", "[#1,F]C"):
        with pytest.raises(ConfigError, match="hydrogens are not atoms here"):
            parse_smarts(text)
    assert parse_smarts("[!#1]") is not None


def test_smarts_come_from_a_file_with_names_and_remarks(tmp_path: Path) -> None:
    path = tmp_path / "alerts.smarts"
    path.write_text("# alerts\n\n[N+](=O)[O-] nitro group\nN=N\n")
    assert read_smarts_file(path) == ["[N+](=O)[O-]", "N=N"]
    with pytest.raises(ConfigError, match="nowhere"):
        read_smarts_file(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"forbidden 'C\(': cannot be parsed"):
        parse_smarts("C(")
