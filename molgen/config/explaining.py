"""Pydantic's complaints in the words of the config file: dotted key, what is wrong, the remedy."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Key = tuple[str | int, ...]


def explain(kind: type[BaseModel], error: ValidationError) -> list[tuple[Key, str]]:
    """Every fault as (key path in the file, one line of what is wrong), in the file's order."""
    faults: dict[tuple[Key, str], str] = {}
    for details in error.errors(include_url=False):
        key, parent, node = _locate(kind, details["loc"])
        if details["type"].startswith("union_tag"):
            key = (*key, details["ctx"]["discriminator"].strip("'"))
        faults[key, _describe(details, key, parent, node)] = details["type"]
    keys = [key for key, _ in faults]
    # A list whose items are faulty is also called too short; a section that may be a word as well
    # is also called not a word.
    return [
        (key, what)
        for (key, what), type_ in faults.items()
        if not (type_ == "too_short" or type_.endswith("_type"))
        or not any(len(other) > len(key) and other[: len(key)] == key for other in keys)
    ]


def field_types(kind: type[BaseModel]) -> dict[str, Any]:
    """Field name -> its type."""
    return {name: field.annotation for name, field in kind.model_fields.items()}


def union_members(annotation: Any) -> list[Any]:
    """The types a value may have, without None and without annotations."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for a in get_args(annotation) if a is not type(None) for m in union_members(a)]
    return [annotation]


def union_tag(members: Sequence[Any]) -> str | None:
    """The field that tells the members of a union of sections apart, or None."""
    if len(members) < 2 or not all(
        isinstance(m, type) and issubclass(m, BaseModel) for m in members
    ):
        return None
    shared: set[str] = set.intersection(*(set(m.model_fields) for m in members))
    for name in sorted(shared):
        if all(_literals(m.model_fields[name].annotation) for m in members):
            tags = [t for m in members for t in _literals(m.model_fields[name].annotation)]
            if len(set(tags)) == len(tags):
                return name
    return None


def _tags(annotation: Any) -> list[str]:
    """The values of the tag of a union of sections."""
    members = union_members(annotation)
    if (tag := union_tag(members)) is None:
        return []
    return [str(t) for m in members for t in _literals(m.model_fields[tag].annotation)]


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _locate(
    kind: type[BaseModel], loc: Iterable[str | int]
) -> tuple[Key, type[BaseModel] | None, Any]:
    """Walk the types along pydantic's location.

    Returns the path in the file (pydantic puts the kind of a union's member into the location,
    the file does not), the section that the last key stands in, and the type expected there.
    """
    key: list[str | int] = []
    node: Any = kind
    parent: type[BaseModel] | None = None
    for part in loc:
        members = union_members(node)
        if len(members) > 1:
            node = _member(members, part)
            continue
        node = members[0]
        key.append(part)
        parent = None
        if isinstance(node, type) and issubclass(node, BaseModel):
            parent = node
            node = field_types(node).get(str(part))
        elif get_origin(node) in (list, tuple, set, frozenset, dict):
            node = get_args(node)[-1 if get_origin(node) is dict else 0]
        else:
            node = None
    return tuple(key), parent, node


def _member(members: Sequence[Any], part: str | int) -> Any:
    """The member of a union that a part of pydantic's location names."""
    tag = union_tag(members)
    for member in members:
        if tag and part in _literals(member.model_fields[tag].annotation):
            return member
        if getattr(member, "__name__", None) == part:
            return member
    return None


def _describe(details: ErrorDetails, key: Key, parent: type[BaseModel] | None, node: Any) -> str:
    value, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            known = list(parent.model_fields) if parent else []
            return f"unknown key{_guess(str(key[-1]), known, 'known keys')}"
        case "missing":
            field = parent.model_fields.get(str(key[-1])) if parent else None
            meaning = f" ({field.description})" if field and field.description else ""
            return f"is missing{meaning}"
        case "union_tag_invalid":
            known = _tags(node)
            return f"unknown {key[-1]} {context['tag']!r}{_guess(context['tag'], known, 'one of')}"
        case "union_tag_not_found":
            return f"is missing{_guess('', _tags(node), 'one of')}"
        case "literal_error":
            known = [t.strip(" '") for t in context["expected"].replace(" or ", ", ").split(",")]
            return f"{_short(value)} is not allowed{_guess(str(value), known, 'one of')}"
        case "value_error" | "assertion_error":
            return str(context["error"])
        case "model_type" | "model_attributes_type":
            return f"must be a section of `key: value` lines, not {_short(value)}"
        case "too_short":
            return f"has {context['actual_length']} items, needs at least {context['min_length']}"
    message = details["msg"].removeprefix("Input ").replace("array", "list")
    return f"{message}, not {_short(value)}"


def _guess(word: str, known: Sequence[str], listed_as: str) -> str:
    """The nearest known word, then the list of all."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    mean = f"; did you mean {near[0]!r}?" if near else ""
    return f"{mean} ({listed_as}: {', '.join(known)})" if known else mean


def _short(value: Any) -> str:
    """As it may stand in the file, at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
