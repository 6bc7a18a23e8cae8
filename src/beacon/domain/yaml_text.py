"""YAML (and JSON) text into plain values, strictly.

Beside what YAML itself forbids, these are refused: duplicate keys, aliases that make a small text explode, tags,
merge keys, keys that are not plain names, and deep nesting. Plain scalars are resolved by the core schema of
YAML 1.2 (section 10.3.2), not by 1.1: `no`, `on`, `2024-01-01` and `1:30` are text, and `010` is ten.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.resolver import BaseResolver

from beacon.domain.faults import field_path, show
from beacon.errors import InputError

MAX_DEPTH = 40
MAX_NODES = 1_000_000
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_MAX_DIGITS = 400


class _Resolver(BaseResolver):
    """Plain scalars by the core schema of YAML 1.2."""


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Resolver.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


class _StrictLoader(Composer, CParser, SafeConstructor, _Resolver):
    """Events from libyaml, nodes and values made here; the composer in C could not refuse aliases."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        _Resolver.__init__(self)
        self.depth = 0
        self.nodes = 0
        self.sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()
        line = f"line {event.start_mark.line + 1}"
        if self.check_event(yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self.sizes:
                raise InputError(f"the alias *{event.anchor} stands inside what it names", where=line)
            self._grow(self.sizes.get(event.anchor, 0), line)
            return super().compose_node(parent, index)
        if getattr(event, "tag", None) is not None:
            todo = "leave the tag (a word that begins with !) out, or put the text in quotes"
            raise InputError("YAML tags are not used here", where=line, todo=todo)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise InputError(_TOO_DEEP, where=line)
        before = self.nodes
        self._grow(1, line)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if getattr(event, "anchor", None) is not None:
            self.sizes[event.anchor] = self.nodes - before
        return node

    def _grow(self, nodes: int, line: str) -> None:
        """Counts what the text means when its aliases are written out."""
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            what = f"the text stands for more than {MAX_NODES:,} values when its aliases are written out"
            raise InputError(what, where=line)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float):
                raise InputError(f"a key must be a plain name, found {show(key)}", where=f"line {line}")
            if key in lines:
                where = f"line {line}, first on line {lines[key]}"
                raise InputError(f"duplicate key {show(key)}", where=where, todo="keep one of the two")
            lines[key] = line
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge keys are not resolved: `<<` is a key like any other, and unknown."""

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        text, line = str(node.value), f"line {node.start_mark.line + 1}"
        if len(text) > _MAX_DIGITS:
            raise InputError(f"a number of {len(text):,} digits is not used here", where=line)
        if node.tag.endswith(":int"):
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text, base)
        word = text.lower().lstrip("-+")
        if word in {".inf", ".nan"}:
            return float(text.replace(".", ""))
        return float(text)


_StrictLoader.yaml_constructors = {
    **SafeConstructor.yaml_constructors,
    "tag:yaml.org,2002:int": _StrictLoader.construct_number,
    "tag:yaml.org,2002:float": _StrictLoader.construct_number,
}


def read_yaml(text: str) -> Any:
    """The value of a YAML text; raises InputError that names the line."""
    loader = _StrictLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Twice(dict[str, Any]):
    """A JSON object in which `key` stands twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                self.key = name
                break
            seen.add(name)


def read_json(text: str) -> Any:
    """The value of a JSON text (RFC 8259).

    Raises json.JSONDecodeError if it is none, and InputError that names the path of a duplicate key.
    """
    value = json.loads(text, object_pairs_hook=_json_object, parse_int=_json_int)
    _look_through(value, ())
    return value


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else _Twice(pairs)


def _json_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise InputError(f"a number of {len(digits):,} digits is not used here")
    return int(digits)


def _look_through(value: Any, loc: tuple[int | str, ...]) -> None:
    """Refuses what YAML refuses while it reads: duplicate keys and deep nesting."""
    if len(loc) >= MAX_DEPTH and isinstance(value, dict | list):
        raise InputError(_TOO_DEEP, where=field_path(loc[:4]))
    if isinstance(value, _Twice):
        where = field_path((*loc, value.key))
        raise InputError(f"duplicate key {show(value.key)}", where=where, todo="keep one of the two")
    if isinstance(value, dict):
        for key, item in value.items():
            _look_through(item, (*loc, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _look_through(item, (*loc, index))
