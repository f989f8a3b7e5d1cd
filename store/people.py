"""From columns to people: who may be addressed, how, what they have heard of us and what they have told us."""

import json
from collections.abc import Collection, Mapping
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from engine.gate import UNREADABLE, Endpoint, Hold, LocalWindow, PastContact, Statement
from engine.situation import Person
from store.book import RawBook
from store.grouping import Groups, among, by_key, grouped, is_among
from store.tables.people import ORAL

if TYPE_CHECKING:
    import pyarrow as pa

_NOT_YET: Final = frozenset({"planned", "claimed", "sending", "unknown", "cancelled", "expired"})
"""Statuses that say more than an outcome could: nothing has become of these contacts, or never will."""

_NEVER_WAS: Final = ("cancelled", "expired")
_PERSON: Final = ("id", "zones", "country", "region", "language")
_ENDPOINT: Final = (
    "id",
    "kind",
    "zone",
    "valid",
    "place",
    "basis",
    "basis_at",
    "rank",
    "marks",
    "learnt_marks",
)
STATEMENT_COLUMNS: Final = (
    "kind", "received_at", "scope", "channels", "endpoint_id", "detail_json", "purposes", "given_to", "until_at",
    "how",
)  # fmt: skip
_HOLD: Final = ("kind", "starts_at", "ends_at", "blocks", "loan_id", "form")
_PAST: Final = (
    "id", "at", "direction", "channel", "status", "outcome", "purpose", "person_id", "loan_id", "endpoint_id", "by",
    "misdirected",
)  # fmt: skip


def people(book: RawBook, ids: Collection[int], contacts: "pa.Table") -> dict[int, Person]:
    """
    These people, by id.

    Args:
        contacts: those of the book that are with them or about their loans.
    """
    endpoint = among(book.endpoint, "person_id", ids)
    endpoints = grouped(endpoint, "person_id", ("id",), _ENDPOINT, _endpoint)
    consent, hold = among(book.consent, "person_id", ids), among(book.hold, "person_id", ids)
    statements = grouped(consent, "person_id", ("received_at", "id"), STATEMENT_COLUMNS, statement)
    holds = grouped(hold, "person_id", ("id",), _HOLD, _hold)
    places = {one: place or "elsewhere" for one, place in by_key(endpoint, "id", "place").items()}
    histories = _histories(book, contacts, places)
    person = among(book.person, "id", ids)
    found = {}
    for one, zones, country, region, language in zip(*(person[name].to_pylist() for name in _PERSON), strict=True):
        reached = tuple(endpoints.get(one, ()))
        found[one] = Person(
            id=one,
            zones=_zones(zones, tuple([endpoint.zone for endpoint in reached if endpoint.zone and endpoint.valid])),
            jurisdictions=jurisdictions(country, region),
            language=language,
            endpoints=reached,
            history=tuple(histories.get(one, ())),
            statements=tuple(statements.get(one, ())),
            holds=tuple(holds.get(one, ())),
        )
    return found


def _endpoint(
    endpoint: int, kind: Any, zone: str | None, valid: bool, place: str | None, basis: str, basis_us: int | None, rank: int,
    marks: str, learnt_marks: str,
) -> Endpoint:  # fmt: skip
    known = _words(f"{marks} {learnt_marks}") if marks or learnt_marks else ()
    return Endpoint(endpoint, kind, zone, valid, place, basis, basis_us, rank, tuple(sorted(set(known))))


def outcome(status: str, came_of_it: str) -> str:
    """What a contact counts as: what became of it, or how far it has come."""
    if status in _NOT_YET:
        return "planned" if status == "claimed" else status
    return came_of_it or status


@lru_cache
def jurisdictions(country: str | None, region: str | None) -> tuple[str, ...]:
    """From broad to narrow: ("US", "US-MA"). Empty is unknown."""
    if not country:
        return ()
    if not region:
        return (country,)
    return (country, region if region.startswith(f"{country}-") else f"{country}-{region}")


def statement(
    kind: str, at_us: int, scope: str, channels: str, endpoint: int | None, detail_json: str, purposes: str,
    given_to: str, until_us: int | None, how: str,
) -> Statement:  # fmt: skip
    """One line of the consent ledger, from its columns; instants are microseconds."""
    try:
        debts, windows, only_on, place = _detail(detail_json)
    except (ValueError, KeyError, TypeError, AttributeError):
        # Nobody can say what it forbids, so it forbids everything; it must not stop the loans beside it.
        return Statement(UNREADABLE, at_us)
    return Statement(
        kind, at_us, scope, _words(channels), endpoint, debts, _words(purposes), given_to, until_us, windows, only_on,
        place, "oral" if how in ORAL else "",
    )  # fmt: skip


def read_statement(row: Mapping[str, Any]) -> Statement:
    """The same from a row by column."""
    return statement(*(row[column] for column in STATEMENT_COLUMNS))


@lru_cache(maxsize=4096)
def _detail(text: str) -> tuple[tuple[int, ...], tuple[LocalWindow, ...], tuple[date, ...], str | None]:
    detail = json.loads(text)
    windows = (LocalWindow(w["from"], w["to"], tuple(w.get("days", ()))) for w in detail.get("windows", ()))
    only_on = (date.fromisoformat(day) for day in detail.get("only_on", ()))
    return tuple(detail.get("debts", ())), tuple(windows), tuple(only_on), detail.get("place")


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@lru_cache(maxsize=4096)
def _zones(declared: str, of_endpoints: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*declared.split(), *of_endpoints}))


def _hold(kind: str, starts: int, ends: int | None, blocks: str, loan: int | None, form: str) -> Hold:
    return Hold(kind, starts, ends, _words(blocks), () if loan is None else (loan,), form)


def _histories(book: RawBook, contacts: "pa.Table", places: Mapping[int, str]) -> Groups:
    """
    By person: every contact that counts, oldest first.

    Args:
        places: endpoint id -> home, work, or elsewhere when it is tied to none.
    """
    import pyarrow.compute as pc

    told = contacts.filter(pc.invert(is_among(contacts, "status", _NEVER_WAS)))
    about = grouped(book.contact_loan, "contact_id", ("loan_id",), ("loan_id",), int)

    def past(
        contact: str, at_us: int, direction: Any, channel: str, status: str, came_of_it: str, purpose: str, person: int,
        loan: int, endpoint: int | None, by: str, misdirected: bool,
    ) -> PastContact:  # fmt: skip
        counts_as, debts = outcome(status, came_of_it), tuple(about.get(contact, (loan,)))
        place = None if endpoint is None else places.get(endpoint)
        return PastContact(
            at_us, direction, channel, counts_as, purpose, person, debts, endpoint, by, misdirected, contact, place
        )

    return grouped(told, "person_id", ("at", "id"), _PAST, past)
