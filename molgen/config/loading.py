"""From a YAML file and overrides to a checked config, and back.

A file may name one parent, `extends: base.yaml` (looked up beside the file). Sections are merged
key by key, the child wins; lists are replaced as a whole, and so is a section whose `type` or
`kind` differs from the parent's. Overrides come last: `budget.n_rounds=20`,
`objective.components.0.weight=2`, `generator.prompts=['[*:1]c1ccccc1']`. Their values are YAML.

Paths inside a config (weights, folders, programs) are taken as they are written: a relative one
is relative to the working directory of the command, not to the config file. Only `extends` is
relative to the file.

The YAML understood is the core schema of YAML 1.2 where it matters to chemists: `NO` is
hydroxylamine, not false, and `1e-4` is a number. Types are checked strictly: `"3"` is not 3.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, overload

import yaml
from pydantic import ValidationError

from molgen.config.base import Section
from molgen.config.campaign import RunConfig
from molgen.config.explaining import explain, field_types, union_members, union_tag
from molgen.errors import ConfigError

T = TypeVar("T", bound=Section)

_TAG_KEYS = ("type", "kind")


@overload
def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig: ...


@overload
def load_config(path: str | Path, overrides: Sequence[str] = (), *, kind: type[T]) -> T: ...


def load_config(
    path: str | Path, overrides: Sequence[str] = (), *, kind: type[Section] = RunConfig
) -> Section:
    """Read, merge and check a config file.

    Args:
        path: a YAML file.
        overrides: `dotted.key=value` texts, applied in order.
        kind: the root model that the file must fit.

    Returns:
        A frozen instance of `kind`.

    Raises:
        ConfigError: the file cannot be read or does not fit; the message lists every fault, one
            a line, with file (or override), dotted key, what is wrong and the likeliest remedy.
    """
    layers = _read_layers(Path(path))
    data = _merged(layers)
    parsed = [_parse_override(text) for text in overrides]
    for override in parsed:
        _drop_other_kinds(kind, data, override)
    for override in parsed:
        _apply(data, override)
    _fill_tags(kind, data)
    try:
        # As JSON, because there a list is right for a tuple and text for a path, even strictly.
        text = json.dumps(data, default=str, ensure_ascii=False).encode()
        return kind.model_validate_json(text, strict=True)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{path}: {error.object[error.start]!r} is half a character") from None
    except ValidationError as error:
        faults = []
        for key, what in explain(kind, error):
            source = _source(key, layers, parsed)
            faults.append(
                f"{source}: {'.'.join(map(str, key))}: {what}" if key else f"{source}: {what}"
            )
        raise ConfigError("\n".join(faults)) from None


def config_keys(path: str | Path) -> set[str]:
    """The keys at the top of a config file and its parents.

    Raises:
        ConfigError: the file cannot be read.
    """
    return set(_merged(_read_layers(Path(path))))


def dump_config(config: Section) -> str:
    """YAML of a config with every default written out; `load_config` reads it back equal."""
    return yaml.dump(
        config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True
    )


def config_schema(kind: type[Section] = RunConfig) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a config file, for editors; it allows `extends`."""
    schema = kind.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "a config file that this one builds on",
    }
    # A child may leave to its parent what the model requires.
    schema.pop("required", None)
    finite: dict[str, Any] = _without_infinities(schema)
    return finite


def _without_infinities(node: Any) -> Any:
    """The schema less defaults that JSON cannot write (an open bound is infinite)."""
    if isinstance(node, dict):
        return {
            k: _without_infinities(v)
            for k, v in node.items()
            if not (k == "default" and isinstance(v, float) and not math.isfinite(v))
        }
    return [_without_infinities(v) for v in node] if isinstance(node, list) else node


# ---------------------------------------------------------------------------------------- YAML

_FLOAT = re.compile(
    r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"
    r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
)
_INT = re.compile(r"^[-+]?[0-9]+(?:_[0-9]+)*$")  # 10_000 is not of YAML 1.2, but handy
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_REPLACED = {f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "timestamp")}


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice and reads plain words as YAML 1.2 does."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what `_Loader` would take for a number or a truth value."""

    def ignore_aliases(self, data: Any) -> bool:  # aliases would puzzle readers
        return True


for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _class.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    _class.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(node.value)  # PyYAML would read 010 as octal


# What YAML makes something else of than text, a number or a truth value.
_NO_KEYS = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary")


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if key_node.tag in _NO_KEYS:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} must be plain text", key_node.start_mark
            )
        if key in seen and key != "<<":
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is given twice", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def _parse_yaml(text: str) -> Any:
    """The value of a YAML document; ValueError says in one line what is wrong and where."""
    try:
        return yaml.load(text, Loader=_Loader)  # _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


# --------------------------------------------------------------------------- files and overrides


@dataclass(frozen=True)
class _Layer:
    """One file of a chain of parents."""

    source: str
    data: dict[str, Any]


def _read_layers(path: Path) -> list[_Layer]:
    """The file, then its parent, and so on."""
    layers: list[_Layer] = []
    seen: set[Path] = set()
    named_by = ""
    while True:
        data = _read_file(path, named_by)
        seen.add(path.resolve())
        parent = data.pop("extends", None)
        layers.append(_Layer(str(path), data))
        if parent is None:
            return layers
        if not isinstance(parent, str):
            raise ConfigError(f"{path}: extends: must be the name of one file, not {parent!r}")
        named_by = f" (extended by {path})"
        path = path.parent / parent
        if path.resolve() in seen:
            raise ConfigError(f"{path}: extends itself{named_by}; remove one `extends`")


def _read_file(path: Path, named_by: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file{named_by}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a config file{named_by}") from None
    except (UnicodeDecodeError, ValueError):
        raise ConfigError(f"{path}: is not a text file{named_by}; give a YAML file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{named_by}") from None
    try:
        data = _parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if data is None:
        raise ConfigError(f"{path}: the file is empty{named_by}")
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold `key: value` lines, not a {_kind_of(data)}{named_by}")
    return data


def _merged(layers: Sequence[_Layer]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for layer in reversed(layers):
        data = _merge(data, layer.data)
    return data


def _merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(parent)
    for key, value in child.items():
        old = merged.get(key)
        merge = (
            isinstance(old, dict)
            and isinstance(value, dict)
            and not any(tag in old and tag in value and old[tag] != value[tag] for tag in _TAG_KEYS)
        )
        merged[key] = _merge(old, value) if merge else copy.deepcopy(value)  # type: ignore[arg-type]  # both are dicts
    return merged


@dataclass(frozen=True)
class _Override:
    text: str
    keys: tuple[str, ...]
    value: Any


def _parse_override(text: str) -> _Override:
    name, equals, value = text.partition("=")
    keys = tuple(name.strip().split("."))
    if not equals or not all(keys):
        raise ConfigError(f"override {text!r}: must look like section.key=value")
    try:
        return _Override(text, keys, _parse_yaml(value))
    except ValueError as error:
        raise ConfigError(
            f"override {text!r}: the value is not valid YAML ({error}); put text with special "
            f"characters in quotes, such as \"{name}='…'\""
        ) from None


def _drop_other_kinds(kind: type[Section], data: dict[str, Any], override: _Override) -> None:
    """Where an override gives a section another kind, drop the keys that only other kinds have."""
    *path, tag = override.keys
    members: list[Any] = [kind]
    node: Any = data
    for key in path:
        sections = [m for m in members if isinstance(m, type) and issubclass(m, Section)]
        if isinstance(node, dict) and sections:
            types = [m.model_fields[key].annotation for m in sections if key in m.model_fields]
            node = node.get(key)
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            types = [arg for m in members for arg in get_args(m)]
            node = node[int(key)]
        else:
            return
        members = list(dict.fromkeys(m for one in types for m in union_members(one)))
    if not isinstance(node, dict) or union_tag(members) != tag:
        return
    for member in members:
        if override.value == _tag_of(member, tag):
            other = {key for m in members for key in m.model_fields} - set(member.model_fields)
            for key in other & set(node):
                del node[key]


def _tag_of(member: type[Section], tag: str) -> Any:
    return get_args(member.model_fields[tag].annotation)[0]


def _apply(data: dict[str, Any], override: _Override) -> None:
    """Set one value in place; sections and lists on the way are made where they are missing."""
    node: Any = data
    for depth, key in enumerate(override.keys):
        last = depth == len(override.keys) - 1
        fresh: Any = override.value if last else [] if override.keys[depth + 1] == "0" else {}
        if isinstance(node, dict):
            if last or node.get(key) is None:
                node[key] = fresh
            node = node[key]
        elif isinstance(node, list):
            if not key.isdecimal() or int(key) > len(node):
                raise ConfigError(
                    f"override {override.text!r}: {'.'.join(override.keys[:depth])} is a list of "
                    f"{len(node)}, give an index from 0 to {len(node)}, not {key!r}"
                )
            index = int(key)
            node[index : index + 1] = [fresh if last or index == len(node) else node[index]]
            node = node[index]
        else:
            raise ConfigError(
                f"override {override.text!r}: {'.'.join(override.keys[:depth])} is a "
                f"{_kind_of(node)}, not a section"
            )


def _fill_tags(kind: type[Section], data: dict[str, Any]) -> None:
    """Where a section of several kinds has a default, a missing tag means the default's kind."""
    for name, annotation in field_types(kind).items():
        value = data.get(name)
        if not isinstance(value, dict):
            continue
        default = kind.model_fields[name].default
        members = union_members(annotation)
        tag = union_tag(members)
        if tag and isinstance(default, Section) and tag not in value:
            value[tag] = getattr(default, tag)
        for member in members:
            if (
                isinstance(member, type)
                and issubclass(member, Section)
                and (not tag or value.get(tag) == member.model_fields[tag].default)
            ):
                _fill_tags(member, value)


def _source(
    key: tuple[str | int, ...], layers: Sequence[_Layer], overrides: Sequence[_Override]
) -> str:
    """Where a faulty key was written: an override, else the file nearest to the user."""
    words = tuple(map(str, key))
    file = next((layer.source for layer in layers if _holds(layer.data, key)), "")
    for override in reversed(overrides):
        n_shared = min(len(words), len(override.keys))
        if not words or words[:n_shared] != override.keys[:n_shared]:
            continue
        if len(words) >= len(override.keys) or not file:
            return f"override {override.text!r}"
        return f"{file} with override {override.text!r}"  # the two may be at odds
    return file or layers[0].source


def _holds(node: Any, key: tuple[str | int, ...]) -> bool:
    for part in key:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _kind_of(value: Any) -> str:
    names = {
        str: "text",
        bool: "truth value",
        int: "number",
        float: "number",
        list: "list",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)
