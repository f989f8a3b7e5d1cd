"""Reading the limit of one rule: which keys each kind has, and what they mean."""

import re
from collections.abc import Callable, Mapping
from typing import Final, get_args

from compliance.consents import CONSENT_SCOPES, HONOURED
from compliance.dated import Dated
from compliance.dated_file import DatedReader
from compliance.pack import (
    KNOWN_OUTCOMES,
    OUTCOMES,
    Addressee,
    Also,
    Consent,
    Content,
    Cooldown,
    Count,
    Duty,
    Holds,
    Hours,
    Lift,
    Limit,
    Selector,
    Span,
    Statements,
)  # fmt: skip
from compliance.timetable import DAY_MINUTES, Timetable, Window
from compliance.wording_file import read_wording
from engine.fields import Fields
from engine.gate import CHANNELS, HOLDS, Purpose, Role
from engine.source import Listing, Node, Table, Text
from engine.stages import STAGES

BASES: Final = (
    "text_from_consumer", "direct_consent", "used_by_consumer_with_collector", "creditor_notice_35_days",
    "prior_collector_chain", "contract", "voice_call_only",
)  # fmt: skip
NOTICES: Final = ("visit_notice", "prelegal_notice", "validation_notice", "placement_notice")
_PURPOSES: Final = get_args(Purpose)
_ROLES: Final = get_args(Role)
_FORMS: Final = ("written", "electronic", "oral")
_DIRECTIONS: Final = ("out", "in")
_SAME: Final = ("debt", "endpoint", "actor")
SPOTS: Final = ("home", "work")
_WENT: Final = (*SPOTS, "elsewhere")

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holidays")
_GROUPS: Final[Mapping[str, tuple[int, ...]]] = {
    "every_day": tuple(range(7)),
    "weekdays": (0, 1, 2, 3, 4),
    "weekends": (5, 6),
    **{name: (number,) for number, name in enumerate(_DAYS)},
}
"""Broad names first: a narrower one later in the table overrides them."""
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_SPAN: Final = re.compile(r"(?:([1-9][0-9]{0,3}) (dates|hours)|calendar (week|month)|(ever))")
_HOURS_EXAMPLE: Final = '"08:00-21:00"'

_SELECTOR_KEYS: Final = (
    "channels", "directions", "outcomes", "except_outcomes", "purposes", "except_purposes", "same", "any_person",
    "where", "except_where", "since",
)  # fmt: skip


def read_limit(fields: Fields) -> Limit | Dated | None:
    """The limit that a rule's keys describe, or the days it sets; None and problems when they describe none."""
    kind = fields.one_of("kind", "kind of limit", tuple(_READERS))
    if kind is None:
        if fields.node("kind") is None:
            fields.refuse(f"{fields.what} has no `kind`", f"write `kind: hours`, or one of {', '.join(_READERS)}")
        return None
    keys, read = _READERS[kind]
    for key in LIMIT_KEYS:
        if key not in keys and fields.node(key) is not None:
            mend = f"a limit of kind `{kind}` has {', '.join(f'`{name}`' for name in keys)}"
            fields.refuse(f"`{key}` means nothing in a limit of kind `{kind}`", mend, fields.table.key_at[key])
    return read(fields)


def read_given(node: Node, fields: Fields) -> dict[str, bool | int | str]:
    """Facts and the value each must have."""
    given: dict[str, bool | int | str] = {}
    if not isinstance(node, Table):
        fields.refuse(f"`given` of {fields.what} is not a table", "write `given: {prerecorded: true}`", node.at)
        return given
    for key, value in node.items.items():
        if isinstance(value, Text) and isinstance(value.value, bool | int | str):
            given[key] = value.value
        else:
            fields.refuse(f"`{key}` of `given` has no plain value", f"write `{key}: true`", value.at)
    return given


def _hours(fields: Fields) -> Hours | None:
    opens, closes = fields.node("open"), fields.node("closed")
    node = opens or closes
    if node is None or (opens is not None and closes is not None):
        fields.refuse(
            f"{fields.what} needs `open` or `closed`, one of the two",
            "write `open: {every_day: " + _HOURS_EXAMPLE + "}`",
        )
        return None
    table = Fields.of(
        node, f"the hours of {fields.what}", tuple(_GROUPS), fields.problems, example="every_day: " + _HOURS_EXAMPLE
    )
    if table is None:
        return None
    days: dict[int, tuple[Window, ...]] = {}
    for key, numbers in _GROUPS.items():
        if (hours := table.node(key)) is not None:
            windows = _windows(hours, table)
            days.update(dict.fromkeys(numbers, windows))
    missing = [_DAYS[day] for day in range(7) if day not in days]
    if missing:
        table.refuse(
            f"{table.what} leave out {', '.join(missing)}", "write `every_day:`, or `none` for the days without"
        )
        return None
    # Without hours of its own a holiday is the weekday it falls on.
    return Hours(Timetable(tuple(days[day] for day in sorted(days)), opens is not None), _lift(fields))


def _windows(node: Node, fields: Fields) -> tuple[Window, ...]:
    items = list(node) if isinstance(node, Listing) else [node]
    if len(items) == 1 and isinstance(items[0], Text) and items[0].raw == "none":
        return ()
    windows: list[Window] = []
    for item in items:
        match = _CLOCK.fullmatch(item.raw) if isinstance(item, Text) else None
        if match is None:
            fields.refuse("hours that cannot be read", f"write {_HOURS_EXAMPLE}, or `none`", item.at)
            continue
        start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
        if start == end or start >= DAY_MINUTES or end > DAY_MINUTES:
            raw = item.raw if isinstance(item, Text) else ""
            fields.refuse(
                f"`{raw}` is no span of time", 'write "00:00-24:00" for the whole day, `none` for nothing', item.at
            )
            continue
        windows.append((start, end))
    return tuple(windows)


def _count(fields: Fields) -> Count | None:
    most = fields.whole("max", 1, 10_000)
    if fields.node("max") is None:
        fields.refuse(f"{fields.what} has no `max`", "write `max: 7`, the asked contact included")
    spans = _spans(fields, "within")
    selector = _selector(fields, "counts")
    lift = _lift(fields)
    return Count(most, spans, selector, lift) if most and spans and selector else None


def _cooldown(fields: Fields) -> Cooldown | None:
    spans = _spans(fields, "for")
    if len(spans) > 1 or any(span.unit in {"weeks", "months"} for span in spans):
        fields.refuse(
            "a cool-down has one length, in dates or hours", "write `for: 7 dates`", fields.table.items["for"].at
        )
        return None
    selector = _selector(fields, "after")
    lift = _lift(fields)
    return Cooldown(selector, spans[0], lift) if selector and spans else None


def _spans(fields: Fields, key: str) -> tuple[Span, ...]:
    node = fields.required(key, "7 dates")
    if node is None:
        return ()
    spans = []
    for item in list(node) if isinstance(node, Listing) else [node]:
        match = _SPAN.fullmatch(item.raw) if isinstance(item, Text) else None
        if match is None:
            mend = f"write `{key}: 7 dates`, `168 hours`, `calendar week`, `calendar month` or `ever`"
            fields.refuse(f"`{key}` of {fields.what} is no window of time", mend, item.at)
        elif match[4]:
            spans.append(Span("ever"))
        elif match[3]:
            spans.append(Span("weeks" if match[3] == "week" else "months"))
        else:
            spans.append(Span("dates" if match[2] == "dates" else "hours", int(match[1])))
    return tuple(spans)


def _selector(fields: Fields, key: str) -> Selector | None:
    node = fields.required(key, "{channels: [call]}")
    if node is None:
        return None
    what = f"`{key}` of {fields.what}"
    inner = Fields.of(node, what, _SELECTOR_KEYS, fields.problems, example="{channels: [call]}")
    if inner is None:
        return None
    return Selector(
        channels=frozenset(inner.words("channels", "channel", CHANNELS)),
        directions=frozenset(inner.words("directions", "direction", _DIRECTIONS)) or Selector().directions,
        outcomes=_outcomes(inner, "outcomes"),
        except_outcomes=_outcomes(inner, "except_outcomes"),
        purposes=frozenset(inner.words("purposes", "purpose", _PURPOSES)),
        except_purposes=frozenset(inner.words("except_purposes", "purpose", _PURPOSES)),
        same=frozenset(inner.words("same", "key", _SAME)),
        any_person=_yes(inner, "any_person"),
        where=frozenset(inner.words("where", "place", _WENT)),
        except_where=frozenset(inner.words("except_where", "place", _WENT)),
        since=inner.identifier("since", required="") if inner.node("since") is not None else None,
    )


def _outcomes(fields: Fields, key: str) -> frozenset[str]:
    words = fields.words(key, "outcome", sorted({*OUTCOMES, *KNOWN_OUTCOMES}))
    return frozenset().union(*(OUTCOMES.get(word, {word}) for word in words))


def _lift(fields: Fields) -> Lift | None:
    node = fields.node("lifted_by")
    if node is None or (isinstance(node, Text) and node.raw == "none"):
        return None
    keys = ("consent", "directly", "dates_max", "once")
    inner = Fields.of(node, f"`lifted_by` of {fields.what}", keys, fields.problems, example="{consent: contact_time}")
    if inner is None or inner.required("consent", "contact_time") is None:
        return None
    scope = inner.one_of("consent", "consent scope", sorted(CONSENT_SCOPES))
    dates_max = inner.whole("dates_max", 1, 3_660)
    return Lift(scope, _yes(inner, "directly"), dates_max, _yes(inner, "once")) if scope else None


def _yes(fields: Fields, key: str) -> bool:
    return fields.one_of(key, "answer", ("true", "false")) == "true"


def _statements(fields: Fields) -> Statements | None:
    honours = frozenset(fields.words("honours", "kind of statement", sorted(HONOURED)))
    if not honours:
        fields.refuse(f"{fields.what} honours nothing", "write `honours: [opt_out, no_contact]`")
    limit = Statements(
        honours,
        _lift(fields),
        as_one=frozenset(fields.words("as_one", "channel", CHANNELS)),
        oral_dates_max=fields.whole("oral_dates_max", 1, 3_660),
        hours_a_week_max=fields.whole("hours_a_week_max", 1, 168),
        channels_max=fields.whole("channels_max", 1, len(CHANNELS)),
    )
    return limit if honours else None


def _consent(fields: Fields) -> Consent | None:
    basis = frozenset(fields.words("basis", "basis", BASES))
    scope = fields.one_of("consent", "consent scope", sorted(CONSENT_SCOPES))
    if not basis and scope is None:
        fields.refuse(
            f"{fields.what} asks for no basis and no consent", "write `consent: electronic`, `basis:` or both"
        )
        return None
    return Consent(basis, scope or "", _yes(fields, "directly"), fields.whole("renewed_within_days", 1, 3_660))


def _holds(fields: Fields) -> Holds | None:
    kinds = frozenset(fields.words("holds", "kind of hold", HOLDS))
    forms = frozenset(fields.words("forms", "form", _FORMS))
    if not kinds:
        fields.refuse(f"{fields.what} names no hold", "write `holds: [dispute]`")
    return Holds(kinds, forms) if kinds else None


def _addressee(fields: Fields) -> Addressee | None:
    roles = frozenset(fields.words("may_be", "role", _ROLES))
    if not roles:
        fields.refuse(f"{fields.what} lets nobody be addressed", "write `may_be: [borrower, guarantor]`")
    also = []
    keys = ("roles", "purposes", "given", "unreachable_attempts", "unreachable_dates")
    for node in fields.listing("also", "{roles: [contact_person], purposes: [location]}"):
        inner = Fields.of(node, f"`also` of {fields.what}", keys, fields.problems, example="- roles: [contact_person]")
        if inner is None:
            continue
        given = read_given(value, inner) if (value := inner.node("given")) is not None else {}
        further, purposes = inner.words("roles", "role", _ROLES), inner.words("purposes", "purpose", _PURPOSES)
        attempts, dates = inner.whole("unreachable_attempts", 1, 100), inner.whole("unreachable_dates", 1, 100)
        also.append(Also(frozenset(further), frozenset(purposes), given, attempts, dates))
    return Addressee(roles, tuple(also)) if roles else None


def _content(fields: Fields) -> Content | None:
    required, forbidden = frozenset(fields.names("required")), frozenset(fields.names("forbidden"))
    least: dict[str, int] = {}
    if (node := fields.node("at_least")) is not None:
        for key, number in read_given(node, fields).items():
            if type(number) is int and number > 0:
                least[key] = number
            else:
                fields.refuse(f"`{key}` of `at_least` is not a number above 0", f"write `{key}: 2`", node.at)
    if not required and not forbidden and not least:
        fields.refuse(f"{fields.what} asks for nothing", "write `required:`, `forbidden:` or `at_least:`")
        return None
    return Content(required, forbidden, least)


def _duty(fields: Fields) -> Duty | None:
    notice = fields.one_of("notice", "kind of notice", NOTICES)
    days = fields.whole("in_force_days", 0, 3_660)
    if notice is None or days is None:
        fields.refuse(
            f"{fields.what} does not say which notice it asks for",
            "write `notice: prelegal_notice` and `in_force_days: 14`",
        )
        return None
    return Duty(notice, days, frozenset(fields.words("into", "stage", STAGES)))


_DATED: Final = DatedReader(HOLDS, tuple(sorted(HONOURED)), NOTICES)
_READERS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Fields], Limit | Dated | None]]]] = {
    "hours": (("open", "closed", "lifted_by"), _hours),
    "count": (("max", "within", "counts", "lifted_by"), _count),
    "cooldown": (("after", "for", "lifted_by"), _cooldown),
    "statements": (
        ("honours", "as_one", "oral_dates_max", "hours_a_week_max", "channels_max", "lifted_by"), _statements,
    ),
    "consent": (("consent", "basis", "directly", "renewed_within_days"), _consent),
    "holds": (("holds", "forms"), _holds),
    "addressee": (("may_be", "also"), _addressee),
    "content": (("required", "forbidden", "at_least"), _content),
    "wording": (("requires", "forbids", "before_due"), read_wording),
    "duty": (("notice", "in_force_days", "into"), _duty),
    "service": (("notices", "after", "calendar"), _DATED.service),
    "deadline": (("starts", "within", "calendar", "done_by", "owner", "escalates"), _DATED.deadline),
    "retention": (("records", "at_least", "at_most", "since"), _DATED.retention),
}  # fmt: skip

LIMIT_KEYS: Final = tuple(dict.fromkeys(key for keys, _ in _READERS.values() for key in keys))
"""Every key that some kind of limit has."""
