"""The people of a scenario: where they are, how they are reached, what they have said, what is held, what went before."""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast, get_args
from zoneinfo import ZoneInfo

from engine.durations import read_hours_of_day
from engine.errors import Problem, unknown_name
from engine.fields import Fields
from engine.gate import CHANNELS, HOLDS, STATEMENTS, Endpoint, Hold, LocalWindow, PastContact, Purpose, Role, Statement
from engine.situation import Person
from engine.source import Node, Text
from engine.strategy import OUTCOMES

ROLES: Final[tuple[Role, ...]] = get_args(Role)
_PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
_Kind = Literal["mobile", "landline", "email", "postal"]
_KINDS: Final[tuple[_Kind, ...]] = get_args(_Kind)
_PERSON_KEYS: Final = ("language", "zones", "jurisdictions", "endpoints", "statements", "holds", "history")
_ENDPOINT_KEYS: Final = ("kind", "valid", "place", "zone", "basis", "basis_days_ago")
_STATEMENT_KEYS: Final = ("kind", "scope", "channels", "purposes", "days_ago", "between")
_HOLD_KEYS: Final = ("kind", "days_ago", "blocks", "form", "this_loan")
_HISTORY_KEYS: Final = ("channel", "outcome", "days_ago", "hours_ago", "direction", "purpose")
_HISTORY_OUTCOMES: Final = (*OUTCOMES, "planned", "sending", "unknown")
_DAYS_MAX: Final = 36_500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_person(node: Node, person: int, loan: int, now: datetime, what: str, problems: list[Problem]) -> Person | None:
    """
    Read one person of a scenario; every problem goes to `problems`.

    Args:
        person, loan: the ids they get; a `this_loan` hold is about that loan.
        now: what `days_ago` counts back from.
        what: what the person is called in messages.
    """
    example = "borrower: {zones: [Asia/Shanghai], jurisdictions: [CN], endpoints: [mobile]}"
    fields = Fields.of(node, what, _PERSON_KEYS, problems, example=example)
    if fields is None:
        return None
    zones = tuple(zone for zone in fields.names("zones") if _is_zone(zone, fields))
    return Person(
        id=person,
        zones=zones,
        jurisdictions=fields.names("jurisdictions"),
        language=fields.text("language") or "en",
        endpoints=tuple(
            _endpoint(item, person * 100 + rank, rank, zones, now, problems)
            for rank, item in enumerate(fields.listing("endpoints", "mobile"))
        ),
        statements=tuple(
            _statement(item, now, problems) for item in fields.listing("statements", "{kind: consent, channels: [sms]}")
        ),
        holds=tuple(_hold(item, loan, now, problems) for item in fields.listing("holds", "{kind: dispute}")),
        history=tuple(
            _past(item, person, loan, now, problems)
            for item in fields.listing("history", "{channel: call, outcome: no_answer, days_ago: 2}")
        ),
    )


def microseconds(at: datetime) -> int:
    """An aware instant as the contract's integer."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def _endpoint(
    node: Node, endpoint: int, rank: int, zones: tuple[str, ...], now: datetime, problems: list[Problem]
) -> Endpoint:
    zone = zones[0] if len(zones) == 1 else None
    if isinstance(node, Text) and node.raw in _KINDS:
        return Endpoint(endpoint, node.raw, zone, rank=rank)
    fallback = Endpoint(endpoint, "mobile", zone, rank=rank)
    if isinstance(node, Text):
        otherwise = f"use one of {', '.join(_KINDS)}"
        problems.append(unknown_name("kind of endpoint", node.raw, _KINDS, at=node.at, otherwise=otherwise))
        return fallback
    fields = Fields.of(node, "endpoint", _ENDPOINT_KEYS, problems, example=f"endpoints: [{', '.join(_KINDS)}]")
    if fields is None:
        return fallback
    fields.required("kind", "mobile")
    kind = cast("_Kind", fields.one_of("kind", "kind of endpoint", _KINDS) or "mobile")
    basis_days = fields.whole("basis_days_ago", 0, _DAYS_MAX)
    return Endpoint(
        id=endpoint,
        kind=kind,
        zone=fields.text("zone") or zone,
        valid=flag(fields, "valid", default=True),
        place=fields.text("place"),
        basis=fields.text("basis") or "",
        basis_us=None if basis_days is None else microseconds(now - timedelta(days=basis_days)),
        rank=rank,
    )


def _statement(node: Node, now: datetime, problems: list[Problem]) -> Statement:
    at_us = microseconds(now)
    fields = Fields.of(node, "statement", _STATEMENT_KEYS, problems, example="{kind: consent, channels: [sms]}")
    if fields is None:
        return Statement("consent", at_us)
    fields.required("kind", "consent")
    between = fields.parsed("between", read_hours_of_day, "a span of hours within one day", '"12:00-14:00"')
    return Statement(
        kind=fields.one_of("kind", "kind of statement", STATEMENTS) or "consent",
        at_us=microseconds(now - timedelta(days=fields.whole("days_ago", 0, _DAYS_MAX) or 0)),
        scope=fields.text("scope") or "",
        channels=fields.words("channels", "channel", CHANNELS),
        purposes=fields.words("purposes", "purpose", _PURPOSES),
        windows=(LocalWindow(*between),) if between else (),
    )


def _hold(node: Node, loan: int, now: datetime, problems: list[Problem]) -> Hold:
    fields = Fields.of(node, "hold", _HOLD_KEYS, problems, example="{kind: dispute}")
    if fields is None:
        return Hold("manual", microseconds(now))
    fields.required("kind", "dispute")
    return Hold(
        kind=fields.one_of("kind", "kind of hold", HOLDS) or "manual",
        starts_us=microseconds(now - timedelta(days=fields.whole("days_ago", 0, _DAYS_MAX) or 0)),
        blocks=fields.words("blocks", "channel", CHANNELS),
        debts=(loan,) if flag(fields, "this_loan", default=False) else (),
        form=fields.text("form") or "",
    )


def _past(node: Node, person: int, loan: int, now: datetime, problems: list[Problem]) -> PastContact:
    example = "{channel: call, outcome: no_answer, days_ago: 2}"
    fields = Fields.of(node, "past contact", _HISTORY_KEYS, problems, example=example)
    if fields is None:
        return PastContact(microseconds(now), "out", "call", "unknown", "collect", person, (loan,))
    fields.required("channel", "call")
    fields.required("outcome", "no_answer")
    days = fields.whole("days_ago", 0, _DAYS_MAX) or 0
    hours = fields.whole("hours_ago", 0, 24) or 0
    return PastContact(
        at_us=microseconds(now - timedelta(days=days, hours=hours)),
        direction="in" if fields.one_of("direction", "direction", ("out", "in")) == "in" else "out",
        channel=fields.one_of("channel", "channel", CHANNELS) or "call",
        outcome=fields.one_of("outcome", "outcome", _HISTORY_OUTCOMES) or "unknown",
        purpose=fields.one_of("purpose", "purpose", _PURPOSES) or "collect",
        person=person,
        debts=(loan,),
    )


def flag(fields: Fields, key: str, *, default: bool) -> bool:
    """A yes or no."""
    node = fields.node(key)
    if node is None:
        return default
    if isinstance(node, Text) and isinstance(node.value, bool):
        return node.value
    fields.refuse(f"`{key}` of {fields.what} is neither true nor false", f"write `{key}: true`", node.at)
    return default


def _is_zone(name: str, fields: Fields) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        mend = "write one such as `Asia/Shanghai`"
        fields.refuse(f"`{name}` is no IANA time zone", mend, fields.table.items["zones"].at)
        return False
    return True
