"""Prompts: what is kept is in every molecule, atom for atom; what cannot be kept is refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molgen.errors import ConfigError
from molgen.generator.exit_vectors import read_molecule
from molgen.generator.network import GraphTransformer, NetworkSize
from molgen.generator.prompts import Prompt, parse_prompt, split
from molgen.generator.sampler import SamplingOptions, sample
from molgen.graphs.dataset import pack
from tests.conftest import MAX_ATOMS
from tests.generator.keeping import assert_kept, assert_molecule
from tests.graphs.building import flat
from tests.property_models.drugs import DRUGS

MARKED = [
    "O=C([*:1])Nc1ccc([*:2])cc1",
    "*c1ccccc1",
    "[*:1]C([*:2])(C)O",  # two points at one atom
    "[*:1]N([*:2])[*:3]",
    "[*:1]=C1CCNCC1",  # by a double bond
    "[*:1]#CC",
    "[*:1]=CC#[*:2]",
    "[*:1]n1cccc1",
    "[*:1][n+]1ccccc1",
    "C[N+](C)(C)[*:1]",
    "[*:1]S(=O)(=O)N[*:2]",
    "[O-][N+](=O)c1ccc([*:1])s1",
    "O=c1cc([*:1])[nH]c(=O)n1[*:2]",
    "[*:1]C1CC2(C1)CC([*:2])N2",  # a ring system that the vocabulary lacks
    "[*:1]c1ccc2[nH]c([*:2])nc2c1",
    "[*:1]O",
    "[*:1]=S(C)(=O)c1ccccc1",  # sulphur keeps its valence of six
]
SEVERAL = [
    "[*:1]c1ccccc1.[*:2]C1CCNCC1",
    "[*:1]c1ccccc1.[*:2]C1CCN([*:3])CC1.[*:4]C(=O)O",
    "[*:1]c1ccncc1.[*:2]=C1CCNCC1",
    "[*:1]#CC.[*:2]#CCC",
    "[*:1]N([*:2])C.F[*:3]",
    "[*:1][N+](C)(C)C.[O-]C(=O)[*:2]",
    "c1ccncc1.C1CC1",
    "O.[NH4+].c1ccsc1",
    "C[*].C[*].C[*].C[*].C[*]",
]
STEREO = [
    "[*:1][C@H](N)C(=O)O",
    "[*:1][C@]1(C)CC[C@@H]([*:2])O1",
    "C[C@H](F)[*:1].[*:2]/C=C/C",
    "[*:1]/C(C)=C(/F)[*:2]",
    "[*:2][C@@]([*:1])(C)F",
    "F/C=C/C(=O)N[C@@H](C)c1ccccc1",
    "C[C@@H]1CCCN1",
    "C[S@](=O)[*:1]",
    "N[C@@H](Cc1ccccc1)C(=O)[*:1].C[C@H]([*:2])O",
    "C/C=C\\C",
]
HYDRIDES = ["[*:1]N=[SH2]", "[*:1]C[SH3]", "C[SH3]", "[*:1][SH2](C)(C)C"]
LABELLED = ["[13CH3][*:1]", "[*:1][15N]([*:2])C", "[13cH]1ccccc1"]
UNMARKED = ["c1ccncc1", "O=C1NCCc2ccccc21", "C1CCNOC1", "N", "CS(=O)(=O)c1ccccc1", "[O-][N+](=O)C"]


def parsed(smiles: str, network: GraphTransformer) -> Prompt:
    return parse_prompt(smiles, network.vocabulary, network.tables)


@pytest.mark.parametrize("smiles", MARKED + UNMARKED + SEVERAL + STEREO + LABELLED)
def test_the_core_is_in_every_sample_atom_for_atom(network: GraphTransformer, smiles: str) -> None:
    prompt = parsed(smiles, network)
    assert bool(prompt.n_points) == ("*" in smiles)
    for each in sample(network, 32, seed=1, prompt=prompt):
        assert_molecule(each, MAX_ATOMS)
        assert_kept(prompt, each)


@pytest.mark.parametrize("smiles", HYDRIDES)
def test_hydrogens_of_a_higher_valence_stay(network: GraphTransformer, smiles: str) -> None:
    prompt = parsed(smiles, network)
    for each in sample(network, 16, seed=1, prompt=prompt):
        assert_molecule(each, MAX_ATOMS)
        assert_kept(prompt, each)
        read = Chem.MolFromSmiles(each.smiles)
        assert sorted(a.GetTotalValence() for a in read.GetAtoms()) == sorted(
            a.GetTotalValence() for a in each.mol.GetAtoms()
        )


def test_phosphorus_keeps_hydrogens_and_bonds_or_is_refused() -> None:
    smiles = ["CCP(C)(C)=O", "CP(O)(=O)OC=C", "Cc1ccccc1", "CN=C"]
    vocabulary = pack(smiles, max_atoms=MAX_ATOMS, min_atom_count=1).vocabulary
    network = GraphTransformer(vocabulary, NetworkSize(16, 1, 2, MAX_ATOMS)).eval()
    for text in ("[*:1]CC[PH2]=O", "C[PH](C)=O", "O=P(C)([*:1])[*:2]", "C[PH](C)=[*:1]"):
        prompt = parsed(text, network)
        options = SamplingOptions(elements=("C", "N", "O"))
        for each in sample(network, 8, seed=1, prompt=prompt, options=options):
            assert_kept(prompt, each)
            atoms = Chem.MolFromSmiles(each.smiles).GetAtoms()
            assert [a.GetTotalValence() for a in atoms if a.GetSymbol() == "P"] == [5]
    for text in ("O=P(C)=[*:1]", "C[PH2]=O", "C=P(C)=[*:1]"):
        with pytest.raises(ConfigError, match="a second double bond, which RDKit writes with char"):
            parsed(text, network)


def test_hydrogens_written_as_atoms_are_read_as_such(network: GraphTransformer) -> None:
    prompt = parsed(r"[H]/N=C(\N)c1ccc([*:1])cc1", network)
    assert Chem.MolToSmiles(prompt.core) == "N=C(N)c1ccccc1" and not prompt.stereo.double_bonds
    mol = read_molecule(r"[H]/N=C(\N)c1ccccc1")
    assert Chem.MolToSmiles(mol) == "N=C(N)c1ccccc1"


@pytest.mark.parametrize("smiles", [*MARKED[:6], *SEVERAL])
def test_the_size_it_says_it_needs_is_enough(network: GraphTransformer, smiles: str) -> None:
    prompt = parsed(smiles, network)
    options = SamplingOptions(max_atoms=prompt.n_atoms_needed, min_atoms=prompt.n_atoms_needed)
    for each in sample(network, 32, seed=1, prompt=prompt, options=options):
        assert_molecule(each, options.max_atoms)
        assert_kept(prompt, each)


def test_a_tight_size_still_leaves_an_atom_for_every_point(network: GraphTransformer) -> None:
    prompt = parsed("[*:1]N([*:2])c1cc([*:3])cc([*:4])c1", network)
    options = SamplingOptions(max_atoms=prompt.core.GetNumAtoms() + 4)
    for each in sample(network, 100, seed=1, prompt=prompt, options=options):
        assert_molecule(each, options.max_atoms)
        assert_kept(prompt, each)


def cut(smiles: str, seed: int, n_cuts: int) -> list[str]:
    """Pieces of a drug cut at bonds outside rings, with * where they were cut."""
    mol = flat(smiles)
    bonds = [b for b in mol.GetBonds() if not b.IsInRing()]
    chosen = (
        [bonds[(seed >> (8 * k)) % len(bonds)].GetIdx() for k in range(n_cuts)] if bonds else []
    )
    chosen = sorted(set(chosen))
    if not chosen:
        return []
    pieces = Chem.FragmentOnBonds(
        mol, chosen, dummyLabels=[(0, 0)] * len(chosen),
        bondTypes=[mol.GetBondWithIdx(b).GetBondType() for b in chosen],
    )  # fmt: skip
    return sorted(Chem.MolToSmiles(pieces).split("."))


@settings(max_examples=25)
@given(st.sampled_from(DRUGS), st.integers(0, 2**32), st.integers(1, 3), st.booleans())
def test_any_pieces_of_any_drug_are_kept(
    network: GraphTransformer, smiles: str, seed: int, n_cuts: int, marked: bool
) -> None:
    """One of them, or several at once, which are joined again."""
    pieces = cut(smiles, seed, n_cuts)
    assume(pieces)
    chosen = pieces[: 1 + seed % len(pieces)]
    if not marked:
        chosen = [Chem.MolToSmiles(split(piece)[0]) for piece in chosen]
    prompt = parsed(".".join(chosen), network)
    assert prompt.n_points == sum(p.count("*") for p in chosen)
    assert prompt.n_fragments == len(chosen)
    assume(prompt.n_atoms_needed <= MAX_ATOMS)
    for each in sample(network, 6, seed=seed, prompt=prompt):
        assert_molecule(each, MAX_ATOMS)
        assert_kept(prompt, each)


def test_a_core_without_its_points_is_the_molecule_with_hydrogens_there() -> None:
    for smiles, core, orders in [
        ("[*:1]c1ccccc1", "c1ccccc1", [1]),
        ("[*:1]n1cccc1", "c1cc[nH]c1", [1]),
        ("[*:1]=C1CC1", "C1CC1", [2]),
        ("C[N+](C)(C)[*:1]", "C[NH+](C)C", [1]),
        ("[*:1]#C[*:2]", "C", [3, 1]),
        ("[*:1]=S(C)(C)=O", "C[SH2](C)=O", [2]),
    ]:
        mol, points, _ = split(smiles)
        assert Chem.MolToSmiles(mol) == core
        assert [order for _, order in points] == orders
        assert len({atom for atom, _ in points}) == 1


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("c1ccccc", "cannot be parsed as SMILES"),
        ("", "the core must have 1 to 63 heavy atoms"),
        ("CC.[*:1]N", "a fragment has no attachment point while another has"),
        ("CC.FC(F)(F)F", "a fragment has no hydrogen that could make way"),
        ("F[Pt@SP1](Cl)(N)[*:1]", "stereo other than @ and @@"),
        ("C" * 64, "the core must have 1 to 63 heavy atoms"),
        ("C[*:1]C", "an attachment point needs exactly one neighbour"),
        ("[*:1][*:2]", "an attachment point needs exactly one neighbour"),
        ("[*:1]", "an attachment point needs exactly one neighbour"),
        ("[*:1]C[CH2]", "unpaired electron"),
        ("[*:1]$C", "by a single, double or triple bond"),
        ("[*:1]->[Fe+2]", "by a single, double or triple bond"),
        ("[*:1][Si](C)(C)C", "atom that this generator does not know: Si of valence 4"),
        ("[2H]C[*:1]", "atom that this generator does not know: H of valence 1"),
        ("C[P+](C)(C)[*:1]", "does not know: P of valence 4 and charge +1"),
    ],
)
def test_a_bad_prompt_is_refused_with_the_reason(
    network: GraphTransformer, smiles: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(smiles, network)
    assert reason in str(caught.value)
    assert repr(smiles) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_points_may_be_written_as_isotopes_as_cutting_programs_do(
    network: GraphTransformer,
) -> None:
    prompt = parsed("[2*]c1ccccc1[1*]", network)
    assert prompt.n_points == 2
    assert [atom for atom, _ in prompt.points] == [5, 0]
    assert all(not isotope for isotope in prompt.isotopes)
