"""What of the law changes between two dates: which rules begin to bind, which end, and which take the place of others."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from compliance.pack import Pack, Rule


@dataclass(frozen=True, slots=True)
class LawChange:
    """
    One rule that binds on one of the dates and not on the other.

    Attributes:
        what: begins, ends, or changes: it takes the place of `before`. `comes and goes`: it binds on some date between
            the two only.
        on: the first date on which things are as it says.
    """

    what: Literal["begins", "ends", "changes", "comes and goes"]
    on: date
    rule: Rule
    before: Rule | None = None


def law_diff(packs: Iterable[Pack], start: date, end: date) -> list[LawChange]:
    """What changes from the law of one date to that of a later one, by date, then by rule."""
    rules = {rule.id: rule for pack in packs for rule in pack.rules}
    before = {name for name, rule in rules.items() if rule.in_force(start)}
    after = {name for name, rule in rules.items() if rule.in_force(end)}
    changes: list[LawChange] = []
    replaced = {rules[name].replaces for name in after - before}
    for name, rule in rules.items():
        if name in after - before:
            earlier = rules[rule.replaces] if rule.replaces in before else None
            changes.append(LawChange("changes" if earlier else "begins", rule.binds_from, rule, earlier))
        elif name in before - after and name not in replaced and rule.end is not None:
            changes.append(LawChange("ends", rule.end + timedelta(days=1), rule))
        elif rule.binding and rule.end is not None and start < rule.binds_from <= rule.end < end:
            changes.append(LawChange("comes and goes", rule.binds_from, rule))
    return sorted(changes, key=lambda change: (change.on, change.rule.id))
