"""One case as what the gate is asked: its names become numbers, its notices holds, its wall-clock times instants."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Final, Literal, cast

from compliance.case_dates import DatedCase
from compliance.case_row import CaseRow, Plain, instant, last_moment
from compliance.clock import microseconds
from compliance.pack import ACTORS, EVERYWHERE, Pack
from compliance.wording import text_facts
from engine.errors import Place, Problem, RuleError
from engine.gate import (
    Act,
    Ask,
    Channel,
    Endpoint,
    Hold,
    LocalWindow,
    Move,
    Override,
    PastContact,
    Purpose,
    Role,
    Statement,
)
from engine.stages import Stage
from engine.tree import FactValue

Kind = Literal["mobile", "landline", "email", "postal"]

_SETUP_KEYS: Final = (
    "actor", "persons", "debts", "contacts", "endpoints", "consents", "preferences", "notices", "holidays", "flags", "facts",
    "org_overrides", "life",
)  # fmt: skip
_ASK_KEYS: Final = (
    "at", "tz", "act", "channel", "person", "debts", "endpoint", "purpose", "place", "line", "by", "content",
    "collectors_present", "recorded", "move", "own_id", "text", "language",
    "override",
)  # fmt: skip
_CONTACT_KEYS: Final = (
    "id", "at", "tz", "direction", "channel", "outcome", "person", "debts", "endpoint", "purpose", "by", "misdirected", "place",
    "line",
)  # fmt: skip
_STATEMENT_KEYS: Final = (
    "kind", "at", "tz", "person", "channels", "channel", "endpoint", "debts", "given_to", "stated_to", "until", "windows",
    "window", "only_on", "place", "revoked_at", "purposes", "scope", "form",
)  # fmt: skip
_NOTICE_KEYS: Final = (
    "kind", "type", "received_at", "tz", "form", "debts", "person", "starts_on", "ends_on", "ended_at", "attorney",
    "treatment_ended_on", "notice", "effective_on", "channels", "sent_on", "channel", "review_on",
)  # fmt: skip

_HOLD_OF: Final[Mapping[str, str]] = {
    "cease_communication": "cease",
    "mental_capacity_concern": "mental_capacity",
}
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CONNECTED_ENDPOINT: Final = {
    "sms": "mobile",
    "call": "mobile",
    "email": "email",
    "letter": "postal",
    "visit": "postal",
}
_CHANNEL: Final = {
    "ringless_voicemail": "call",
    "text": "sms",
    "e-mail": "email",
    "lawsuit": "legal",
    "legal_action": "legal",
}
_MENTAL_AFTER: Final = timedelta(days=30)
"""A mental health crisis moratorium runs on for thirty days after treatment ends (Debt Respite Scheme)."""


class CaseReader:
    """Turns the setup and the ask of one case into the gate's words; names become numbers."""

    def __init__(self, case: CaseRow, at: Place, packs: list[Pack]) -> None:
        self._case, self._place, self._packs = case, at, packs
        self._setup = case.inner("setup", _SETUP_KEYS)
        self._persons = {
            row.text("id"): row for row in self._setup.rows("persons", ("id", "role", "timezones", "zones"))
        }
        self._debts = {row.text("id"): row for row in self._setup.rows("debts", None)}
        self._endpoints = {row.text("id"): row for row in self._setup.rows("endpoints", None)}
        self._ids: dict[str, int] = {}

    def dated(self, expect: CaseRow) -> DatedCase:
        """What the case says of days, for the first of its persons."""
        zones = next((self._zones(row) for row in self._persons.values()), [])
        return DatedCase(self._setup, expect, self._actor(), self._jurisdictions(), zones or ["UTC"])

    def ask(self) -> tuple[datetime, Ask]:
        ask = self._case.inner("ask", _ASK_KEYS)
        at = instant(ask.text("at"), ask.text("tz", "UTC"))
        channel = ask.maybe("channel")
        channel = _CHANNEL.get(channel, channel) if channel else None
        person = ask.text("person", "P1")
        whom = self._persons[person]
        by = ask.text("by", "lender")
        debts = ask.texts("debts")
        act = ask.text("act", "filing" if channel == "legal" else "contact")
        move, notices = self._moves(ask)
        return at, Ask(
            act=cast("Act", act),
            channel=cast("Channel | None", channel),
            purpose=cast("Purpose", ask.text("purpose", "collect")),
            role=cast("Role", whom.text("role", "borrower")),
            person=self._id(person),
            debts=tuple(map(self._id, debts)),
            jurisdictions=self._jurisdictions(),
            zones=tuple(self._zones(whom)),
            actor=self._actor(),
            endpoint=self._endpoint(ask.maybe("endpoint"), channel, at),
            history=tuple(self._contact(row, by) for row in self._setup.rows("contacts", _CONTACT_KEYS)),
            statements=tuple(self._statements(person, by)),
            holds=tuple(self._holds(person)),
            facts=self._facts(debts),
            content={**self._said(ask, channel, at), **self._content(ask)},
            place=ask.maybe("place"),
            holidays=tuple(date.fromisoformat(day) for day in self._setup.texts("holidays")),
            move=move,
            own_id=ask.maybe("own_id"),
            by=by,
            notices=notices,
            debt_groups=self._groups(),
            override=_override(ask),
            borrower=self._id(self._borrower()),
        )

    def _borrower(self) -> str:
        return next((name for name, row in self._persons.items() if row.text("role", "borrower") == "borrower"), "P1")

    def _id(self, name: str) -> int:
        # A case names persons, debts and endpoints with letters; the gate compares numbers.
        return self._ids.setdefault(name, len(self._ids) + 1)

    def _zones(self, person: CaseRow) -> list[str]:
        return person.texts("timezones") or person.texts("zones")

    def _zone(self, person: str) -> str:
        row = self._persons.get(person)
        zones = self._zones(row) if row else []
        return zones[0] if zones else "UTC"

    def _jurisdictions(self) -> tuple[str, ...]:
        parts = self._case.text("jurisdiction").split("-")
        places = dict.fromkeys("-".join(parts[: n + 1]) for n in range(len(parts)))
        # The case names its packs; all of them apply.
        named = (place for pack in self._packs for place in sorted(pack.places) if place != EVERYWHERE)
        return tuple(dict.fromkeys((*places, *named)))

    def _actor(self) -> str:
        if stated := self._setup.maybe("actor"):
            return stated
        return next(
            (actor for actor in ("agency", *ACTORS) if all(actor in pack.actors for pack in self._packs)), "agency"
        )

    def _endpoint(self, name: str | None, channel: str | None, at: datetime) -> Endpoint | None:
        if channel is None or channel not in _CONNECTED_ENDPOINT:
            return None
        if name is None or name not in self._endpoints:
            # Nothing stated about the address: it is unobjectionable.
            kind = _CONNECTED_ENDPOINT[channel]
            number = 0 if name is None else self._id(name)
            return Endpoint(number, cast("Kind", kind), basis="direct_consent", basis_us=microseconds(at))
        row = self._endpoints[name]
        basis, marks, renewed, place, kind = "", [], [], None, _CONNECTED_ENDPOINT[channel]
        for key, value in row.items():
            match key, value:
                case "id", _:
                    pass
                case "type", str():
                    kind = value if value in {"mobile", "landline", "email", "postal"} else kind
                case "basis", str():
                    basis = value
                case "place", str():
                    place = value
                case (("last_consumer_text_or_consent" | "reassigned_check"), str()):
                    renewed.append(microseconds(instant(value, "UTC")))
                case "chain", list():
                    # The last collector before us must itself have used the address.
                    basis = basis if _chain_holds(value) else ""
                case mark, True:
                    marks.append(mark)
                case _, False | None:
                    pass
                case unknown, _:
                    raise RuleError(Problem(f"unknown key of `endpoints` `{unknown}`", "leave it out", self._place))
        return Endpoint(
            self._id(name),
            cast("Kind", kind),
            place=place,
            basis=basis,
            basis_us=max(renewed, default=None),
            marks=tuple(marks),
        )

    def _contact(self, row: CaseRow, by: str) -> PastContact:
        person = row.text("person", "P1")
        at = instant(row.text("at"), row.text("tz", "UTC"))
        endpoint, channel = row.maybe("endpoint"), row.text("channel")
        return PastContact(
            at_us=microseconds(at),
            direction="in" if row.text("direction", "out") == "in" else "out",
            channel=_CHANNEL.get(channel, channel),
            outcome=row.text("outcome", "unknown"),
            purpose=row.text("purpose", "collect"),
            person=self._id(person),
            debts=tuple(map(self._id, row.texts("debts"))),
            endpoint=self._id(endpoint) if endpoint else None,
            by=row.text("by", by),
            misdirected=row.get("misdirected") is True,
            id=row.maybe("id"),
            place=self._went(row, endpoint),
        )

    def _went(self, row: CaseRow, endpoint: str | None) -> str | None:
        """Where a contact went, as far as the case says."""
        if stated := row.maybe("place"):
            return stated
        known = self._endpoints.get(endpoint) if endpoint else None
        return None if known is None else known.text("place", "elsewhere")

    def _statements(self, person: str, by: str) -> Iterable[Statement]:
        for row in self._setup.rows("consents", _STATEMENT_KEYS):
            if row.text("person", "P1") == person:
                yield self._statement(row, person, by, "consent", row.text("scope", row.text("kind", "")))
        for row in self._setup.rows("preferences", _STATEMENT_KEYS):
            if row.text("person", "P1") == person:
                yield self._statement(row, person, by, row.text("kind"), row.text("scope", ""))

    def _statement(self, row: CaseRow, person: str, by: str, kind: str, scope: str) -> Statement:
        zone = row.text("tz", self._zone(person))
        ends = [last_moment(value, self._zone(person)) for key in ("until", "revoked_at") if (value := row.maybe(key))]
        endpoint = row.maybe("endpoint")
        given_to = row.maybe("given_to") or row.text("stated_to", "collector")
        windows = [*row.rows("windows", ("from", "to", "days")), *row.rows("window", ("from", "to", "days"))]
        return Statement(
            kind=kind,
            at_us=microseconds(instant(row.text("at"), zone)),
            scope=scope,
            channels=tuple(row.texts("channels") or row.texts("channel")),
            endpoint=self._id(endpoint) if endpoint else None,
            debts=tuple(map(self._id, row.texts("debts"))),
            purposes=tuple(row.texts("purposes")),
            given_to=by if given_to == "collector" and by != "lender" else given_to,
            until_us=microseconds(min(ends)) if ends else None,
            windows=tuple(map(_window, windows)),
            only_on=tuple(date.fromisoformat(day) for day in row.texts("only_on")),
            place=row.maybe("place"),
            form=row.text("form", ""),
        )

    def _holds(self, person: str) -> Iterable[Hold]:
        for row in self._setup.rows("notices", _NOTICE_KEYS):
            if row.text("person", "P1") != person and row.get("debts") is None:
                continue
            if row.get("notice") is not None or row.get("attorney") in {False, "unknown"}:
                continue
            zone = row.text("tz", self._zone(person))
            starts = row.maybe("starts_on") or row.text("received_at")
            ends: list[datetime] = []
            if value := row.maybe("ends_on"):
                ends.append(last_moment(value, zone))
            if value := row.maybe("ended_at"):
                ends.append(instant(value, zone))
            if value := row.maybe("treatment_ended_on"):
                ends.append(last_moment(value, zone) + _MENTAL_AFTER)
            yield Hold(
                kind=_HOLD_OF.get(row.text("kind"), row.text("kind")),
                starts_us=microseconds(instant(starts, zone)),
                ends_us=microseconds(min(ends)) if ends else None,
                blocks=tuple(row.texts("channels")),
                debts=tuple(map(self._id, row.texts("debts"))),
                form=row.text("form", ""),
            )

    def _moves(self, ask: CaseRow) -> tuple[Move | None, dict[str, date]]:
        served = self._setup.rows("notices", _NOTICE_KEYS)
        notices = {
            row.text("notice"): date.fromisoformat(row.text("effective_on")) for row in served if row.get("notice")
        }
        if ask.get("move") is None:
            return None, notices
        move = ask.inner("move", ("from", "to", "notice_days"))
        days = move.get("notice_days")
        stages = cast("Stage", move.text("from")), cast("Stage", move.text("to"))
        return Move(*stages, notices, days if isinstance(days, int) else 0), notices

    def _facts(self, debts: list[str]) -> dict[str, FactValue]:
        facts: dict[str, FactValue] = {}
        for debt in debts:
            row = self._debts[debt]
            facts["product"] = row.maybe("kind")
            facts.update(dict.fromkeys(row.texts("flags"), True))
        for table in ("flags", "facts"):
            facts.update(_facts_of(self._setup.inner(table, None).items()))
        return facts

    def _said(self, ask: CaseRow, channel: str | None, at: datetime) -> dict[str, FactValue]:
        """What the packs' rules find in the text that the case quotes."""
        if (text := ask.maybe("text")) is None:
            return {}
        purpose = cast("Purpose", ask.text("purpose", "collect"))
        language = ask.text("language", "en")
        return text_facts(text, language, cast("Channel", channel), purpose, self._packs, on=at.date())

    def _content(self, ask: CaseRow) -> dict[str, FactValue]:
        content = _facts_of(ask.inner("content", None).items())
        for key in ("line", "collectors_present", "recorded"):
            value = ask.get(key)
            if isinstance(value, str | int | bool):
                content[key] = value
        return content

    def _groups(self) -> dict[int, str]:
        """Student loans serviced under one account number are one debt (12 CFR 1006.14(b)(4))."""
        return {
            self._id(name): row.text("account")
            for name, row in self._debts.items()
            if row.get("kind") == "student_loan" and row.get("account")
        }


def _override(ask: CaseRow) -> Override | None:
    if ask.get("override") is None:
        return None
    aside = ask.inner("override", ("rule", "ground"))
    return Override(aside.text("rule"), aside.text("ground"))


def _facts_of(items: Iterable[tuple[str, Plain]]) -> dict[str, FactValue]:
    return {key: value for key, value in items if isinstance(value, str | int | bool)}


def _chain_holds(chain: list[Plain]) -> bool:
    last = chain[-1] if chain else None
    return isinstance(last, dict) and last.get("used") is True and last.get("opted_out") is not True


def _window(row: CaseRow) -> LocalWindow:
    days = tuple(_DAYS.index(day[:3].lower()) for day in row.texts("days"))
    return LocalWindow(_minute(row.text("from", "00:00")), _minute(row.text("to", "24:00")), days)


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")[:2]
    return int(hour) * 60 + int(minute)
