"""
YAML as people mean it: version 1.2 core scalars, duplicate keys refused, every value with its place.

PyYAML as it comes reads version 1.1: the key `on:` becomes true and the word `no` false (Norway's
country code among them), and a key given twice silently keeps the last. Here neither can happen.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import yaml

from engine.errors import Place, Problem, RuleError

Scalar = str | int | bool | Decimal | None

_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULL: Final = {"", "~", "null", "Null", "NULL"}
_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar: its value by YAML 1.2 core rules, its spelling, and whether it stood in quotes."""

    value: Scalar
    raw: str
    quoted: bool
    at: Place


@dataclass(frozen=True, slots=True)
class Listing:
    """A sequence. `flow` tells `[a, b]` from a block list: a flow list splits at every comma."""

    items: tuple["Node", ...]
    flow: bool
    at: Place

    def __iter__(self) -> Iterator["Node"]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with text keys, in file order; `key_at` is where each key stands."""

    items: Mapping[str, "Node"]
    key_at: Mapping[str, Place]
    at: Place


Node = Text | Listing | Table


def read_yaml(text: str, file: str) -> Node:
    """
    Read one YAML document into nodes that know where they stand.

    Raises:
        RuleError: not YAML, more than one document, a duplicate key, a key that is not text, an
            alias, an anchor or a tag; every such problem of the file at once where it can be read.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        at = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        mend = "mend the YAML here; text that holds `: `, `#` or starts with a sign wants quotes"
        raise RuleError(Problem(f"not readable as YAML: {e.problem or e.context}", mend, at)) from None
    except yaml.YAMLError as e:
        raise RuleError(Problem(f"not readable as YAML: {e}", "save the file as UTF-8 text", Place(file))) from None
    if root is None:
        raise RuleError(Problem("the file is empty", "write it, or delete it", Place(file)))
    if "&" in text or "*" in text:
        _refuse_aliases(text, file)
    problems: list[Problem] = []
    node = _convert(root, file, problems)
    if problems:
        raise RuleError(problems)
    return node


def _refuse_aliases(text: str, file: str) -> None:
    # Aliases make one edit change two places unseen, and can blow a small file up to gigabytes.
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        if getattr(event, "anchor", None) and mark:
            at = Place(file, mark.line + 1, mark.column + 1)
            mend = "write the value out, or name the condition under `define:`"
            raise RuleError(Problem("anchors and aliases are not part of this language", mend, at))


def _convert(node: yaml.Node, file: str, problems: list[Problem]) -> Node:
    at = Place(file, node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.ScalarNode):
        quoted = node.style is not None
        return Text(node.value if quoted else _scalar(node.value), node.value, quoted, at)
    if isinstance(node, yaml.SequenceNode):
        return Listing(tuple(_convert(item, file, problems) for item in node.value), bool(node.flow_style), at)
    items: dict[str, Node] = {}
    key_at: dict[str, Place] = {}
    for key_node, value_node in node.value:
        place = Place(file, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem("a key must be text", "write `name: value`", place))
            continue
        key = key_node.value
        if key in items:
            first = key_at[key]
            problems.append(Problem(f"duplicate key `{key}`, first on line {first.line}", "keep one of them", place))
            continue
        items[key] = _convert(value_node, file, problems)
        key_at[key] = place
    return Table(items, key_at, at)


def _scalar(raw: str) -> Scalar:
    if raw in _NULL:
        return None
    if raw in _BOOL:
        return _BOOL[raw]
    if _INT.fullmatch(raw):
        return int(raw)
    if _DECIMAL.fullmatch(raw):
        return Decimal(raw)
    return raw
