"""
The small language of a template's texts: say a value, or say something only if a value is known.

Jinja2 in its sandbox, cut down to `{{ group.name }}` and `{% if %}` on presence. A template says things;
deciding is for the rules, and numbers come formatted, so there are no filters, sums or comparisons.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.content import GROUPS, VARIABLES
from engine.errors import Problem, unknown_name

NUMBERS: Final = frozenset(
    v for v in VARIABLES if v.startswith(("loan.", "promise.")) and v not in ("loan.ref", "loan.product")
)
"""What must be the same in every language and in both forms of a mail."""
LATE_VALUES: Final = frozenset({"loan.overdue", "loan.first_unpaid_on", "loan.dpd"})
"""What only a late payment has."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A value that is not known for this contact: false in `{% if %}`, and refused where a text would say it."""

    name: str

    def __bool__(self) -> bool:
        return False


class Unsaid(Exception):  # noqa: N818  never leaves the room: render turns it into a DataError
    """A text wanted to say a value that is missing."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class Group(dict[str, Any]):
    """Values of one group; true in `{% if %}` when at least one of them is known."""

    def __bool__(self) -> bool:
        return any(not isinstance(value, Missing) for value in self.values())


def _finalize(value: Any) -> Any:
    if isinstance(value, Missing):
        raise Unsaid(value.name)
    return value


def _environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=html, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.tests.clear()
    return environment


_TEXT: Final = _environment(html=False)
_HTML: Final = _environment(html=True)


@lru_cache(maxsize=2048)
def compiled(source: str, *, html: bool) -> Template:
    """The text ready to render. Values in it are escaped when `html`."""
    return (_HTML if html else _TEXT).from_string(source)


@dataclass(frozen=True, slots=True)
class TextProblem:
    """A problem of a text and the line in it, from 1."""

    problem: Problem
    line: int


def read_text(source: str) -> tuple[frozenset[str], list[TextProblem]]:
    """
    What a text may say, checked before it is ever rendered.

    Returns:
        the variables it uses, and every problem: syntax, a construct outside the language, an unknown variable.
    """
    try:
        tree = _TEXT.parse(source)
    except TemplateSyntaxError as e:
        what = f"the text does not parse: {(e.message or '').rstrip('.')}".replace("'", "`")
        return frozenset(), [
            TextProblem(Problem(what, "write `{{ loan.ref }}` or `{% if promise %}...{% endif %}`"), e.lineno)
        ]
    used: set[str] = set()
    problems: list[TextProblem] = []
    for raw in _RAW.finditer(source):
        # What stands in it looks like a value, and would go out as it is written.
        line = source.count("\n", 0, raw.start()) + 1
        problems.append(TextProblem(Problem("a text cannot use `raw`", _MEND), line))
    for line, name, tested in _walk(tree, problems, tested=False):
        if name in VARIABLES or (tested and name in GROUPS):
            used.add(name)
        else:
            otherwise = f"there are {', '.join(f'`{v}`' for v in VARIABLES)}"
            problems.append(TextProblem(unknown_name("variable", name, VARIABLES, at=None, otherwise=otherwise), line))
    return frozenset(used), problems


def spoken(source: str, *, always: bool = False) -> str:
    """
    The words of a text that was read without a problem, in their places: tags and comments are left blank.

    Args:
        always: leave blank as well what stands inside `{% if %}`, which some readers do not get to see.
    """
    parts: list[str] = []
    end = depth = 0
    for tag in _TAG.finditer(source):
        said = source[end : tag.start()]
        parts.append(_blank(said) if always and depth else said)
        parts.append(_blank(tag[0]))
        depth += {"if": 1, "endif": -1}.get(tag[1] or "", 0)
        end = tag.end()
    return "".join(parts) + source[end:]


def _blank(said: str) -> str:
    return " " * len(said)


_TAG: Final = re.compile(r"\{%[-+]?\s*(\w+).*?%\}|\{#.*?#\}", re.DOTALL)
_RAW: Final = re.compile(r"\{%[-+]?\s*raw\b")
_MEND: Final = "say a value with `{{ loan.ref }}`, or test that it is known with `{% if promise %}`"


_LANGUAGE: Final = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.Not, nodes.And, nodes.Or)


def _walk(node: nodes.Node, problems: list[TextProblem], *, tested: bool) -> Iterator[tuple[int, str, bool]]:
    """Every variable with its line and whether its presence is asked; what is not of the language becomes a problem."""
    if isinstance(node, (nodes.Name, nodes.Getattr)) and (name := _dotted(node)):
        yield node.lineno, name, tested
    elif isinstance(node, nodes.If):
        yield from _walk(node.test, problems, tested=True)
        for child in (*node.body, *node.elif_, *node.else_):
            yield from _walk(child, problems, tested=False)
    elif isinstance(node, _LANGUAGE):
        for child in node.iter_child_nodes():
            yield from _walk(child, problems, tested=tested)
    else:
        what = f"a text cannot use {_WORDS.get(type(node).__name__, f'`{type(node).__name__}`')}"
        problems.append(TextProblem(Problem(what, _MEND), node.lineno))


_WORDS: Final = {
    "Filter": "a filter; amounts and dates come formatted", "Compare": "a comparison; deciding is for the rules",
    "For": "a loop", "Call": "a call", "Const": "a literal", "Assign": "`set`", "Getitem": "`[...]`",
    "Test": "`is`", "CondExpr": "an inline `if`",
}  # fmt: skip


def _dotted(node: nodes.Node) -> str:
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr) and (before := _dotted(node.node)):
        return f"{before}.{node.attr}"
    return ""
