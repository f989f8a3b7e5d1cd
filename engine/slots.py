"""How often a rule may fire: `repeat`, counted from the contact log, and the slot that each firing takes."""

from collections.abc import Iterable, Sequence
from datetime import date

from engine.situation import Loan, RuleUse
from engine.strategy import Repeat, Rule

_NEVER_WAS = frozenset({"cancelled", "expired"})
_PENDING = frozenset({"planned", "claimed", "sending", "unknown"})
"""Not over yet: they count whatever `counts:` says, because they may turn out to be a contact."""


def slot(loan: Loan, rule: Rule, key: str, person: int, channel: str) -> str:
    """The contact's slot, unique for ever in the database."""
    return f"{loan.id}:{rule.id}:{loan.stage_entry}:{key}:{person}:{channel}"


def repeat_key(slot: str) -> str:
    """The repeat slot key inside a contact's slot, e.g. `episode:3#1`."""
    return ":".join(slot.split(":")[3:-2])


def uses_of(rule: Rule, loan: Loan, *, person: int | None = None, channel: str | None = None) -> list[RuleUse]:
    """
    What the log holds of a rule, by its present and former names; of one addressee and channel where given.

    A use that does not know its addressee is everybody's: better one notice too few than one too many.
    """
    return [
        use
        for use in loan.uses
        if (use.rule == rule.id or use.rule in rule.was)
        and (person is None or use.person is None or (use.person == person and use.channel == channel))
    ]


def why_spent(repeat: Repeat, uses: Sequence[RuleUse], loan: Loan, on: date, *, sweep: bool) -> str:
    """
    Why a rule may not fire again today, or an empty text when it may.

    In a sweep a rule fires once a day at most, so that a second sweep of the day adds nothing.
    """
    if not uses:
        return "" if _period(repeat, loan, on) is not None else f"no {_words(repeat)} to count in"
    if sweep and any(use.on >= on and use.outcome not in _NEVER_WAS for use in uses):
        return "already planned for today or later"
    within = _within(repeat, uses, loan, on)
    if within is None:
        return f"no {_words(repeat)} to count in"
    used = len({_firing(use) for use in within if _counts(repeat, use)})
    window = f"in {repeat.days} days" if repeat.days is not None else f"per {repeat.per}"
    return f"used {used} of {repeat.max} {window}" if used >= repeat.max else ""


def next_key(repeat: Repeat, uses: Sequence[RuleUse], loan: Loan, on: date) -> str:
    """
    The repeat slot key of the next firing: the period and the firing's number in it.

    Cancelled firings have a number as well, since their slot in the database is taken for good.
    """
    if repeat.days is not None:
        period = on.isoformat()
        taken = {_firing(use) for use in uses if use.on == on or use.key.startswith(period + "#")}
    else:
        period = f"{repeat.per}:{_period(repeat, loan, on)}"
        taken = {_firing(use) for use in _within(repeat, uses, loan, on) or ()}
    number = len(taken) + 1
    while f"{period}#{number}" in taken:
        number += 1
    return f"{period}#{number}"


def _within(repeat: Repeat, uses: Iterable[RuleUse], loan: Loan, on: date) -> list[RuleUse] | None:
    if repeat.days is not None:
        return [use for use in uses if (on - use.on).days < repeat.days]
    if repeat.per == "stage":
        return [use for use in uses if use.stage_entry == loan.stage_entry]
    if repeat.per == "year":
        return [use for use in uses if use.on.year == on.year]
    period = _period(repeat, loan, on)
    return None if period is None else [use for use in uses if use.per.get(repeat.per or "") == period]


def _period(repeat: Repeat, loan: Loan, on: date) -> str | None:
    if repeat.days is not None:
        return on.isoformat()
    if repeat.per == "stage":
        return str(loan.stage_entry)
    if repeat.per == "year":
        return str(on.year)
    return loan.periods.get(repeat.per or "")


def _words(repeat: Repeat) -> str:
    return (repeat.per or "day").replace("_", " ")


def _firing(use: RuleUse) -> str:
    return use.key or use.on.isoformat()


def _counts(repeat: Repeat, use: RuleUse) -> bool:
    if use.outcome in _NEVER_WAS:
        return False
    return not repeat.outcomes or use.outcome in _PENDING or use.outcome in repeat.outcomes
