"""YAML 1.2 as people mean it, with every value in its place."""

import time
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from engine.errors import Place, RuleError
from engine.source import NESTING_MAX, Listing, Scalar, Table, Text, read_yaml


def table(text: str) -> Table:
    """The file's top table."""
    node = read_yaml(text, "f.yaml")
    assert isinstance(node, Table)
    return node


def scalar(text: str) -> Text:
    """The value of the file's only key."""
    node = table(text).items["a"]
    assert isinstance(node, Text)
    return node


def refusal(text: str) -> str:
    """The whole message with which a file is refused."""
    with pytest.raises(RuleError) as refused:
        read_yaml(text, "f.yaml")
    return str(refused.value)


def test_words_that_yaml_1_1_takes_for_booleans_are_words() -> None:
    """`on:` is a key, Norway is `no`, and nobody says `yes` by accident."""
    node = table("on: [payment]\nno: yes\noff: NO")
    assert list(node.items) == ["on", "no", "off"]
    assert [value.value for value in node.items.values() if isinstance(value, Text)] == ["yes", "NO"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("12", 12), ("-3", -3), ("+3", 3), ("0", 0),
        ("1.50", Decimal("1.50")), ("'12'", "12"), ('"true"', "true"), ("012", "012"), ("0x10", "0x10"), ("1e3", "1e3"),
        ("12:30", "12:30"), ("2026-11-23", "2026-11-23"), ("1_000", "1_000"), (".inf", ".inf"), ("|\n  5", "5"),
    ],
)  # fmt: skip
def test_scalars_are_typed_by_yaml_1_2_core(written: str, value: Scalar) -> None:
    """No sexagesimal numbers, no dates, no octal codes; what stands in quotes is text."""
    read = scalar(f"a: {written}").value
    assert read == value
    assert type(read) is type(value)


def test_a_decimal_is_never_a_float() -> None:
    """0.1 is 0.1."""
    assert scalar("a: 0.1").value == Decimal("0.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: duplicate key `a`, first on line 1\n  mend: keep one of them"),
        (
            "a: &x 1\nb: *x",
            (
                "f.yaml:1:4: anchors and aliases are not part of this language\n"
                "  mend: write the value out, or name the condition under `define:`\n"
                "f.yaml:2:4: anchors and aliases are not part of this language\n"
                "  mend: write the value out, or name the condition under `define:`"
            ),
        ),
        (
            "a: !new x",
            (
                "f.yaml:1:4: tags are not part of this language\n"
                "  mend: delete the tag; put text that starts with `!` in quotes, and write `not` for a negation"
            ),
        ),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: a second document starts here\n  mend: delete this `---`"),
        ("? [x]\n: 1", "f.yaml:1:3: a key must be text\n  mend: write `name: value`"),
        ("# nothing\n", "f.yaml: the file is empty\n  mend: write it, or delete it"),
        (
            "a: 1234567890123456789012",
            "f.yaml:1:4: a number of more than 18 digits\n  mend: put it in quotes if it is a code",
        ),
        (
            "a: b: c",
            (
                "f.yaml:1:5: not readable as YAML: mapping values are not allowed here\n"
                "  mend: mend the YAML here; text that holds `: `, `#` or starts with a sign wants quotes"
            ),
        ),
        (
            "ab: 1\nc: \x00",
            "f.yaml:2:4: the character U+0000 cannot stand in a YAML file\n  mend: delete it, and save the file as UTF-8 text",
        ),
        (
            "when: [product in ('a', 'b'), autopay]",
            (
                "f.yaml:1:28: a comma inside `[...]` or `{...}` split the list after `in`\n"
                "  mend: put quotes around the whole condition, or write it as a block list"
            ),
        ),
        (
            "[" * 60,
            f"f.yaml:1:{NESTING_MAX + 1}: nested more than {NESTING_MAX} deep\n  mend: nest less: name parts under `define:`",
        ),
    ],
)
def test_what_this_language_leaves_out_of_yaml_is_refused(text: str, message: str) -> None:
    """Each with its place and its mend."""
    assert refusal(text) == message


def test_brackets_without_an_end_are_refused_at_once() -> None:
    """The look for what two parsers read differently does not start over from every bracket: a file of 200,000 took a minute."""
    began = time.process_time()
    assert "nested more than" in refusal("[" * 200_000)
    assert time.process_time() - began < 10


def test_every_problem_of_a_file_is_told_at_once() -> None:
    """Also those before the place where the file stops being YAML."""
    assert refusal("a: 1\na: 2\nb: !x 1").count("mend:") == 2
    assert refusal("a: &x 1\nb: [").startswith("f.yaml:1:4: anchors and aliases")


def test_every_node_knows_where_it_stands() -> None:
    """Lines and columns count from 1; keys have their own place."""
    node = table("a:\n  - x\n  - {k: [1]}\n")
    listing = node.items["a"]
    assert isinstance(listing, Listing)
    inner = listing.items[1]
    assert isinstance(inner, Table)
    assert (listing.flow, listing.items[0].at) == (False, Place("f.yaml", 2, 5))
    assert inner.key_at["k"] == Place("f.yaml", 3, 6)
    flow = inner.items["k"]
    assert isinstance(flow, Listing)
    assert flow.flow
    only = flow.items[0]
    assert isinstance(only, Text)
    assert only.in_flow


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: one here", 1, 8),
        ("a: 'it''s here'", 1, 11),
        ('a: "one here"', 1, 9),
        ('a: "one \\u0041 here"', 1, 4),
        ("a: one\n  two here", 2, 7),
        ("a: >-  # folded\n  one\n\n   two here", 4, 8),
        ("a: |\n    one\n      here", 3, 7),
    ],
)
def test_a_spot_inside_a_scalar_is_found_in_the_file(text: str, line: int, column: int) -> None:
    """Through quotes, folds and indents; where escapes make it unsure, the scalar's own place."""
    node = scalar(text)
    assert node.spot(node.raw.index("here")) == Place("f.yaml", line, column)


ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    path
    for folder in ("rules", "compliance", "config", "engine", "channels")
    for path in (ROOT / folder).rglob("*.yaml")
)
ODD = [
    "a: [b, c", "a: 'x", "a: b: c", "- 1\n - 2", "a: [b ?c]", "a: {b: ?c}", "a: \tb", "a: b\rc", "\ufeffa: 1", "a: \ufeffb",
    "a: 1\n---\nb: 2", "a: &x 1", "a: *x", "a: !x 1", "a: |\n  x\n y", "a: >-\n\n  x\n\n  y\n", 'a: "x\\u00e9\\\n  y"',
    "a: 王 # 芳\nb: '芳''王'", "a: \ud800", "a: \x00", "? a\n: b", "", "# only", "a: ''", "a:\nb:", "[a, b]: c", "a: @x",
]  # fmt: skip


def read_or_refusal(text: str) -> object:
    try:
        return read_yaml(text, "f.yaml")
    except RuleError as refused:
        return str(refused)


@pytest.mark.parametrize("text", [*(path.read_text(encoding="utf-8") for path in SHIPPED), *ODD])
def test_the_fast_parser_changes_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the C library or without it a file means the same, at the same places, or is refused in the same words."""
    assert yaml.__with_libyaml__
    fast = read_or_refusal(text)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert read_or_refusal(text) == fast
