"""
Is one rule at least as strict as another? An order for every key of every kind of limit.

A house rule that says which rule of law it tightens is compared with it key by key: windows shrink, limits fall, spans
and pauses grow, what is honoured, held, required and forbidden grows, who may be addressed and every exception shrinks.
What the order does not show to be as strict counts as looser.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from compliance.dated import Dated
from compliance.pack import (
    Addressee,
    Also,
    Consent,
    Content,
    Cooldown,
    Count,
    Duty,
    Element,
    Holds,
    Hours,
    Lift,
    Limit,
    Rule,
    Scope,
    Selector,
    Span,
    Statements,
    Wording,
)  # fmt: skip
from compliance.phrases import read
from compliance.timetable import first_beyond
from engine.content import LANGUAGES

_UNLIMITED: Final = 1 << 62
_HOURS_A_DAY: Final = 24


@dataclass(frozen=True, slots=True)
class Loosening:
    """
    A key by which a rule would be looser than the law.

    Attributes:
        key: as in the pack file, e.g. max.
        part: the key within it, e.g. channels in counts; empty: the key as a whole.
        what: in what it is looser, with what the law says, to stand after the key.
        mend: how to write it; empty: only to leave the key out, which always helps.
    """

    key: str
    part: str
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class _Order:
    """When a value is at least as strict as the law's, and what to write where it is not."""

    keeps: Callable[[Any, Any], bool]
    mend: str


_FEWER: Final = _Order(lambda ours, law: ours <= law, "name nothing beyond {law}")
_MORE: Final = _Order(lambda ours, law: ours >= law, "name at least {law}")
_MORE_OR_ALL: Final = _Order(lambda ours, law: not ours or (bool(law) and ours >= law), "name at least {law}")
_LOWER: Final = _Order(lambda ours, law: ours <= law, "write {law} or less")
_HIGHER: Final = _Order(lambda ours, law: ours >= law, "write {law} or more")
_LOWER_OR_NONE: Final = _Order(lambda ours, law: _or_unlimited(ours) <= _or_unlimited(law), "write {law} or less")
_HIGHER_OR_NONE: Final = _Order(lambda ours, law: _or_unlimited(ours) >= _or_unlimited(law), "write {law} or more")
_SAME: Final = _Order(lambda ours, law: ours == law, "write {law}")
_ALL_OR_SAME: Final = _Order(lambda ours, law: ours is None or ours == law, "write {law}")
_TRUER: Final = _Order(lambda ours, law: ours >= law, "write `true`")
_FALSER: Final = _Order(lambda ours, law: ours <= law, "write `false`")
_LESS_GIVEN: Final = _Order(lambda ours, law: ours.items() <= law.items(), "ask for nothing beyond {law}")

_SCOPE: Final[Mapping[str, _Order]] = {
    "acts": _MORE,
    "channels": _MORE_OR_ALL,
    "purposes": _MORE_OR_ALL,
    "except_purposes": _FEWER,
    "roles": _MORE_OR_ALL,
    "except_roles": _FEWER,
    "where": _MORE_OR_ALL,
    "except_where": _FEWER,
    "given": _LESS_GIVEN,
}
_SELECTOR: Final[Mapping[str, _Order]] = {
    "channels": _MORE_OR_ALL,
    "directions": _MORE,
    "outcomes": _MORE_OR_ALL,
    "except_outcomes": _FEWER,
    "purposes": _MORE_OR_ALL,
    "except_purposes": _FEWER,
    "same": _FEWER,
    "any_person": _TRUER,
    "where": _MORE_OR_ALL,
    "except_where": _FEWER,
    "since": _ALL_OR_SAME,
}
_LIFT: Final[Mapping[str, _Order]] = {
    "consent": _SAME,
    "directly": _TRUER,
    "dates_max": _LOWER_OR_NONE,
    "once": _TRUER,
}
_LIMITS: Final[Mapping[type, Mapping[str, _Order]]] = {
    Count: {"max": _LOWER},
    Statements: {
        "honours": _MORE,
        "as_one": _MORE,
        "oral_dates_max": _HIGHER_OR_NONE,
        "hours_a_week_max": _HIGHER_OR_NONE,
        "channels_max": _HIGHER_OR_NONE,
    },
    Consent: {"basis": _FEWER, "consent": _SAME, "directly": _TRUER, "renewed_within_days": _LOWER_OR_NONE},
    Holds: {"holds": _MORE, "forms": _MORE_OR_ALL},
    Addressee: {"may_be": _FEWER},
    Content: {"required": _MORE, "forbidden": _MORE},
    Wording: {"before_due": _FALSER},
    Duty: {"notice": _SAME, "in_force_days": _HIGHER, "into": _MORE_OR_ALL},
}
"""What can be compared value by value; the rest has functions of its own below."""

_FIELD: Final = {
    (Lift, "consent"): "scope", (Consent, "consent"): "scope", (Holds, "holds"): "kinds", (Addressee, "may_be"): "roles",
    (Duty, "into"): "to",
}  # fmt: skip
"""Where a key of the file has another name in the limit."""


def loosened(rule: Rule, law: Rule) -> list[Loosening]:
    """
    In what a rule is not shown to be at least as strict as the law; empty: whatever the law withholds, it withholds.

    The two are compared where both bind: the packs' places, actors and products, and the dates, are not looked at.
    """
    return [*_scope(rule, law), *limit_loosened(rule.limit, law.limit)]


def limit_loosened(ours: Limit | Dated, law: Limit | Dated) -> list[Loosening]:
    """The same of the limits alone. Days that packs set are not compared: of several the strictest counts by itself."""
    if type(ours) is not type(law) or isinstance(law, Dated):
        return [Loosening("kind", "", "is of another kind", "write no `kind`: it is that of the law")]
    found = list(_ordered(ours, law, _LIMITS.get(type(law), {})))
    match ours, law:
        case Hours(), Hours():
            found += [*_hours(ours, law), *_lift(ours.lifted_by, law.lifted_by)]
        case Count(), Count():
            found += [*_spans(ours.spans, law.spans), *_selector("counts", ours.counts, law.counts)]
            found += _lift(ours.lifted_by, law.lifted_by)
        case Cooldown(), Cooldown():
            found += [*_pause(ours.span, law.span), *_selector("after", ours.after, law.after)]
            found += _lift(ours.lifted_by, law.lifted_by)
        case Statements(), Statements():
            found += _lift(ours.lifted_by, law.lifted_by)
        case Addressee(), Addressee():
            found += _also(ours, law)
        case Content(), Content():
            found += _at_least(ours, law)
        case Wording(), Wording():
            found += [
                *_elements("requires", ours.requires, law.requires),
                *_elements("forbids", ours.forbids, law.forbids),
            ]
    return found


def _scope(rule: Rule, law: Rule) -> Iterator[Loosening]:
    yield from _ordered(rule.scope, law.scope, _SCOPE)
    if _reply_dates(rule.scope) > _reply_dates(law.scope) and "reply" in law.scope.except_purposes:
        # Where the law excepts no reply at all, `except_purposes` has said so.
        days = law.scope.reply_dates_max
        yield Loosening(
            "reply_dates_max", "", f"excuses replies on more dates than the law's {days}", f"write `{days}` or less"
        )
    if rule.when != law.when:
        mend = "write a rule of its own without `tightens`"
        yield Loosening("when", "", "is another condition than the law's", mend)


def _reply_dates(scope: Scope) -> int:
    """On how many dates one answer is excused."""
    return _or_unlimited(scope.reply_dates_max) if "reply" in scope.except_purposes else 0


def _ordered(ours: object, law: object, orders: Mapping[str, _Order], key: str = "") -> Iterator[Loosening]:
    for name, order in orders.items():
        field = _FIELD.get((type(law), name), name)
        mine, theirs = getattr(ours, field), getattr(law, field)
        if not order.keeps(mine, theirs):
            said, mend = _words(theirs), order.mend.format(law=_words(theirs))
            if theirs is None or theirs in (frozenset(), {}):
                said, mend = "says nothing of it", ""
            yield Loosening(key or name, name if key else "", f"says {_words(mine)}, and the law {said}", mend)


def _hours(ours: Hours, law: Hours) -> Iterator[Loosening]:
    if (beyond := first_beyond(ours.table, law.table)) is not None:
        day, minute = beyond
        key = "open" if ours.table.opens else "closed"
        what = f"leaves {minute // 60:02}:{minute % 60:02} on {day} open, which the law closes"
        yield Loosening(key, "", what, "keep within the law's hours")


def _spans(ours: tuple[Span, ...], law: tuple[Span, ...]) -> Iterator[Loosening]:
    for span in law:
        if not any(_counts_in(mine, span) for mine in ours):
            yield Loosening(
                "within", "", f"does not cover {_span(span)}, which the law does", f"name {_span(span)} or more"
            )


def _pause(ours: Span, law: Span) -> Iterator[Loosening]:
    longer = law.unit != "ever" and (
        ours.unit == "ever"
        or (ours.unit == law.unit and ours.n >= law.n)
        # A pause of n dates may end a little more than n - 1 days after what began it, one of hours when they are over.
        or (ours.unit == "dates" and law.unit == "hours" and (ours.n - 2) * _HOURS_A_DAY >= law.n)
        or (ours.unit == "hours" and law.unit == "dates" and ours.n >= (law.n + 1) * _HOURS_A_DAY)
    )
    if not longer and ours != law:
        yield Loosening("for", "", f"says {_span(ours)}, and the law {_span(law)}", f"write {_span(law)} or more")


def _counts_in(ours: Span, law: Span) -> bool:
    """Whether everything that shares a window of the law with the asked contact shares one of ours with it."""
    if ours.unit == "ever" or law.unit == "ever":
        return ours.unit == "ever"
    if ours.unit == law.unit:
        return ours.n >= law.n
    dates = law.n * {"dates": 1, "weeks": 7, "months": 31, "hours": 0}[law.unit]
    if ours.unit == "dates":
        # So many hours reach into one date more than they are days, and one more on a night the clocks change.
        return (ours.n - 2) * _HOURS_A_DAY >= law.n if law.unit == "hours" else ours.n >= dates
    # So many dates last a day more than the first and last of them are apart, and an hour more in autumn.
    return ours.unit == "hours" and ours.n >= (dates + 1) * _HOURS_A_DAY


def _selector(key: str, ours: Selector, law: Selector) -> Iterator[Loosening]:
    yield from _ordered(ours, law, _SELECTOR, key)
    if "endpoint" in law.same and "endpoint" not in ours.same and not ours.any_person:
        # `same: endpoint` takes in what others heard there.
        what = "leaves out what others heard at the same number or address, which the law counts"
        yield Loosening(key, "same", what, "write `same: endpoint`, or `any_person: true`")


def _lift(ours: Lift | None, law: Lift | None) -> Iterator[Loosening]:
    if ours is None:
        return
    if law is None:
        yield Loosening("lifted_by", "", "is an exception that the law does not have", "")
        return
    yield from _ordered(ours, law, _LIFT, "lifted_by")


def _also(ours: Addressee, law: Addressee) -> Iterator[Loosening]:
    for also in ours.also:
        if not (also.roles <= law.roles or any(_admits_no_more(also, other) for other in law.also)):
            what = f"admits {_words(also.roles)} on conditions on which the law does not"
            yield Loosening("also", "", what, "repeat the law's conditions, with more of them or for fewer roles")


def _admits_no_more(ours: Also, law: Also) -> bool:
    if not (ours.roles <= law.roles and (not law.purposes or (bool(ours.purposes) and ours.purposes <= law.purposes))):
        return False
    ways = (law.unreachable_attempts, law.unreachable_dates)
    if not law.given and ways == (None, None):
        return True
    if not ours.given and ours.unreachable_attempts is None and ours.unreachable_dates is None:
        return False
    given_kept = not ours.given or (bool(law.given) and law.given.items() <= ours.given.items())
    return given_kept and all(
        mine is None or (theirs is not None and mine >= theirs)
        for mine, theirs in zip((ours.unreachable_attempts, ours.unreachable_dates), ways, strict=True)
    )


def _at_least(ours: Content, law: Content) -> Iterator[Loosening]:
    for name, least in law.at_least.items():
        if ours.at_least.get(name, 0) < least:
            what = f"asks for fewer than the law's {least}"
            yield Loosening("at_least", name, what, f"write `{name}: {least}` or more")


def _elements(key: str, ours: tuple[Element, ...], law: tuple[Element, ...]) -> Iterator[Loosening]:
    mine = {element.name: element for element in ours}
    for element in law:
        own = mine.get(element.name)
        if own is None:
            yield Loosening(
                key, element.name, "is left out, and the law has it", f"name `{element.name}` as the law does"
            )
        elif key == "forbids" and not _phrases(own.in_all()) >= _phrases(element.in_all()):
            yield Loosening(
                key, element.name, "finds less than the law does", "keep every phrase of the law, and add to them"
            )
        elif key == "requires" and not all(
            _phrases(own.in_language(word)) <= _phrases(element.in_language(word)) for word in LANGUAGES
        ):
            what = "is content with phrases that the law does not take"
            yield Loosening(key, element.name, what, "name none but phrases of the law")


def _phrases(phrases: tuple[str, ...]) -> frozenset[str]:
    return frozenset(read(phrase).folded for phrase in phrases)


def _or_unlimited(number: int | None) -> int:
    return _UNLIMITED if number is None else number


def _span(span: Span) -> str:
    match span.unit:
        case "dates" | "hours":
            return f"`{span.n} {span.unit}`"
        case "weeks" | "months":
            return f"`calendar {span.unit[:-1]}`"
        case _:
            return "`ever`"


def _words(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case frozenset() if not value:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case frozenset():
            return f"`[{', '.join(sorted(value))}]`"
        case Mapping():
            return f"`{{{', '.join(f'{name}: {_plain(item)}' for name, item in value.items())}}}`"
        case _:
            return f"`{value}`"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
