"""Design modes: the prompts they write, and that their samples keep what they should."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.errors import ConfigError
from molgen.generator.design_modes import MODES, link, merge, prompts_for, regrow, replace
from molgen.generator.exit_vectors import cut_away, exit_vectors, open_at, to_prompt
from molgen.generator.network import GraphTransformer
from molgen.generator.prompts import parse_prompt, split
from molgen.generator.sampler import sample
from tests.conftest import MAX_ATOMS
from tests.generator.keeping import assert_kept, assert_molecule
from tests.graphs.building import flat
from tests.property_models.drugs import DRUGS

IMATINIB = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"
PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"

# (mode, molecules, part, n)
CASES: list[tuple[str, list[str], str | None, int]] = [
    ("decorate", ["c1ccc2[nH]ccc2c1"], None, 4),
    ("decorate", ["O=C1NC([*:1])CN1[*:2]"], None, 1),
    ("replace", [IMATINIB], "C(=O)N", 1),
    ("replace", [IMATINIB], "c1cccnc1", 1),
    ("replace", ["C[C@H](O)/C=C/c1ccccc1"], "0,2", 1),
    ("grow", ["C[C@H](N)c1ccccc1"], None, 5),
    ("link", ["c1ccncc1", "[*:1]N1CCOCC1"], None, 3),
    ("link", ["c1ccncc1.CC(N)=O.[3*]C"], None, 2),
    ("merge", ["Cc1ccc(N)cc1", "Cc1cccc(CO)c1"], None, 3),
    ("merge", ["Cc1ccccc1O", "CCCc1ccccc1N"], None, 3),
    ("superstructure", ["O=C1NCCc2ccccc21"], None, 1),
    ("morph", ["C[C@@H]1CC(=O)N[C@H](C(F)(F)F)C1"], None, 1),
    ("morph", [PARACETAMOL], "c1ccccc1", 1),
    ("regrow", [IMATINIB], None, 4),
    ("regrow", [PARACETAMOL], "6", 2),
]


@pytest.mark.parametrize(("mode", "molecules", "part", "n"), CASES)
def test_every_sample_of_every_mode_keeps_its_prompt(
    network: GraphTransformer, mode: str, molecules: list[str], part: str | None, n: int
) -> None:
    prompts = prompts_for(mode, molecules, part=part, n=n, seed=3)
    assert 1 <= len(prompts) <= n
    for text in prompts:
        prompt = parse_prompt(text, network.vocabulary, network.tables)
        for each in sample(network, 160 // len(prompts), seed=1, prompt=prompt):
            assert_molecule(each, MAX_ATOMS)
            assert_kept(prompt, each)


def test_every_mode_is_tried_above() -> None:
    assert {case[0] for case in CASES} | {"de_novo"} == set(MODES)
    assert prompts_for("de_novo", []) == []


def test_the_seed_decides() -> None:
    for mode, molecules, part, n in CASES:
        first = prompts_for(mode, molecules, part=part, n=n, seed=3)
        assert prompts_for(mode, molecules, part=part, n=n, seed=3) == first
    assert regrow(IMATINIB, n=3, seed=1) != regrow(IMATINIB, n=3, seed=2)


@pytest.mark.parametrize(
    ("smiles", "atoms"),
    [
        ("c1ccccc1", [0]),
        ("Cc1ccccc1", [2, 3, 4]),
        ("c1ccc2[nH]ccc2c1", [0, 1, 2, 4, 5, 6, 8]),
        ("CCN", [2]),  # the amine
        ("CC(=O)NC", [0, 4]),  # no amide
        ("CCO", [0, 1]),
        ("O", [0]),
        ("FC(F)(F)F", []),
        ("O=C1CCCN1", [2, 3, 4, 5]),
    ],
)
def test_exit_vectors_follow_the_rule(smiles: str, atoms: list[int]) -> None:
    assert list(exit_vectors(Chem.MolFromSmiles(smiles))) == atoms


def test_an_opened_centre_keeps_its_configuration() -> None:
    mol = Chem.MolFromSmiles("C[C@H](O)F")
    assert to_prompt(open_at(mol, [1])) in ("C[C@](O)(F)[*:1]", "C[C@@](O)(F)[*:1]")
    closed = Chem.MolFromSmiles(to_prompt(open_at(mol, [1])).replace("[*:1]", "[H]"))
    assert Chem.MolToSmiles(closed) == Chem.MolToSmiles(mol)


@settings(max_examples=100)
@given(st.sampled_from(DRUGS), st.data())
def test_what_is_cut_away_leaves_the_rest_atom_for_atom(smiles: str, data: st.DataObject) -> None:
    """Elements and charges are those of the rest; points are as many as bonds were cut."""
    mol = flat(smiles)
    n = mol.GetNumAtoms()
    assume(n > 1)
    removed = data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n - 1))
    core, points, _ = split(to_prompt(cut_away(mol, removed)))
    rest = [a for a in mol.GetAtoms() if a.GetIdx() not in removed]
    assert sorted((a.GetAtomicNum(), a.GetFormalCharge()) for a in core.GetAtoms()) == sorted(
        (a.GetAtomicNum(), a.GetFormalCharge()) for a in rest
    )
    cut = [
        b for b in mol.GetBonds()
        if (b.GetBeginAtomIdx() in removed) != (b.GetEndAtomIdx() in removed)
    ]  # fmt: skip
    assert len(points) == len(cut)


@settings(max_examples=12)
@given(st.sampled_from(DRUGS), st.integers(0, 2**32))
def test_any_drug_can_be_regrown(network: GraphTransformer, smiles: str, seed: int) -> None:
    size = flat(smiles).GetNumAtoms()
    assume(2 <= size <= MAX_ATOMS - 4)
    (text,) = regrow(smiles, n=1, seed=seed)
    prompt = parse_prompt(text, network.vocabulary, network.tables)
    assert prompt.core.GetNumAtoms() < size
    assume(prompt.n_atoms_needed <= MAX_ATOMS)
    for each in sample(network, 8, seed=seed, prompt=prompt):
        assert_molecule(each, MAX_ATOMS)
        assert_kept(prompt, each)


def test_a_part_is_cut_out_where_it_is_named() -> None:
    assert replace(PARACETAMOL, "C(=O)N") == ["C[*:1].Oc1ccc([*:2])cc1"]
    assert replace(PARACETAMOL, "[CH3]") == ["O=C(Nc1ccc(O)cc1)[*:1]"]
    assert replace(PARACETAMOL, "8") == ["CC(=O)Nc1ccc([*:1])cc1"]
    assert replace("CC(C)=O", "[OX1]") == ["CC(C)=[*:1]"]
    assert replace("OCCN", "C", n=5) == ["NC[*:1].O[*:2]", "N[*:1].OC[*:2]"]


def test_scaffolds_are_morphed_between_all_side_chains() -> None:
    assert prompts_for("morph", [PARACETAMOL]) == ["CC(=O)N[*:1].O[*:2]"]


def test_links_open_fragments_that_have_no_point() -> None:
    assert link(["[*:1]C", "[*:7]N"]) == ["C[*:1].N[*:2]"]
    assert sorted(link(["c1ccncc1", "[*:1]C"], n=9)) == [
        "C[*:1].c1cc([*:2])ccn1", "C[*:1].c1ccc([*:2])nc1", "C[*:1].c1cncc([*:2])c1",
    ]  # fmt: skip
    assert len(link(["c1ccncc1", "[*:1]C"], n=2)) == 2


def test_merging_keeps_the_side_parts_of_both() -> None:
    assert merge("Cc1ccccc1", "c1ccc2[nH]ccc2c1", n=9) == [
        "Cc1ccc2[nH]ccc2c1", "Cc1ccc2cc[nH]c2c1", "Cc1cccc2cc[nH]c12", "Cc1cccc2[nH]ccc12",
    ]  # fmt: skip
    both = merge("Cc1ccc(N)cc1", "Fc1ccc(C[C@H](C)O)cc1", n=9)
    assert both and all("F" in m and "[C@" in m for m in both)
    assert any("." in m for m in both)  # para is taken: fluorine stays apart


@pytest.mark.parametrize(
    ("mode", "molecules", "part", "reason"),
    [
        ("dock", ["C"], None, "there is no such mode; use one of de_novo, decorate"),
        ("de_novo", ["C"], None, "leave the molecules out"),
        ("merge", ["CCO"], None, "takes two molecules, got 1"),
        ("merge", ["CCO", "c1ccccc1"], None, "share fewer than 3 connected atoms"),
        ("link", ["CCO"], None, "give at least two fragments"),
        ("grow", [], None, "give the molecules to start from"),
        ("grow", ["CC("], None, "cannot be parsed as SMILES"),
        ("grow", ["FC(F)(F)F"], None, "has no hydrogen to replace"),
        ("grow", ["[*:1]CC[*:2]"], None, "use mode decorate"),
        ("grow", ["CC"], "C", "takes no part"),
        ("replace", ["CC"], None, "name the part to vary"),
        ("replace", ["CC"], "N", "is not in 'CC'"),
        ("replace", ["CC"], "0,7", "has atoms 0 to 1"),
        ("replace", ["CC"], "[C", "is neither SMARTS nor atom positions"),
        ("replace", ["CC"], "CC", "nothing would be left"),
        ("replace", ["CC.Cl"], "C", "more than one fragment"),
        ("replace", ["[*:1]CC"], "C", "has attachment points"),
        ("morph", ["CCO"], None, "has no ring"),
        ("morph", ["c1ccccc1"], None, "nothing would be left"),
        ("regrow", ["CCO"], "3", "cannot lose 3 of its 3 atoms"),
        ("regrow", ["CCO"], "CO", "is not a number of atoms"),
        ("regrow", ["C"], None, "cannot lose 1 of its 1 atoms"),
        ("regrow", ["c1ccc(-c2ccccc2)cc1"], "11", "no part of about 11 atoms can be taken away"),
        ("superstructure", ["C[*:1]"], None, "has attachment points"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    mode: str, molecules: list[str], part: str | None, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prompts_for(mode, molecules, part=part)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
