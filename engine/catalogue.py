"""The fact catalogue: the built-in facts and counters, and those a lender adds in `rules/facts.yaml`."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final, cast

from engine.durations import read_days
from engine.errors import Place, Problem, RuleError
from engine.facts import By, Catalogue, Counter, Direction, Fact, FactType
from engine.fields import Fields
from engine.gate import CHANNELS
from engine.names import name_problem
from engine.source import Listing, Node, Table, Text, read_yaml

BUILT_IN: Final = "engine/catalogue.yaml"
TYPES: Final = ("int", "money", "bool", "text")
UNITS: Final = ("days", "hours", "count", "percent")
SUPPLIERS: Final = (
    "ledger", "loan", "person", "contacts", "promises", "holds", "notices", "feeds", "arms", "stage", "imported",
)  # fmt: skip
NUMBER_MAX: Final = 10**15
"""Within what every target, JSON and a spreadsheet hold exactly."""

_COUNT_MAX: Final = 9999
_WINDOW_DAYS_MAX: Final = 3660
_FACT_KEYS: Final = ("type", "unit", "range", "values", "never", "absent", "supplier", "en", "zh")
_COUNTER_KEYS: Final = ("channel", "outcome", "direction", "last", "by", "en", "zh")
_FACT_EXAMPLE: Final = "{type: bool, absent: not told, en: ..., zh: ...}"
_COUNTER_EXAMPLE: Final = "{channel: call, outcome: [no_answer], last: 7 days, by: person}"
_CHANNEL_WORDS: Final = {
    "sms": ("text messages", "短信"),
    "email": ("mails", "邮件"),
    "call": ("calls", "电话"),
    "visit": ("visits", "上门"),
    "letter": ("letters", "信函"),
    "legal": ("legal steps", "法务动作"),
}


def load_catalogue(*extra: tuple[str, str]) -> Catalogue:
    """
    The built-in catalogue with what a lender's own files add.

    Args:
        extra: (text, file name) of each further file, with `facts:` (supplied by import) and `counters:`.
    Raises:
        RuleError: every problem of every file: a fact declared twice, without a meaning, with a range that cannot be.
    """
    problems: list[Problem] = []
    facts: dict[str, Fact] = {}
    counters: dict[str, Counter] = {}
    built_in = (files("engine").joinpath("catalogue.yaml").read_text(encoding="utf-8"), BUILT_IN)
    for text, file in (built_in, *extra):
        try:
            root = read_yaml(text, file)
        except RuleError as e:
            problems += e.problems
            continue
        sections = Fields.of(root, "the fact catalogue", ("facts", "counters"), problems, example="facts: {...}")
        if sections is None:
            continue
        for name, body, at in _entries(sections, "facts", facts):
            if (fact := _fact(name, body, at, problems)) is not None:
                facts[name] = fact
        for name, body, at in _entries(sections, "counters", facts):
            if (counted := _counter(name, body, at, problems)) is not None:
                facts[name], counters[name] = counted
    if problems:
        raise RuleError(problems)
    return Catalogue(facts, counters, extra)


def _entries(sections: Fields, section: str, known: Mapping[str, Fact]) -> list[tuple[str, Node, Place]]:
    """The entries of a section whose names are new and usable."""
    node = sections.node(section)
    if node is None:
        return []
    if not isinstance(node, Table):
        sections.refuse(f"`{section}:` is not a table", "write one name per line, with its declaration", node.at)
        return []
    entries = []
    for name, body in node.items.items():
        at = node.key_at[name]
        if name in known:
            first = known[name].at
            where = "is built in" if first.file == BUILT_IN else f"is already declared at {first}"
            sections.refuse(f"`{name}` {where}", "choose another name, or delete this one", at)
        elif (problem := name_problem(name, at)) is not None:
            sections.problems.append(problem)
        else:
            entries.append((name, body, at))
    return entries


def _fact(name: str, node: Node, at: Place, problems: list[Problem]) -> Fact | None:
    before = len(problems)
    fields = Fields.of(node, f"the fact `{name}`", _FACT_KEYS, problems, example=f"{name}: {_FACT_EXAMPLE}")
    if fields is None:
        return None
    fields.required("type", "int")
    fact_type = cast("FactType | None", fields.one_of("type", "type", TYPES))
    absent = fields.text("absent", required="not told")
    meaning_en, meaning_zh = fields.text("en", required="what it means"), fields.text("zh", required="含义")
    supplier = _supplier(fields, name, at)
    values = fields.names("values")
    low: int | None = None
    high: int | None = None
    never: int | None = None
    if fact_type in {"int", "money"}:
        low, high = _range(fields)
        never = fields.whole("never", low, high)
        unit = _unit(fields, name) if fact_type == "int" else "minor units"
        _not_for(fields, ("values",) if fact_type == "int" else ("values", "unit"), fact_type)
    else:
        unit = ""
        _not_for(fields, ("range", "never", "unit", *(["values"] if fact_type == "bool" else [])), fact_type)
    if len(problems) > before or fact_type is None:
        return None
    return Fact(
        name, fact_type, unit, low, high, values, never, absent or "", supplier, meaning_en or "", meaning_zh or "", at
    )


def _supplier(fields: Fields, name: str, at: Place) -> str:
    if at.file == BUILT_IN:
        fields.required("supplier", "imported")
        return fields.one_of("supplier", "supplier", SUPPLIERS) or ""
    # Only what ships with Duecourse is computed by Duecourse: a lender's fact comes with a feed.
    node = fields.node("supplier")
    if node is not None and not (isinstance(node, Text) and node.value == "imported"):
        fields.refuse(f"nothing computes `{name}`", "write `supplier: imported`, and import its values", node.at)
    return "imported"


def _unit(fields: Fields, name: str) -> str:
    fields.required("unit", "days")
    unit = fields.one_of("unit", "unit", UNITS)
    return unit or name


def _not_for(fields: Fields, keys: tuple[str, ...], fact_type: str | None) -> None:
    for key in keys:
        if fields.node(key) is not None and fact_type is not None:
            fields.refuse(
                f"{fields.what} is of type {fact_type} and has no `{key}`", f"delete `{key}`", fields.table.key_at[key]
            )


def _range(fields: Fields) -> tuple[int, int]:
    node = fields.required("range", "[0, 100]")
    bounds = [item.value for item in node if isinstance(item, Text)] if isinstance(node, Listing) else []
    match bounds:
        case [int(low), int(high)] if (
            type(low) is int and type(high) is int and -NUMBER_MAX <= low < high <= NUMBER_MAX
        ):
            return low, high
    if node is not None:
        mend = "write `range: [0, 100]`, the lower first, both within 15 digits"
        fields.refuse(f"`range` of {fields.what} is not two whole numbers", mend, node.at)
    return -NUMBER_MAX, NUMBER_MAX


def _counter(name: str, node: Node, at: Place, problems: list[Problem]) -> tuple[Fact, Counter] | None:
    before = len(problems)
    what = f"the counter `{name}`"
    fields = Fields.of(node, what, _COUNTER_KEYS, problems, example=f"{name}: {_COUNTER_EXAMPLE}")
    if fields is None:
        return None
    channels = fields.words("channel", "channel", CHANNELS)
    outcomes = fields.names("outcome")
    direction = fields.one_of("direction", "direction", ("out", "in")) or "out"
    fields.required("last", "7 days")
    days = fields.parsed("last", read_days, "a number of days", "7 days") or 0
    fields.required("by", "person")
    by = fields.one_of("by", "scope", ("person", "loan")) or "person"
    if days > _WINDOW_DAYS_MAX:
        fields.refuse(
            f"`last` of {what} is more than {_WINDOW_DAYS_MAX} days", "write a shorter window, such as `365 days`"
        )
    for outcome in outcomes:
        if not outcome.replace("_", "").isalnum():
            fields.refuse(f"`{outcome}` is no outcome", "write it as in the contact log, such as `no_answer`")
    counter = Counter(name, channels, outcomes, cast("Direction", direction), days, cast("By", by))
    meaning_en, meaning_zh = fields.text("en") or _meaning_en(counter), fields.text("zh") or _meaning_zh(counter)
    if len(problems) > before:
        return None
    absent = "never absent: none is 0"
    return (
        Fact(name, "int", "count", 0, _COUNT_MAX, (), None, absent, "contacts", meaning_en, meaning_zh, at),
        counter,
    )


def _meaning_en(counter: Counter) -> str:
    what = ", ".join(_CHANNEL_WORDS[channel][0] for channel in counter.channels) or "contacts"
    outcome = f" with outcome {', '.join(counter.outcomes)}" if counter.outcomes else ""
    side = "by the lender" if counter.direction == "out" else "by the borrower"
    return f"{what.capitalize()} {side}{outcome} in the last {counter.days} days, today included, per {counter.by}."


def _meaning_zh(counter: Counter) -> str:
    what = "、".join(_CHANNEL_WORDS[channel][1] for channel in counter.channels) or "联系"
    outcome = f"（结果为 {'、'.join(counter.outcomes)}）" if counter.outcomes else ""
    side = "我方发起" if counter.direction == "out" else "对方发起"
    scope = "按人" if counter.by == "person" else "按贷款"
    return f"近 {counter.days} 天（含今天）{side}的{what}次数{outcome}，{scope}统计"
