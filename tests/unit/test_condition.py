"""What may be written as a condition, what it means, and what everything else is told."""

from functools import cache

import pytest

from engine.catalogue import load_catalogue
from engine.condition import Scope, parse_condition, parse_define
from engine.errors import Place, Problem
from engine.facts import Catalogue
from engine.source import Table, Text, read_yaml
from engine.tree import All, Any, Condition, Leaf, Named, depth

DEFINED = Leaf("risk_band", "in", ("d", "e"), "risk_band in ('d', 'e')", Place("f.yaml", 1, 1))


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


def read(text: str, currency: str | None = "CNY") -> tuple[Condition | None, list[Problem]]:
    """The condition under the only key of a file."""
    node = read_yaml(text, "f.yaml")
    assert isinstance(node, Table)
    problems: list[Problem] = []
    scope = Scope(catalogue(), currency, {"high_risk": DEFINED}, problems)
    return parse_condition(next(iter(node.items.values())), scope), problems


def shape(condition: Condition | None) -> object:
    """The tree without places: leaves as (fact, op, values)."""
    match condition:
        case All(parts):
            return ["all", *map(shape, parts)]
        case Any(parts):
            return ["any", *map(shape, parts)]
        case Named(name, body, negated):
            return [f"{'not ' if negated else ''}{name}", shape(body)]
        case Leaf(fact, op, values):
            return (fact, op, *values)
    return None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("dpd >= 3", ("dpd", ">=", 3)),
        ("dpd <> 3", ("dpd", "!=", 3)),
        ("limitation_days_left > -30", ("limitation_days_left", ">", -30)),
        ("dpd between 1 and 3", ("dpd", "between", 1, 3)),
        ("dpd not between 1 and 3", ("dpd", "not between", 1, 3)),
        ("product in ('personal', 'card')", ("product", "in", "personal", "card")),
        ("PRODUCT in ('personal')", None),
        ("product = 'it''s -- a /* text */ ; really'", ("product", "=", "it's -- a /* text */ ; really")),
        ("risk_band IS NOT NULL", ("risk_band", "is not null")),
        ("autopay", ("autopay", "=", True)),
        ("autopay != true", ("autopay", "=", False)),
        ("not autopay", ("autopay", "=", False)),
        ("not dpd = 3", ("dpd", "!=", 3)),
        ("not (dpd >= 3 and autopay)", ["any", ("dpd", "<", 3), ("autopay", "=", False)]),
        (
            "not (dpd between 1 and 3 or risk_band is null)",
            ["all", ("dpd", "not between", 1, 3), ("risk_band", "is not null")],
        ),
        ("dpd >= 1 and dpd <= 3 and autopay", ["all", ("dpd", ">=", 1), ("dpd", "<=", 3), ("autopay", "=", True)]),
        (
            "dpd >= 1 or dpd = 0 and autopay",
            ["any", ("dpd", ">=", 1), ["all", ("dpd", "=", 0), ("autopay", "=", True)]],
        ),
        ("high_risk", ["high_risk", ("risk_band", "in", "d", "e")]),
        ("not high_risk", ["not high_risk", ("risk_band", "not in", "d", "e")]),
        ("true", ["all"]),
        ("false", ["any"]),
        ("[dpd >= 3, autopay]", ["all", ("dpd", ">=", 3), ("autopay", "=", True)]),
        ("[autopay]", ("autopay", "=", True)),
        ("{any: [autopay, dpd = 0]}", ["any", ("autopay", "=", True), ("dpd", "=", 0)]),
        ("{not: [autopay, dpd = 0]}", ["any", ("autopay", "=", False), ("dpd", "!=", 0)]),
        (
            "{all: [autopay, {any: [hardship]}], not: high_risk}",
            [
                "all",
                ["all", ("autopay", "=", True), ("hardship", "=", True)],
                ["not high_risk", ("risk_band", "not in", "d", "e")],
            ],
        ),
        ("overdue_amount >= 500", ("overdue_amount", ">=", 50000)),
        ("overdue_amount between 0.01 and 99.90", ("overdue_amount", "between", 1, 9990)),
    ],
)
def test_what_is_written_is_read(written: str, meant: object) -> None:
    """Each construct of the language, as text, list and table."""
    assert shape(read(f"when: {written}")[0]) == meant


@pytest.mark.parametrize(("currency", "minor"), [("JPY", 500), ("USD", 50000), ("KWD", 500_000), ("CLF", 5_000_000)])
def test_money_is_written_in_major_units_of_the_currency(currency: str, minor: int) -> None:
    """500 yen are 500 minor units, 500 dinars 500,000."""
    assert shape(read("when: balance = 500", currency)[0]) == ("balance", "=", minor)


def test_a_leaf_reads_back_as_it_was_meant() -> None:
    """Texts for traces: money in major units, the pushed-down sign, `not` before a bare fact."""
    condition, _ = read("when: not (overdue_amount >= 500.50 or autopay or dpd in (1, 2) or product = 'it''s')")
    assert isinstance(condition, All)
    assert [part.text for part in condition.parts if isinstance(part, Leaf)] == [
        "overdue_amount < 500.50", "not autopay", "dpd not in (1, 2)", "product != 'it''s'",
    ]  # fmt: skip


def test_places_point_into_the_scalar() -> None:
    """A leaf of the third line of a folded text stands on the third line."""
    condition, _ = read("when: >-\n  dpd >= 3\n  and   autopay")
    assert isinstance(condition, All)
    assert [part.at for part in condition.parts if isinstance(part, Leaf)] == [
        Place("f.yaml", 2, 3),
        Place("f.yaml", 3, 9),
    ]


NEW_FACT = "declare what it works out as a fact of its own in rules/facts.yaml, and compare that"
COMMENT = "delete it, or put it after `#` on a line of YAML; in a folded text it swallows what follows"
ONLY = "use only `= != < <= > >=`, `between`, `in`, `is null`, `and`, `or`, `not`"
BESIDE = "write a comparison sign, `and` or `or` between them; a number stands without its unit"
SOME = "write a condition, such as `dpd >= 3`, or a list of them"


@pytest.mark.parametrize(
    ("written", "column", "what", "mend"),
    [
        ("dpd >= 3 -- for now", 16, "a comment inside a condition", COMMENT),
        ("dpd >= 3 /* x */ and autopay", 16, "a comment inside a condition", COMMENT),
        ("/* x */", 7, "a comment inside a condition", COMMENT),
        (
            "autopay is not true", 15, "`is not true` would decide over what is unknown",
            "write `not autopay`; add `or autopay is null` if unknown shall count as well",
        ),
        (
            "autopay is not false", 15, "`is not false` would decide over what is unknown",
            "write `autopay`; add `or autopay is null` if unknown shall count as well",
        ),
        ("autopay is unknown", 15, "`is unknown` is not part of this language", "write `is null` or `is not null`"),
        ("dpd is distinct from 3", 11, "`is distinct` is not part of this language", "write `is null` or `is not null`"),
        ("dpd notnull", 11, "`notnull` is not part of this language", "write `is not null`"),
        ("dpd in (1, null)", 7, "`null` inside the list of `dpd in`", "write `dpd is null` beside it"),
        ("dpd in (1, 1)", 7, "`1` stands twice in the list of `dpd in`", "keep one of them"),
        ("dpd in ()", 7, "`dpd in` wants a list", "write `dpd in (...)`, the values between commas"),
        ("dpd in 1", 7, "`dpd in` wants a list", "write `dpd in (...)`, the values between commas"),
        ("dpd = null", 7, "`dpd` is compared with `null`", "write `dpd is null`"),
        ("dpd as days", 11, "a condition cannot be given an alias", "name it under `define:`"),
        ("dpd >= 3 days", 16, "`days` cannot stand after `3`", BESIDE),
        ("dpd 3", 11, "`3` cannot stand after `dpd`", BESIDE),
        ("dpd > 3 autopay", 15, "`autopay` cannot stand after `3`", BESIDE),
        ("product = 'a' 'b'", 21, "`'b'` cannot stand after `'a'`", BESIDE),
        ("abs(dpd) > 3", 7, "a function call, `abs(...)`, is not part of this language", NEW_FACT),
        ("dpd > any(3)", 13, "a function call, `any(...)`, is not part of this language", NEW_FACT),
        ("dpd > 3; dpd < 9", 14, "a second statement", "write a list of conditions, or join them with `and`"),
        ("DPD > 3", 7, "unknown fact `DPD`", "write `dpd`"),
        ("days_since_cal > 3", 7, "unknown fact `days_since_cal`", "write `days_since_call`"),
        ("days_past_due > 3", 7, "unknown fact `days_past_due`", "write `dpd`"),
        ("zzz > 3", 7, "unknown fact `zzz`", "declare it in rules/facts.yaml"),
        ("product = personal", 17, "`personal` stands where a value belongs", "text goes in single quotes: `'personal'`"),
        ('product = "personal"', 17, "double quotes around `personal`", "text goes in single quotes: `'personal'`"),
        ('x and "dpd" > 3', 13, "double quotes around `dpd`", "write `dpd`"),
        ("dpd = 'x'", 13, "`dpd` is a whole number and cannot be compared with `'x'`", "write it as in `7`"),
        ("dpd = true", 7, "`dpd` is a whole number and cannot be compared with `true`", "write it as in `7`"),
        ("autopay = 1", 17, "`autopay` is yes or no and cannot be compared with `1`", "write `autopay` or `not autopay`"),
        ("stage = 3", 15, "`stage` is a text and cannot be compared with `3`", "write it as in `'current'`"),
        ("risk_band = 'f'", 19, "unknown value of risk_band `f`", "use one of `a`, `b`, `c`, `d`, `e`"),
        ("stage = 'fone'", 15, "unknown value of stage `fone`", "write `phone`"),
        ("dpd > days_to_due", 13, "`dpd` is compared with another fact, `days_to_due`", NEW_FACT),
        ("dpd > 10000", 13, "`dpd` is never `10000`: it runs from 0 to 9999", "compare it with a value it can have"),
        ("dpd < 0", 7, "`dpd < 0` can never be true", "compare it with a value it can have"),
        ("dpd > 9999", 7, "`dpd > 9999` can never be true", "compare it with a value it can have"),
        ("dpd between 5 and 3", 7, "`dpd between 5 and 3` can never be true", "write `between 3 and 5`"),
        ("dpd between symmetric 5 and 3", 19, "`symmetric` is not part of this language", "write the lower value first"),
        ("dpd > 3.5", 13, "`dpd` is a whole number of days, not `3.5`", "round it"),
        ("dpd > 1e3", 13, "`1e3` is no plain number", "write it in digits, such as `1500`"),
        ("balance > 5.001", 17, "`5.001` has more decimals than CNY", "write it with 2 decimals"),
        (
            "balance > -1", 18, "`balance` is never `-1`: it runs from 0.00 to 100000000000.00",
            "compare it with a value it can have",
        ),
        ("risk_band > 'a'", 7, "`risk_band` is a text and has no order", "use `=`, `!=` or `in`"),
        ("risk_band between 'a' and 'b'", 7, "`risk_band` is a text and has no order", "use `=`, `!=` or `in`"),
        ("autopay > true", 7, "`autopay` is yes or no and has no order", "write `autopay` or `not autopay`"),
        ("autopay in (true)", 7, "`autopay` is yes or no", "write `autopay` or `not autopay`"),
        ("dpd + 1 > 3", 11, "arithmetic (`+`) is not part of this language", NEW_FACT),
        ("dpd > 3 - 1", 15, "arithmetic (`-`) is not part of this language", NEW_FACT),
        ("dpd in (select 1)", 15, "a query is not part of this language", NEW_FACT),
        ("dpd::int > 3", 10, "a cast is not part of this language", "compare the fact as it is"),
        ("cast(dpd as int) > 3", 7, "a cast is not part of this language", "compare the fact as it is"),
        ("product like 'a%'", 15, "`like` is not part of this language", "list the texts: `in ('a', 'b')`"),
        ("case when dpd > 3 then 1 end", 7, "`case` is not part of this language", "write one rule per case, or use `and`, `or`"),
        ("dpd == 3", 11, "`==` is not part of this language", "write `=`"),
        ("autopay || hardship", 15, "`||` is not part of this language", "write `or`"),
        ("dpd > 3 and !autopay", 19, "`!` is not part of this language", "write `not`"),
        ("l.dpd > 3", 8, "a name with a dot", "facts have plain names"),
        ("dpd = ?", 13, "`?` is not part of this language", ONLY),
        ("product = e'x'", 17, "`e'x'` is not part of this language", ONLY),
        ("not in", 11, "`in` stands where a fact belongs", "a condition reads like `dpd >= 3 and has_mobile`"),
        ("not not autopay", 7, "`not not` says nothing", "delete both"),
        ("dpd ≥ 3", 11, "`≥` is no plain character", "write `>=`"),
        ("dpd > 3，autopay", 14, "`，` is no plain character", "write `,`"),
        ("3 < dpd", 7, "a comparison that does not begin with a fact", "write `dpd > 3`"),
        (
            "(dpd, dpd) = 1", 8, "a comparison that does not begin with a fact",
            "write the fact, then the sign, then the literal, as in `dpd >= 3`",
        ),
        ("high_risk = true", 7, "`high_risk` is a defined condition and cannot be compared", "write `high_risk` or `not high_risk`"),
        ("dpd", 7, "`dpd` alone is no condition", "compare it, as in `dpd >= 1`"),
        ("stage", 7, "`stage` alone is no condition", "compare it, as in `stage = 'text'`"),
        ("dpd >=", 11, "not readable as a condition near `>=`", "a condition reads like `dpd >= 3 and has_mobile`"),
        (
            "autopay and null", 7, "`autopay and null` is no condition",
            "write a comparison of a fact with a literal, and join comparisons with `and`, `or`",
        ),
        ("product = 'x", 17, "a quote or comment is not closed", "close the text with `'`"),
        ("(dpd > 3", 7, "a `(` without its `)`", "write the `)`"),
        ("dpd > 3)", 14, "a `)` without its `(`", "write the `(`, or delete this `)`"),
        ("[dpd in (1, 2), autopay]", 15, "a `(` without its `)`", "the comma split it: put quotes around the whole condition, or write a block list"),
        ("(" * 11 + "dpd > 3" + ")" * 11, 17, "parentheses nested more than 10 deep", "name the inner part under `define:`"),
        ("[]", 7, "an empty list of conditions", f"{SOME}; always is `true`"),
        ("{}", 7, "an empty condition", SOME),
        ("''", 7, "an empty condition", "write a condition, such as `dpd >= 3`"),
        ("5", 7, "`5` is no condition", SOME),
        ("{all: autopay}", 13, "`all:` wants a list", "write one condition per line, each after `- `"),
        ("{some: [autopay]}", 8, "`some` cannot stand in a condition", "use `all:`, `any:` or `not:`; text that holds `: ` wants quotes"),
    ],
)  # fmt: skip
def test_everything_else_is_refused(written: str, column: int, what: str, mend: str) -> None:
    """With its line, its column, what is wrong, and the mend."""
    condition, problems = read(f"when: {written}")
    assert condition is None
    assert problems[-1] == Problem(what, mend, Place("f.yaml", 1, column))


def test_a_comment_that_would_swallow_a_condition_is_found_on_its_line() -> None:
    """In a folded text, `--` silently ends everything after it."""
    _, problems = read("when: >-\n  dpd >= 3 -- for now\n  and autopay")
    assert problems == [Problem("a comment inside a condition", COMMENT, Place("f.yaml", 2, 12))]


@pytest.mark.parametrize(
    ("currency", "what", "mend"),
    [
        (
            None, "`balance` is money, and no currency is agreed here",
            "give the strategy a `currency:`; outside a strategy, compare days or counts",
        ),
        ("XAU", "`XAU` has no minor unit", "use a currency of ISO 4217, such as `CNY`"),
        ("JPY", "`0.5` has more decimals than JPY", "write it with no decimals"),
    ],
)  # fmt: skip
def test_money_needs_a_currency_that_can_hold_it(currency: str | None, what: str, mend: str) -> None:
    """Amounts mean nothing without one."""
    assert read("when: balance > 0.5", currency)[1] == [Problem(what, mend, Place("f.yaml", 1, 17))]


def test_all_problems_of_a_condition_are_told() -> None:
    """Unknown names do not hide each other, nor what is wrong in other items."""
    _, problems = read("when:\n  - foo > 1 and bar > 2\n  - {any: [dpd = 'x', autopay > 3]}")
    assert [str(problem.at) for problem in problems] == ["f.yaml:2:5", "f.yaml:2:17", "f.yaml:3:18", "f.yaml:3:33"]


def define(text: str) -> tuple[dict[str, Condition], list[str]]:
    """What a `define:` table defines, and its problems."""
    problems: list[Problem] = []
    return parse_define(read_yaml(text, "f.yaml"), Scope(catalogue(), "CNY", {}, problems)), [str(p) for p in problems]


def test_a_definition_may_use_those_above_it() -> None:
    """And is expanded, shown by name."""
    defined, problems = define("early: dpd <= 7\ngentle: early and not hardship")
    assert problems == []
    assert shape(defined["gentle"]) == ["all", ["early", ("dpd", "<=", 7)], ("hardship", "=", False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b\nb: autopay", "f.yaml:1:4: `b` is defined further down\n  mend: move its definition above this one"),
        ("a: not a", "f.yaml:1:8: `a` is defined further down\n  mend: move its definition above this one"),
        ("dpd: autopay", "f.yaml:1:1: `dpd` is a fact and cannot be defined anew\n  mend: choose another name"),
        (
            "High-Risk: autopay",
            "f.yaml:1:1: `High-Risk` is not a name\n  mend: use lower-case letters, digits and underscores: `high_risk`",
        ),
        (
            "current_date: autopay",
            "f.yaml:1:1: `current_date` is a word of SQL\n  mend: choose another, such as `current_date_fact`",
        ),
        ("- autopay", "f.yaml:1:1: `define:` is not a table\n  mend: write `high_risk: risk_band in ('d', 'e')`"),
        (
            "a: dpd = 'x'\nb: a",
            "f.yaml:1:10: `dpd` is a whole number and cannot be compared with `'x'`\n  mend: write it as in `7`",
        ),
    ],
)
def test_a_definition_that_means_nothing_is_refused(text: str, message: str) -> None:
    """Circles cannot be written, and one mistake is told once."""
    assert define(text)[1] == [message]


def test_definitions_cannot_grow_without_bound() -> None:
    """Eight doublings make 256 comparisons out of nine lines."""
    lines = ["d0: autopay", *(f"d{i}: d{i - 1} and d{i - 1}" for i in range(1, 9))]
    assert define("\n".join(lines))[1] == [
        "f.yaml:9:5: a condition of more than 200 comparisons, names expanded\n  mend: split it into several rules"
    ]


def test_no_nesting_reaches_the_end_of_the_stack() -> None:
    """Definitions upon definitions, each with the parentheses it may have, stop at the bound."""
    inner = "autopay"
    for _ in range(10):
        inner = f"not ({inner} or hardship)"
    lines = [f"d0: {inner}", *(f"d{i}: {inner.replace('autopay', f'd{i - 1}')}" for i in range(1, 9))]
    defined, problems = define("\n".join(lines))
    assert problems[0].splitlines()[0].endswith("a condition nested more than 50 deep, names expanded")
    assert max(depth(condition) for condition in defined.values()) <= 50


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (" and ".join(["autopay"] * 201), "a condition of more than 200 comparisons"),
        ("autopay" + " " * 10_000, "a condition of more than 10000 characters"),
        ("product = 'a\x07'", "the character U+0007 cannot stand in a condition"),
    ],
)
def test_a_text_is_bounded(text: str, what: str) -> None:
    """Whoever writes more wants `define:`."""
    problems: list[Problem] = []
    assert (
        parse_condition(
            Text(text, text, quoted=False, at=Place("f.yaml", 1, 1)), Scope(catalogue(), None, {}, problems)
        )
        is None
    )
    assert [problem.what for problem in problems] == [what]
