"""
Reads a strategy file: who it applies to, its policies, its ladder of stages, and the rules of each stage.

    strategy: personal-loan                       # its id
    title: Personal loans                         # optional
    applies_to: product = 'personal'
    currency: CNY                                 # of every money literal in the file
    define: {high_risk: "risk_band in ('d', 'e')"}
    arms: {control: 10, champion: 90}             # shares of the people it is dealt to
    promise: {max_days: 7, grace_days: 1, kept_at: 90%, remind: 1 day before, blocks: [call, visit]}
                                                  # `remind` defines `promise_reminder_due`
    cure: {tolerance: 5}                          # owing this little counts as paid
    feed: {max_age: 36 hours}                     # an older payment feed withholds dunning
    entry: [{id: book-phone, stage: phone, when: dpd >= 8}]
    moves: [{id: to-reminded, from: current, to: reminded, when: dpd >= 1}]
    stages:
      reminded:
        - {id: sms-day-1, when: dpd between 1 and 3, act: {sms: friendly-reminder}, because: Most simply forgot.}
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from engine.canonical import digest
from engine.condition import Scope, parse_condition, parse_define
from engine.errors import Place, Problem, RuleError
from engine.facts import Catalogue
from engine.fields import Fields
from engine.source import Listing, Node, Table, read_yaml
from engine.stages import STAGES, Stage
from engine.strategy import PromisePolicy, Rule, Strategy
from engine.strategy_checks import REMINDER_DUE, id_problems, mention_problems, size_problems
from engine.strategy_moves import read_entry, read_move
from engine.strategy_policies import read_arms, read_cure, read_currency, read_feed, read_promise
from engine.strategy_rule import read_rule
from engine.tree import All, Condition, Leaf

STRATEGY_KEYS: Final = (
    "strategy", "title", "applies_to", "currency", "define", "arms", "promise", "cure", "feed", "entry", "moves", "stages",
)  # fmt: skip
_EXAMPLE: Final = "strategy: personal-loan"
_NOTHING: Final = All(())

T = TypeVar("T")


def read_strategy(text: str, file: str, catalogue: Catalogue, problems: list[Problem]) -> Strategy | None:
    """
    Read one strategy file.

    Args:
        file: its name, for messages.
        problems: everything that is wrong with it is appended here, with place and mend.
    Returns:
        The strategy, its `digest` set; None when there was any problem.
    """
    found = len(problems)
    try:
        root = read_yaml(text, file)
    except RuleError as error:
        problems.extend(error.problems)
        return None
    fields = Fields.of(root, "strategy file", STRATEGY_KEYS, problems, example=_EXAMPLE)
    if fields is None:
        return None
    name = fields.identifier("strategy", required="personal-loan")
    currency = read_currency(fields)
    promise = read_promise(fields)
    # A file without a currency is refused; another one's decimals keep its money literals from being refused as well.
    scope = Scope(catalogue, currency or "EUR", _given(promise, fields), problems)
    define_node = fields.node("define")
    if define_node is not None:
        defined = parse_define(define_node, scope)
        if not scope.defines.keys().isdisjoint(defined):
            fields.refuse(f"`promise: {{remind: ...}}` defines `{REMINDER_DUE}`", "choose another name", define_node.at)
        scope = replace(scope, defines={**scope.defines, **defined})
    applies_node = fields.required("applies_to", "product = 'personal'")
    applies_to = parse_condition(applies_node, scope) if applies_node is not None else None
    cure = read_cure(fields, currency)
    strategy = Strategy(
        id=name or "",
        applies_to=applies_to or _NOTHING,
        currency=currency or "",
        title=fields.text("title") or name or "",
        define=scope.defines,
        arms=read_arms(fields),
        promise=promise,
        cure=cure,
        feed_age_max=read_feed(fields),
        entry=tuple(_each(fields, "entry", lambda node: read_entry(node, scope))),
        moves=tuple(_each(fields, "moves", lambda node: read_move(node, scope, cure))),
        rules=_stages(fields, scope),
        file=file,
        at=applies_node.at if applies_node is not None else fields.at,
        source=text,
    )
    problems.extend(id_problems(strategy))
    problems.extend(size_problems(strategy))
    if len(problems) == found:
        # Only of a file that is read whole can be said what it never mentions.
        problems.extend(mention_problems(strategy, _define_places(fields)))
    return replace(strategy, digest=digest(strategy)) if len(problems) == found else None


def _given(promise: PromisePolicy, fields: Fields) -> Mapping[str, Condition]:
    """`promise_reminder_due`, for strategies that say when to remind: the promise is open and its day is that near."""
    days = promise.remind_days_before
    if days is None:
        return {}
    is_open = Leaf("promise_open", "=", (True,), "promise_open", fields.at)
    is_near = Leaf("days_to_promise", "between", (0, days), f"days_to_promise between 0 and {days}", fields.at)
    return {REMINDER_DUE: All((is_open, is_near))}


def _each(fields: Fields, key: str, read: Callable[[Node], T | None]) -> Iterator[T]:
    node = fields.node(key)
    if node is None:
        return
    if not isinstance(node, Listing):
        fields.refuse(f"`{key}` of the {fields.what} is not a list", "write each item after `- `", node.at)
        return
    for item in node:
        value = read(item)
        if value is not None:
            yield value


def _define_places(fields: Fields) -> Mapping[str, Place]:
    table = fields.node("define")
    return table.key_at if isinstance(table, Table) else {}


def _stages(fields: Fields, scope: Scope) -> Mapping[Stage, tuple[Rule, ...]]:
    node = fields.required("stages", "{reminded: [...]}")
    if node is None:
        return {}
    table = Fields.of(node, "`stages`", STAGES, fields.problems, example="stages: {reminded: [...]}")
    if table is None:
        return {}
    rules: dict[Stage, tuple[Rule, ...]] = {}
    for stage in STAGES:
        if stage in table.table.items:
            rules[stage] = tuple(_each(table, stage, lambda node, stage=stage: read_rule(node, stage, scope)))  # type: ignore[misc]  # a default binds the loop's stage
    return rules
