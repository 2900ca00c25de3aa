"""Config files: reading, merging, overriding, and what a user is told of a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from molgen.config.base import Section
from molgen.config.campaign import LocalExecutorConfig, RayExecutorConfig, RunConfig
from molgen.config.kinds import load_any
from molgen.config.loading import config_schema, dump_config, load_config
from molgen.config.objective import Between, RangeFilter
from molgen.config.pretraining import PretrainingConfig
from molgen.errors import ConfigError

MINIMAL = """
name: demo
budget: {n_rounds: 3}
objective:
  filters:
    - {type: range, name: logp, low: -1}
  components:
    - type: descriptor
      name: qed
      desirability: {type: increasing, zero_at: 0.2, one_at: 1e-0}
    - type: similarity
      smiles: [NO, CC(=O)Oc1ccccc1C(=O)O]
      desirability: {type: decreasing, one_at: 0.2, zero_at: 0.9}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "demo.yaml"
    path.write_text(MINIMAL)
    return path


def complaint(path: Path, *overrides: str, kind: type[Section] = RunConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides, kind=kind)
    return str(caught.value)


def with_text(path: Path, text: str) -> Path:
    path.write_text(MINIMAL + text)
    return path


# ------------------------------------------------------------------------------------- reading


def test_a_minimal_file_gets_every_default(file: Path) -> None:
    config = load_config(file)
    assert config.name == "demo"
    assert config.round_size == 64
    assert isinstance(config.executor, LocalExecutorConfig)


def test_hydroxylamine_is_not_false_and_an_exponent_makes_a_number(file: Path) -> None:
    config = load_config(
        with_text(file, "learning: {learning_rate: 1e-5}\ndescription: 1:30\nseed: 10_000\n")
    )
    assert config.objective.components[1].smiles[0] == "NO"  # type: ignore[union-attr]
    assert config.learning.learning_rate == 1e-5
    assert config.description == "1:30"
    assert config.seed == 10_000


def test_a_config_in_the_run_folder_loads_back_equal(file: Path, tmp_path: Path) -> None:
    config = load_config(file, ["executor.kind=ray", "generator.prompts=['[*:1]c1ccccc1']"])
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_config(config))
    assert load_config(copy) == config
    assert isinstance(config.objective.filters[0], RangeFilter)
    assert config.objective.filters[0].high == float("inf")


PLAIN = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "NO",
            "no",
            "1e-4",
            "1e5",
            "~",
            "null",
            "1:30",
            "2026-01-01",
            "0x1F",
            "010",
            "1_0",
            ".5",
            "-",
            "<<",
            "=",
            "true",
            "on",
            ".inf",
            "+1",
            "5.",
            "- a",
            "a: b",
        ]
    ),
)
OVERRIDES: dict[str, st.SearchStrategy[Any]] = {
    "description": PLAIN,
    "tracking.experiment": PLAIN,
    "seed": st.integers(0, 2**63),
    "generator.temperature": st.floats(1e-300, 2),
    "budget.time_limit_s": st.none() | st.floats(1e-9, 1e30),
    "learning.enabled": st.booleans(),
    "objective.components.0.weight": st.floats(1e-12, 1e12),
    "objective.filters.0.low": st.floats(allow_nan=False),
    "executor.n_workers": st.integers(1, 64),
    "executor.kind": st.sampled_from(["local", "ray"]),
    "objective.components.1.smiles": st.lists(
        st.sampled_from(["NO", "C", "N", "O", "[Na+]", "CC(=O)O", "[*:1]CC"]), min_size=1
    ),
}


@given(values=st.fixed_dictionaries({}, optional=OVERRIDES))
@settings(max_examples=60, deadline=None)
def test_whatever_was_overridden_is_there_and_survives_dumping(
    values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("config")
    (folder / "demo.yaml").write_text(MINIMAL)
    texts = [
        f"{key}={yaml.safe_dump(value, default_style=_quoted(value)).strip()}"
        for key, value in values.items()
    ]
    config = load_config(folder / "demo.yaml", texts)
    for key, value in values.items():
        node: Any = config.model_dump()
        for part in key.split("."):
            node = node[int(part) if part.isdecimal() else part]
        assert node == value
    (folder / "copy.yaml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(folder / "copy.yaml") == config


def _quoted(value: Any) -> str | None:
    return '"' if isinstance(value, str) else None


# ------------------------------------------------------------------------- parents and overrides


def test_a_child_wins_over_its_parent_key_by_key(file: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    child = tmp_path / "sub" / "child.yaml"
    child.write_text("extends: ../demo.yaml\nname: child\nbudget: {n_oracle_calls: 500}\n")
    config = load_config(child)
    assert (config.name, config.budget.n_rounds, config.budget.n_oracle_calls) == ("child", 3, 500)


def test_a_section_of_another_kind_replaces_the_parents(file: Path, tmp_path: Path) -> None:
    with_text(file, "executor: {kind: ray, scorer_cpus: 2}\n")
    child = tmp_path / "child.yaml"
    child.write_text("extends: demo.yaml\nexecutor: {kind: local, n_workers: 1}\n")
    assert load_config(child).executor == LocalExecutorConfig(n_workers=1)


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    assert "extends itself" in complaint(tmp_path / "a.yaml")


def test_a_missing_parent_names_both_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: base.yaml\n")
    message = complaint(tmp_path / "a.yaml")
    assert "base.yaml: no such file (extended by" in message
    assert "a.yaml)" in message


def test_an_override_reaches_into_lists_and_missing_sections(file: Path) -> None:
    config = load_config(
        file,
        [
            "objective.components.0.weight=2",
            "executor.n_workers=1",
            "generator.prompts.0=CCO",
            "generator.prompts.1=CCN",
            "report.n_drawn=5",
            "report.n_drawn=6",
        ],
    )
    assert config.objective.components[0].weight == 2
    assert config.executor == LocalExecutorConfig(n_workers=1)
    assert config.generator.prompts == ["CCO", "CCN"]
    assert config.report.n_drawn == 6


def test_the_kind_of_executor_can_be_changed_from_the_command_line(file: Path) -> None:
    config = load_config(
        with_text(file, "executor: {kind: local, n_workers: 3}\n"),
        ["executor.kind=ray", "executor.address=ray://head:10001"],
    )
    assert config.executor == RayExecutorConfig(kind="ray", n_workers=3, address="ray://head:10001")


def test_another_kind_of_executor_leaves_the_keys_of_the_first_behind(file: Path) -> None:
    text = "executor: {kind: ray, n_workers: 3, address: auto, scorer_gpus: 1.0}\n"
    config = load_config(with_text(file, text), ["executor.kind=local"])
    assert config.executor == LocalExecutorConfig(n_workers=3)
    assert "unknown key" in complaint(file, "executor.address=auto", "executor.kind=local")


def test_another_kind_of_desirability_leaves_the_keys_of_the_first_behind(file: Path) -> None:
    curve = "objective.components.0.desirability"
    config = load_config(
        file, [f"{curve}.type=between", *(f"{curve}.{k}=1" for k in ("low", "high", "margin"))]
    )
    assert config.objective.components[0].desirability == Between(low=1, high=1, margin=1)


def test_the_primary_endpoint_is_a_predictor_of_the_objective(file: Path) -> None:
    told = complaint(with_text(file, "report: {primary_endpoint: fxa_pkI}\n"))
    assert "report.primary_endpoint: 'fxa_pkI' is no predictor of the objective" in told


def test_a_library_and_parts_to_keep_do_not_go_together(file: Path) -> None:
    told = complaint(file, "generator.prompts.0='[*:1]c1ccccc1'", "search.library=known.smi")
    assert "search.library: its molecules need not hold a part that generator.prompts keeps" in told


@pytest.mark.parametrize(
    "override", ["search.optimism=.inf", "learning.learning_rate=.nan", "budget.time_limit_s=.inf"]
)
def test_numbers_are_finite(file: Path, override: str) -> None:
    assert "should be a finite number" in complaint(file, override)


@pytest.mark.parametrize("name", [".", "..", ".hidden", "a/b", ""])
def test_a_name_is_that_of_a_folder(file: Path, name: str) -> None:
    assert "name: " in complaint(file, f"name={name!r}")


def test_no_answer_is_waited_for_longer_than_a_timer_can(file: Path) -> None:
    part = "{type: command, name: slow, command: [x], timeout_s: 3000000, desirability: "
    part += "{type: increasing, zero_at: 0, one_at: 1}}"
    told = complaint(file, f"objective.components=[{part}]")
    assert "timeout_s" in told and "less than or equal to 1000000" in told


def test_the_kind_of_a_config_shows_in_its_parent_too(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: base\ntraining: {}\ndata: {file: x.smi}\n")
    (tmp_path / "child.yaml").write_text("extends: base.yaml\nname: child\n")
    (tmp_path / "odd.yaml").write_text("{name: odd, training: {}, data: {file: x.smi}}\n")
    for name in ("child", "odd"):
        loaded = load_any(tmp_path / f"{name}.yaml", [])
        assert isinstance(loaded, PretrainingConfig) and loaded.name == name


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("seed", "must look like section.key=value"),
        ("=3", "must look like section.key=value"),
        ("a..b=3", "must look like section.key=value"),
        ("generator.prompts=[*:1]CC", "put text with special characters in quotes"),
        ("objective.components.7.weight=2", "objective.components is a list of 2"),
        ("objective.components.qed.weight=2", "give an index from 0 to 2, not 'qed'"),
        ("name.first=x", "name is a text, not a section"),
        ("bugdet.n_rounds=3", "unknown key; did you mean 'budget'?"),
        ("seed=x", "override 'seed=x': seed: should be a valid integer, not \"x\""),
    ],
)
def test_a_wrong_override_is_named(file: Path, override: str, told: str) -> None:
    message = complaint(file, override)
    assert f"override {override!r}: " in message
    assert told in message


# ------------------------------------------------------------------------------ what users break


def test_every_fault_is_listed_with_file_key_and_remedy(file: Path) -> None:
    file.write_text("""
name: demo
seed: "3"
budget: {n_rounds: true}
generator: {temprature: 1.0}
objective:
  components:
    - {type: descriptor, name: qedd, desirability: {type: increasing, zero_at: 1, one_at: 0}}
    - {type: descripter}
    - {name: x}
    - {type: similarity, smiles: [C1CC], desirability: {type: incresing}}
executor: 3
""")
    lines = complaint(file).splitlines()
    expected = [
        'seed: should be a valid integer, not "3"',
        "budget.n_rounds: should be a valid integer, not true",
        "generator.temprature: unknown key; did you mean 'temperature'? (known keys: prior, ",
        "objective.components.0.name: \"qedd\" is not allowed; did you mean 'qed'? (one of: qed, ",
        "objective.components.0.desirability: zero_at must be below one_at",
        "objective.components.1.type: unknown type 'descripter'; did you mean 'descriptor'? (one "
        "of: predictor, descriptor, alerts, novelty, similarity, command, http, python)",
        "objective.components.2.type: is missing (one of: predictor, ",
        "objective.components.3.smiles.0: cannot parse the SMILES 'C1CC'",
        "objective.components.3.desirability.type: unknown type 'incresing'; did you mean",
        "executor: ",
    ]
    assert len(lines) == len(expected)
    for start in expected:
        assert any(line.startswith(f"{file}: {start}") for line in lines), start


def test_a_missing_required_key_is_named_with_its_meaning(file: Path) -> None:
    file.write_text("name: demo\nbudget: {n_rounds: 1}\n")
    assert complaint(file) == f"{file}: objective: is missing"


def test_a_fault_in_a_parent_is_blamed_on_the_parent(file: Path, tmp_path: Path) -> None:
    with_text(file, "sed: 3\n")
    (tmp_path / "child.yaml").write_text("extends: demo.yaml\nround_size: 0\n")
    message = complaint(tmp_path / "child.yaml")
    assert f"{file}: sed: unknown key; did you mean 'seed'?" in message
    assert f"{tmp_path / 'child.yaml'}: round_size: should be greater than or equal" in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"# only a comment\n", "the file is empty"),
        (b"- a\n- b\n", "must hold `key: value` lines, not a list"),
        (b"just words\n", "must hold `key: value` lines, not a text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", "is not a text file"),
        (b"\x00\x01\x02", "not valid YAML"),
        (b"a: 1\nb: [1, 2\nc: 3\n", "not valid YAML: line 3"),
        (b"seed: 1\nseed: 2\n", "not valid YAML: line 2, column 1: the key 'seed' is given twice"),
        (b"a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
        (b"name: &a [*a]\n", "not valid YAML: line 1, column 7: found unconstructable recursive"),
        (b'name: "\\ud83d"\n', "is half a character"),
        (b"extends: [a, b]\n", "must be the name of one file"),
    ],
)
def test_what_is_not_a_config_file_gets_one_clear_line(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    message = complaint(path)
    assert message.startswith(f"{path}: ")
    assert told in message
    assert "\n" not in message


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}: no such file"
    assert "is a folder, not a config file" in complaint(tmp_path)


# ------------------------------------------------------------------------------- other root models


class _Member(Section):
    """A section that may stand where a word may stand as well."""

    size: int


class _Plan(Section):
    """A root model of another kind."""

    steps: int | Literal["all"] = "all"
    member: str | _Member = "none"
    members: tuple[_Member, ...] = Field((_Member(size=1),), min_length=1)
    sizes: dict[str, int] = Field({}, description="by name")
    width: float = Field(1.0, description="of the network")
    place: Path = Path("here")


def test_any_root_model_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("steps: 5\nsizes: {a: 1}\nwidth: 2\nplace: there\n")
    plan = load_config(path, ["sizes.b=2"], kind=_Plan)
    assert plan == _Plan(steps=5, sizes={"a": 1, "b": 2}, width=2.0, place=Path("there"))
    path.write_text(dump_config(plan))
    assert load_config(path, kind=_Plan) == plan


def test_faults_in_plain_unions_and_mappings_keep_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("steps: some\nsizes: {a: x}\nmember: {size: x}\nmembers: [{sise: 3}]\n")
    message = complaint(path, kind=_Plan)
    assert f"{path}: member.size: should be a valid integer" in message
    assert f"{path}: members.0.sise: unknown key; did you mean 'size'?" in message
    assert f"{path}: member: " not in message
    assert f"{path}: members: " not in message
    assert f'{path}: steps: "some" is not allowed (one of: all)' in message
    assert f'{path}: sizes.a: should be a valid integer, not "x"' in message


def test_the_schema_is_json_and_allows_a_parent() -> None:
    schema = config_schema(RunConfig)
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    assert schema["properties"]["extends"]["type"] == "string"
    assert schema["properties"]["budget"] == {"$ref": "#/$defs/BudgetConfig"}


@pytest.mark.parametrize("key", ["!!timestamp 2020-01-01", "!!binary aGVsbG8="])
def test_a_key_that_is_no_plain_text_is_refused(file: Path, key: str) -> None:
    assert "must be plain text" in complaint(with_text(file, f"{key}: 3\n"))


def test_an_address_with_a_password_is_refused_without_repeating_it(file: Path) -> None:
    http = "type: http\n      url: http://me:secret@host/"
    file.write_text(MINIMAL.replace("type: descriptor", http))
    told = complaint(file)
    assert "user and password in an address are not sent; ask a service that wants" in told
    assert "secret" not in told


def test_patterns_and_molecules_must_hold_something(file: Path) -> None:
    assert "empty SMILES" in complaint(file, "generator.prompts=['']")
    text = "objective.filters=[{type: substructure, require: ['']}]"
    assert "empty pattern" in complaint(file, text)


def test_no_more_components_are_traded_off_than_can_be_measured(file: Path) -> None:
    wish = "desirability: {type: increasing, zero_at: 0, one_at: 1}"
    parts = ", ".join(f"{{type: python, name: c{i}, function: 'm:f', {wish}}}" for i in range(32))
    text = f"objective.components=[{parts}]"
    assert "at most 31 components, and there are 32" in complaint(file, text, "search.pareto=true")
