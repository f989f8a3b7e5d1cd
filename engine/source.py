"""
YAML as people mean it: version 1.2 core scalars, duplicate keys refused, every value with its place.

PyYAML as it comes reads version 1.1: the key `on:` becomes true and the word `no` false (Norway's
country code among them), and a key given twice silently keeps the last. Here neither can happen.
The nodes are built from the event stream with a stack of our own, so that no nesting can exhaust
Python's, and anchors, tags and second documents are seen before anything is made of them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import yaml
from yaml.reader import ReaderError

from engine.errors import Place, Problem, RuleError

Scalar = str | int | bool | Decimal | None

NESTING_MAX: Final = 40
"""How deep lists and tables may stand in each other; every reader of nodes recurses at most so deep."""

_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULL: Final = {"", "~", "null", "Null", "NULL"}
_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+\.[0-9]+")
_DIGITS_MAX: Final = 18
_PARSED_APART: Final = re.compile(r"[\t\r\ufeff\ud800-\udfff]|[\[{][^\[\]{}\n]*\?")
"""What the two parsers of PyYAML read differently: tabs, lone carriage returns, and a `?` inside a flow list."""
_SPLIT_LIST: Final = re.compile(r"\bin\s*\([^()]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Text:
    """
    A scalar: its value by YAML 1.2 core rules, its spelling, and whether it stood in quotes.

    `written` is the scalar exactly as it stands in the file, quotes, folds and indents included;
    `in_flow` tells that it stands inside `[...]` or `{...}`, where every comma splits.
    """

    value: Scalar
    raw: str
    quoted: bool
    at: Place
    written: str = field(default="", repr=False)
    in_flow: bool = False

    def spot(self, offset: int) -> Place:
        """The place in the file of the character of `raw` at this offset; with escapes, the scalar's own place."""
        written = self.written
        if not written or (written[0] == '"' and "\\" in written):
            return self.at
        start = 1 if self.quoted else 0
        if written[0] in "|>":
            start = written.find("\n") + 1
        elif written[0] == "'" and self.quoted:
            written = written.replace("''", "' ")
        # Folding changes white space only: the nth visible character of the value is the nth in the file.
        visible = sum(not c.isspace() for c in self.raw[:offset])
        for position in range(start, len(written)):
            if written[position].isspace():
                continue
            if visible == 0:
                return self._at(written, position)
            visible -= 1
        return self._at(written, len(written))

    def _at(self, written: str, position: int) -> Place:
        before = written[:position]
        lines = before.count("\n")
        column = self.at.column + position if lines == 0 else position - before.rindex("\n")
        return Place(self.at.file, self.at.line + lines, column)


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
    if (root := _read_fast(text, file)) is not None:
        return root
    builder = _Builder(text, file)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
    except ReaderError as e:
        before = text[: e.position]
        at = Place(file, before.count("\n") + 1, e.position - before.rfind("\n"))
        # e.character is a number when the text is already decoded, whatever its annotation says.
        code = e.character if isinstance(e.character, int) else ord(str(e.character)[:1] or "\0")
        what = f"the character U+{code:04X} cannot stand in a YAML file"
        raise RuleError(Problem(what, "delete it, and save the file as UTF-8 text", at)) from None
    except yaml.MarkedYAMLError as e:
        raise RuleError([*builder.problems, _unreadable(e, text, file)]) from None
    if builder.problems:
        raise RuleError(builder.problems)
    if builder.root is None:
        raise RuleError(Problem("the file is empty", "write it, or delete it", Place(file)))
    return builder.root


def _read_fast(text: str, file: str) -> Node | None:
    """
    The same nodes by the C library, which is five times as fast; None where there is anything to say.

    Whatever is wrong is found again, and put in words, by the parser in Python: one wording everywhere.
    """
    if not yaml.__with_libyaml__ or _PARSED_APART.search(text):
        return None
    builder = _Builder(text, file)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except (yaml.YAMLError, RuleError):
        return None
    return None if builder.problems else builder.root


def _unreadable(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    at = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
    if mark and str(error.context).startswith("while parsing a flow") and _SPLIT_LIST.search(text[: mark.index]):
        mend = "put quotes around the whole condition, or write it as a block list"
        return Problem("a comma inside `[...]` or `{...}` split the list after `in`", mend, at)
    mend = "mend the YAML here; text that holds `: `, `#` or starts with a sign wants quotes"
    return Problem(f"not readable as YAML: {error.problem or error.context}", mend, at)


@dataclass(slots=True)
class _Open:
    """A list or table whose end has not come yet; a table's parts are key, value, key, value."""

    at: Place
    table: bool
    flow: bool
    parts: list[Node] = field(default_factory=list)


class _Builder:
    """Makes nodes of the event stream, gathering what this language refuses of YAML."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._text = text
        self._file = file
        self._open: list[_Open] = []

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._refuse_decoration(event)
                self._add(self._scalar(event))
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._refuse_decoration(event)
                if len(self._open) == NESTING_MAX:
                    mend = "nest less: name parts under `define:`"
                    raise RuleError(Problem(f"nested more than {NESTING_MAX} deep", mend, self._place(event)))
                table = isinstance(event, yaml.MappingStartEvent)
                self._open.append(_Open(self._place(event), table, bool(event.flow_style)))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                done = self._open.pop()
                self._add(self._table(done) if done.table else Listing(tuple(done.parts), done.flow, done.at))
            case yaml.AliasEvent():
                self._refuse_decoration(event)
                self._add(Text(None, "", quoted=False, at=self._place(event)))
            case yaml.DocumentStartEvent() if self.root is not None:
                raise RuleError(
                    [*self.problems, Problem("a second document starts here", "delete this `---`", self._place(event))]
                )

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file)

    def _refuse_decoration(self, event: yaml.NodeEvent) -> None:
        # Aliases make one edit change two places unseen, and can blow a small file up to gigabytes.
        if event.anchor is not None:
            mend = "write the value out, or name the condition under `define:`"
            self.problems.append(Problem("anchors and aliases are not part of this language", mend, self._place(event)))
        if getattr(event, "tag", None) is not None:
            mend = "delete the tag; put text that starts with `!` in quotes, and write `not` for a negation"
            self.problems.append(Problem("tags are not part of this language", mend, self._place(event)))

    def _add(self, node: Node) -> None:
        if self._open:
            self._open[-1].parts.append(node)
        else:
            self.root = node

    def _scalar(self, event: yaml.ScalarEvent) -> Text:
        quoted = event.style in {"'", '"', "|", ">"}
        starts, ends = event.start_mark, event.end_mark
        written = self._text[starts.index : ends.index] if starts and ends else ""
        in_flow = any(above.flow for above in self._open)
        raw, at = event.value, self._place(event)
        value: Scalar = raw
        if not quoted:
            value = _plain(raw)
            if isinstance(value, int) and len(raw) > _DIGITS_MAX:
                self.problems.append(Problem("a number of more than 18 digits", "put it in quotes if it is a code", at))
        return Text(value, raw, quoted, at, written, in_flow)

    def _table(self, done: _Open) -> Table:
        items: dict[str, Node] = {}
        key_at: dict[str, Place] = {}
        for key_node, value in zip(done.parts[::2], done.parts[1::2], strict=True):
            if not isinstance(key_node, Text) or not key_node.raw:
                self.problems.append(Problem("a key must be text", "write `name: value`", key_node.at))
                continue
            key = key_node.raw
            if key in items:
                what = f"duplicate key `{key}`, first on line {key_at[key].line}"
                self.problems.append(Problem(what, "keep one of them", key_node.at))
                continue
            items[key] = value
            key_at[key] = key_node.at
        return Table(items, key_at, done.at)


def _plain(raw: str) -> Scalar:
    if raw in _NULL:
        return None
    if raw in _BOOL:
        return _BOOL[raw]
    if _INT.fullmatch(raw):
        # Python refuses to convert thousands of digits; the builder refuses long before that.
        return int(raw[: _DIGITS_MAX + 1])
    if _DECIMAL.fullmatch(raw):
        return Decimal(raw)
    return raw
