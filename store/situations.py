"""
From rows and facts to values: the `Situation` of each borrower, as a decision or a second look wants it.

Only borrowers who have something to decide come through here, so this may be plain Python: the columns of the
others are never turned into objects.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, cast

from engine.gate import UNREADABLE, Endpoint, Hold, LocalWindow, PastContact, Role, Statement
from engine.situation import Loan, Person, RuleUse, Situation
from engine.slots import repeat_key
from engine.stages import Stage
from engine.tree import FactValue
from store.book import RawBook
from store.columns import from_us
from store.fact_sql.clock import day_at

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Facts = Mapping[str, FactValue]

_NOT_YET = frozenset({"planned", "claimed", "sending", "unknown", "cancelled", "expired"})
"""Statuses that say more than an outcome could: nothing has become of these contacts, or never will."""
_ORAL = frozenset({"phone", "call", "visit", "oral", "in_person"})
"""Ways of saying something that leave nothing written; whatever else stands in `how` is taken as written."""


@dataclass(frozen=True, slots=True)
class Happened:
    """
    What a decision reacts to, beside the facts.

    Attributes:
        by_person: borrower id -> names of events that are about the borrower as a whole.
        by_loan: loan id -> names of events that are about that loan.
        retry: loan id -> rules whose contact, called for by an event, the gate put off.
    """

    by_person: Mapping[int, frozenset[str]] = field(default_factory=dict)
    by_loan: Mapping[int, frozenset[str]] = field(default_factory=dict)
    retry: Mapping[int, frozenset[str]] = field(default_factory=dict)


def situations(
    book: RawBook,
    facts: Mapping[int, Facts],
    borrowers: Collection[int],
    *,
    now: datetime,
    happened: Happened | None = None,
    actor: str = "first_party",
) -> Iterator[Situation]:
    """
    The situations of these borrowers, in id order.

    Args:
        book: holds them, and whoever stands in a role for their loans.
        facts: by loan id, missing facts left out.
        now: the instant of the decision; says what today is at the borrower's place.
    """
    happened = happened or Happened()
    rows = _Rows(book, borrowers)
    people = {person["id"]: _person(person, rows) for person in rows.people}
    for borrower_id in sorted(borrowers):
        borrower = people[borrower_id]
        on = day_at(borrower.zones, now)
        loans = tuple(_loan(row, borrower, on, facts[row["id"]], rows, happened) for row in rows.loans[borrower_id])
        others = {person: people[person] for loan in loans for person, _role in loan.parties if person != borrower_id}
        events = happened.by_person.get(borrower_id, frozenset())
        yield Situation(borrower, loans, others, on, events, actor)


class _Rows:
    """The rows of the wanted borrowers, grouped by what they belong to, each group in a fixed order."""

    def __init__(self, book: RawBook, borrowers: Collection[int]) -> None:
        self.loans = _grouped(_of(book.loan, "borrower_id", borrowers), "borrower_id", ("id",))
        loan_ids = [row["id"] for rows in self.loans.values() for row in rows]
        self.parties = _grouped(_of(book.party, "loan_id", loan_ids), "loan_id", ("person_id", "role"))
        persons = set(borrowers) | {row["person_id"] for rows in self.parties.values() for row in rows}
        self.people = _of(book.person, "id", persons)
        endpoints = _of(book.endpoint, "person_id", persons)
        self.endpoints = _grouped(endpoints, "person_id", ("id",))
        self._places = {row["id"]: row["place"] or "elsewhere" for row in endpoints}
        self.consents = _grouped(_of(book.consent, "person_id", persons), "person_id", ("received_at", "id"))
        self.holds = _grouped(_of(book.hold, "person_id", persons), "person_id", ("id",))
        contacts = _of(book.contact, "person_id", persons)
        known = {row["id"] for row in contacts}
        contacts += [row for row in _of(book.contact, "loan_id", loan_ids) if row["id"] not in known]
        self.contacts = _grouped(contacts, "person_id", ("at", "id"))
        self.uses = _grouped([row for row in contacts if row["rule"]], "loan_id", ("at", "id"))
        about = _of(book.contact_loan, "contact_id", [row["id"] for row in contacts])
        self.debts = _grouped(about, "contact_id", ("loan_id",))
        self.notices = _grouped(_of(book.notice, "loan_id", loan_ids), "loan_id", ("effective_on",))
        self.positions = {row["loan_id"]: row for row in _of(book.position, "loan_id", loan_ids)}
        self.snapshots = {row["loan_id"]: row for row in _of(book.account_snapshot, "loan_id", loan_ids)}
        self.promises = _grouped(_of(book.promise, "loan_id", loan_ids), "loan_id", ("made_at", "id"))

    def place(self, endpoint: int | None) -> str | None:
        """Where a contact at this endpoint went: home, work, or elsewhere when it is tied to none; None is not known."""
        return None if endpoint is None else self._places.get(endpoint)


def _of(table: "pa.Table", column: str, values: Collection[Any]) -> list[Row]:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(list(values), table.schema.field(column).type)
    rows: list[Row] = table.filter(pc.is_in(table[column], value_set=wanted)).to_pylist()
    return rows


def _grouped(rows: Sequence[Row], by: str, order: tuple[str, ...]) -> dict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: tuple(row[name] for name in order)):
        groups[row[by]].append(row)
    return groups


def _person(row: Row, rows: _Rows) -> Person:
    person_id = row["id"]
    endpoints = tuple(_endpoint(e) for e in rows.endpoints.get(person_id, ()))
    zones = {*row["zones"].split(), *(e.zone for e in endpoints if e.zone and e.valid)}
    return Person(
        id=person_id,
        zones=tuple(sorted(zones)),
        jurisdictions=jurisdictions(row["country"], row["region"]),
        language=row["language"],
        endpoints=endpoints,
        history=tuple(_past(c, rows) for c in rows.contacts.get(person_id, ()) if _counts(c)),
        statements=tuple(read_statement(s) for s in rows.consents.get(person_id, ())),
        holds=tuple(_hold(h) for h in rows.holds.get(person_id, ())),
    )


def jurisdictions(country: str | None, region: str | None) -> tuple[str, ...]:
    """From broad to narrow: ("US", "US-MA"). Empty is unknown."""
    if not country:
        return ()
    if not region:
        return (country,)
    return (country, region if region.startswith(f"{country}-") else f"{country}-{region}")


def _endpoint(row: Row) -> Endpoint:
    return Endpoint(
        id=row["id"],
        kind=row["kind"],
        zone=row["zone"],
        valid=row["valid"],
        place=row["place"],
        basis=row["basis"],
        basis_us=row["basis_at"],
        rank=row["rank"],
        marks=tuple(sorted({*row["marks"].split(), *row["learnt_marks"].split()})),
    )


def _counts(contact: Row) -> bool:
    return contact["status"] not in {"cancelled", "expired"}


def outcome(contact: Row) -> str:
    """What a contact counts as: what became of it, or how far it has come."""
    status: str = contact["status"]
    if status in _NOT_YET:
        return "planned" if status == "claimed" else status
    return str(contact["outcome"] or status)


def _past(row: Row, rows: _Rows) -> PastContact:
    return PastContact(
        at_us=row["at"],
        direction=row["direction"],
        channel=row["channel"],
        outcome=outcome(row),
        purpose=row["purpose"],
        person=row["person_id"],
        debts=tuple(about["loan_id"] for about in rows.debts.get(row["id"], ())) or (row["loan_id"],),
        endpoint=row["endpoint_id"],
        by=row["by"],
        misdirected=row["misdirected"],
        id=row["id"],
        place=rows.place(row["endpoint_id"]),
    )


def read_statement(row: Row) -> Statement:
    """A row of the ledger as the gate reads it; instants are microseconds."""
    try:
        return _read_statement(row)
    except (ValueError, KeyError, TypeError, AttributeError):
        # Nobody can say what it forbids, so it forbids everything; it must not stop the loans beside it.
        return Statement(UNREADABLE, row["received_at"])


def _read_statement(row: Row) -> Statement:
    detail = json.loads(row["detail_json"])
    windows = (LocalWindow(w["from"], w["to"], tuple(w.get("days", ()))) for w in detail.get("windows", ()))
    return Statement(
        kind=row["kind"],
        at_us=row["received_at"],
        scope=row["scope"],
        channels=tuple(row["channels"].split()),
        endpoint=row["endpoint_id"],
        debts=tuple(detail.get("debts", ())),
        purposes=tuple(row["purposes"].split()),
        given_to=row["given_to"],
        until_us=row["until_at"],
        windows=tuple(windows),
        only_on=tuple(date.fromisoformat(day) for day in detail.get("only_on", ())),
        place=detail.get("place"),
        form="oral" if row["how"] in _ORAL else "",
    )


def _hold(row: Row) -> Hold:
    return Hold(
        kind=row["kind"],
        starts_us=row["starts_at"],
        ends_us=row["ends_at"],
        blocks=tuple(row["blocks"].split()),
        debts=(row["loan_id"],) if row["loan_id"] is not None else (),
        form=row["form"],
    )


def _loan(row: Row, borrower: Person, on: date, facts: Facts, rows: _Rows, happened: Happened) -> Loan:
    loan_id = row["id"]
    notices: dict[str, date] = {}
    for notice in rows.notices.get(loan_id, ()):
        if notice["person_id"] == borrower.id and _is_of_today(notice, row, on, facts):
            notices.setdefault(notice["kind"], notice["effective_on"])
    return Loan(
        id=loan_id,
        ref=row["ref"],
        stage=cast("Stage", row["stage"]),
        stage_entry=row["stage_entry"],
        facts=facts,
        parties=tuple((party["person_id"], cast("Role", party["role"])) for party in rows.parties.get(loan_id, ())),
        notices=notices,
        uses=tuple(_use(contact, borrower.zones) for contact in rows.uses.get(loan_id, ())),
        periods=_periods(row, rows),
        events=happened.by_loan.get(loan_id, frozenset()),
        retry=happened.retry.get(loan_id, frozenset()),
    )


def _is_of_today(notice: Row, loan: Row, on: date, facts: Facts) -> bool:
    """Whether a notice was sent since this spell or these arrears began, as the facts about notices have it."""
    dpd = facts.get("dpd")
    in_spell = loan["episode_on"] is not None and notice["sent_on"] >= loan["episode_on"]
    return in_spell or (type(dpd) is int and (on - notice["sent_on"]).days <= dpd)


def _periods(row: Row, rows: _Rows) -> dict[str, str]:
    periods = {"episode": str(row["episode"])}
    position = rows.positions.get(row["id"])
    snapshot = rows.snapshots.get(row["id"])
    due_on = position["first_open_on"] if position else None
    if row["basis"] == "account" and snapshot:
        due_on = snapshot["next_due_on"]
    if due_on is not None:
        periods["due_date"] = due_on.isoformat()
    if promises := rows.promises.get(row["id"]):
        periods["promise"] = str(promises[-1]["id"])
    return periods


def _use(contact: Row, zones: tuple[str, ...]) -> RuleUse:
    return RuleUse(
        rule=contact["rule"],
        on=day_at(zones, from_us(contact["at"])),
        stage_entry=contact["stage_entry"],
        outcome=outcome(contact),
        per=json.loads(contact["period_json"]),
        key=repeat_key(contact["slot"]) if contact["run_id"] is not None else "",
        person=contact["person_id"],
        channel=contact["channel"],
    )
