"""
From columns and facts to values: the `Situation` of each borrower, as a decision or a second look wants it.

Only borrowers who have something to decide come through here, so this may be plain Python: the columns of the
others are never turned into objects.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.situation import Loan, Person, RuleUse, Situation
from engine.slots import repeat_key
from engine.stages import Stage
from engine.tree import FactValue
from store.book import RawBook
from store.columns import from_us
from store.fact_sql.clock import day_at
from store.grouping import among, by_key, grouped, is_among
from store.people import outcome, people

if TYPE_CHECKING:
    import pyarrow as pa

Facts = Mapping[str, FactValue]


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
    for borrower_id in sorted(borrowers):
        borrower = rows.people[borrower_id]
        on = day_at(borrower.zones, now)
        loans = tuple([_loan(row, borrower, on, facts[row.id], rows, happened) for row in rows.loans[borrower_id]])
        others = {
            person: rows.people[person] for loan in loans for person, _role in loan.parties if person != borrower_id
        }
        events = happened.by_person.get(borrower_id, frozenset())
        yield Situation(borrower, loans, others, on, events, actor)


class _LoanRow(NamedTuple):
    id: int
    ref: str
    stage: Stage
    stage_entry: int
    basis: str
    episode: int
    episode_on: date | None


class _Notice(NamedTuple):
    person_id: int
    kind: str
    sent_on: date
    effective_on: date


_USE: Final = (
    "rule", "at", "stage_entry", "status", "outcome", "period_json", "slot", "run_id", "person_id", "channel",
)  # fmt: skip


class _Rows:
    """What there is of the wanted borrowers and of the people around them, by what it belongs to."""

    def __init__(self, book: RawBook, borrowers: Collection[int]) -> None:
        loan = among(book.loan, "borrower_id", borrowers)
        loans = loan["id"].to_pylist()
        party, notice, promise = (among(table, "loan_id", loans) for table in (book.party, book.notice, book.promise))
        persons = {*borrowers, *party["person_id"].to_pylist()}
        contacts = _contacts(book.contact, persons, loans)
        used = contacts.filter(contacts["rule"].is_valid())
        self.loans = grouped(loan, "borrower_id", ("id",), _LoanRow._fields, _LoanRow)
        self.people = people(book, persons, contacts)
        self.parties = grouped(party, "loan_id", ("person_id", "role"), ("person_id", "role"))
        self.uses = grouped(used, "loan_id", ("at", "id"), _USE)
        self.notices = grouped(notice, "loan_id", ("effective_on",), _Notice._fields, _Notice)
        self.promises = grouped(promise, "loan_id", ("made_at", "id"), ("id",), str)
        self.first_open = by_key(book.position, "loan_id", "first_open_on")
        self.next_due = by_key(book.account_snapshot, "loan_id", "next_due_on")


def _contacts(contact: "pa.Table", persons: Collection[int], loans: Collection[int]) -> "pa.Table":
    import pyarrow.compute as pc

    return contact.filter(pc.or_(is_among(contact, "person_id", persons), is_among(contact, "loan_id", loans)))


def _loan(row: _LoanRow, borrower: Person, on: date, facts: Facts, rows: _Rows, happened: Happened) -> Loan:
    notices: dict[str, date] = {}
    for notice in rows.notices.get(row.id, ()):
        if notice.person_id == borrower.id and _is_of_today(notice, row, on, facts):
            notices.setdefault(notice.kind, notice.effective_on)
    return Loan(
        id=row.id,
        ref=row.ref,
        stage=row.stage,
        stage_entry=row.stage_entry,
        facts=facts,
        parties=tuple(rows.parties.get(row.id, ())),
        notices=notices,
        uses=tuple([_use(borrower.zones, *used) for used in rows.uses.get(row.id, ())]),
        periods=_periods(row, rows),
        events=happened.by_loan.get(row.id, frozenset()),
        retry=happened.retry.get(row.id, frozenset()),
    )


def _is_of_today(notice: _Notice, loan: _LoanRow, on: date, facts: Facts) -> bool:
    """Whether a notice was sent since this spell or these arrears began, as the facts about notices have it."""
    dpd = facts.get("dpd")
    in_spell = loan.episode_on is not None and notice.sent_on >= loan.episode_on
    return in_spell or (type(dpd) is int and (on - notice.sent_on).days <= dpd)


def _periods(row: _LoanRow, rows: _Rows) -> dict[str, str]:
    periods = {"episode": str(row.episode)}
    due_on = rows.first_open.get(row.id)
    if row.basis == "account" and row.id in rows.next_due:
        due_on = rows.next_due[row.id]
    if due_on is not None:
        periods["due_date"] = due_on.isoformat()
    if promises := rows.promises.get(row.id):
        periods["promise"] = promises[-1]
    return periods


def _use(
    zones: tuple[str, ...], rule: str, at_us: int, stage_entry: int, status: str, came_of_it: str, period_json: str,
    slot: str, run: int | None, person: int, channel: str,
) -> RuleUse:  # fmt: skip
    return RuleUse(
        rule=rule,
        on=day_at(zones, from_us(at_us)),
        stage_entry=stage_entry,
        outcome=outcome(status, came_of_it),
        per=json.loads(period_json),
        key=repeat_key(slot) if run is not None else "",
        person=person,
        channel=channel,
    )
