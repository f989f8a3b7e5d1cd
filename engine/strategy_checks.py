"""What is wrong with a strategy that reads well line by line: names that clash, dangle, or are never mentioned."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from engine.errors import Place, Problem, unknown_name
from engine.sql import BITS_MAX
from engine.strategy import EntryRule, MoveRule, Rule, Strategy
from engine.tree import All, Any, Condition, Leaf, Named

REMINDER_DUE: Final = "promise_reminder_due"
"""The condition that `promise: {remind: ...}` defines."""


def conditions(strategy: Strategy) -> Iterator[Condition]:
    """Every condition that the strategy decides by: its own, its entries', moves' and rules'."""
    yield strategy.applies_to
    yield from (entry.when for entry in strategy.entry)
    yield from (move.when for move in strategy.moves)
    yield from (rule.when for rules in strategy.rules.values() for rule in rules)


def id_problems(strategy: Strategy) -> Iterator[Problem]:
    """Ids are what the log and `repeat` remember: one meaning each, former names included."""
    rules = [rule for rules in strategy.rules.values() for rule in rules]
    items: list[EntryRule | MoveRule | Rule] = [*strategy.entry, *strategy.moves, *rules]
    first: dict[str, Place] = {}
    for item in sorted(items, key=lambda item: item.at):
        if item.id in first:
            what = f"id `{item.id}` stands twice, first on line {first[item.id].line}"
            yield Problem(what, "give each rule, move and entry a name of its own", item.at)
        first.setdefault(item.id, item.at)
    former = Counter(name for rule in rules for name in rule.was)
    for rule in rules:
        for name in rule.was:
            if name in first or former[name] > 1:
                what = f"`{name}` under `was` of rule `{rule.id}` is the name of another rule"
                yield Problem(what, "a former name belongs to one rule only: remove it here", rule.at)


def size_problems(strategy: Strategy) -> Iterator[Problem]:
    """A sweep tells which rules of a stage match by one number, which has room for so many."""
    for stage, rules in strategy.rules.items():
        if len(rules) > BITS_MAX:
            what = f"stage `{stage}` has {len(rules)} rules, and {BITS_MAX} are the most"
            yield Problem(what, "join rules that do the same, or part the strategy by `applies_to`", rules[BITS_MAX].at)
        moves = [move for move in strategy.moves if stage in move.sources]
        if len(moves) > BITS_MAX:
            what = f"{len(moves)} moves start from stage `{stage}`, and {BITS_MAX} are the most"
            yield Problem(what, "join moves that lead to the same stage", moves[BITS_MAX].at)


def mention_problems(strategy: Strategy, define_at: Mapping[str, Place]) -> Iterator[Problem]:
    """Definitions that nothing uses, arms that nothing distinguishes, and arms that are not declared."""
    parts = [part for condition in conditions(strategy) for part in walk(condition)]
    used = {part.name for part in parts if isinstance(part, Named)}
    for name in strategy.define:
        if name not in used and name != REMINDER_DUE:
            yield Problem(f"`{name}` is defined and never used", "use it, or delete it", define_at.get(name))
    if strategy.promise.remind_days_before is not None and REMINDER_DUE not in used:
        # A rule that spells the days out itself would go on reminding on its own day when the setting changes.
        mend = f"write `when: {REMINDER_DUE}` in the rule that reminds, or delete `remind`"
        yield Problem("`promise` says when to remind, and no rule looks at it", mend, Place(strategy.file))
    arms = [part for part in parts if isinstance(part, Leaf) and part.fact == "arm"]
    for leaf in arms:
        for value in leaf.values:
            if value not in strategy.arms:
                yield unknown_name("arm", str(value), strategy.arms, at=leaf.at, otherwise="declare it under `arms:`")
    if strategy.arms and not arms:
        what = "arms are declared, and no condition looks at `arm`"
        mend = "write `arm = 'control'` where treatment differs, or delete `arms:`"
        yield Problem(what, mend, Place(strategy.file))


def walk(condition: Condition) -> Iterator[Condition]:
    """A condition and everything inside it, names expanded."""
    yield condition
    if isinstance(condition, Named):
        yield from walk(condition.body)
    elif isinstance(condition, All | Any):
        for part in condition.parts:
            yield from walk(part)
