"""What is committed before a message is sent stops it, whoever wrote it and however late."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import col, select

from engine.gate import Ask, Verdict
from store.columns import to_us
from store.db import Database
from store.tables import Consent, Endpoint, Hold, Loan, Person
from tests.factories import add_payment
from tests.outgoing import (
    AMOUNT,
    NOW,
    TODAY,
    SmallGate,
    add,
    book,
    borrower_of,
    contact_of,
    counts,
    door_of,
    go,
    plan,
    rows,
    statuses,
    to,
)


def paid(database: Database, loan: int) -> None:
    add_payment(database, loan, AMOUNT, TODAY, recorded_at=NOW - timedelta(minutes=1))


def held(database: Database, loan: int) -> None:
    add(database, hold(database, loan), bump=borrower_of(database, loan))


def hold(database: Database, loan: int) -> Hold:
    return Hold(
        person_id=borrower_of(database, loan), loan_id=loan, kind="dispute", owner="somebody", review_on=TODAY,
        starts_at=NOW - timedelta(hours=1), recorded_at=NOW, ref=f"hold-{loan}",
    )  # fmt: skip


def opted_out(database: Database, loan: int) -> None:
    person = borrower_of(database, loan)
    said = Consent(
        person_id=person,
        kind="opt_out",
        channels="sms",
        received_at=NOW - timedelta(hours=1),
        recorded_at=NOW - timedelta(hours=1),
        ref=f"o-{loan}",
    )
    add(database, said, bump=person)


def moved_on(database: Database, loan: int) -> None:
    with database.write() as session:
        row = session.get_one(Loan, loan)
        row.stage, row.stage_entry = "phone", 2
        session.get_one(Person, row.borrower_id).version += 1


def number_died(database: Database, loan: int) -> None:
    with database.write() as session:
        person = session.get_one(Person, session.get_one(Loan, loan).borrower_id)
        person.version += 1
        for endpoint in session.exec(select(Endpoint).where(col(Endpoint.person_id) == person.id)):
            endpoint.valid = False


FORBIDS = {
    "paid": (paid, "rule text does not match any more"),
    "held": (held, "refused: test.hold"),
    "opted out": (opted_out, "refused: test.opted_out"),
    "another stage": (moved_on, "the loan has moved to stage phone"),
    "number invalid": (number_died, "the number or address is not valid any more"),
}


@pytest.mark.parametrize("what", FORBIDS)
def test_what_was_committed_before_the_look_stops_it(sqlite_database: Database, what: str) -> None:
    """A payment, hold, opt-out or move after planning cancels the contact, and the log says why."""
    forbid, why = FORBIDS[what]
    (loan,) = book(sqlite_database)
    planned = plan(sqlite_database, loan, "mail" if forbid is number_died else "text")
    forbid(sqlite_database, loan)
    adapter, wired = to(sqlite_database)
    assert counts(go(door_of(**wired))) == {"cancelled": 1}
    assert adapter.seen == []
    assert contact_of(sqlite_database, planned).why == why
    assert statuses(sqlite_database, planned) == ["planned", "cancelled"]


@pytest.mark.parametrize("what", FORBIDS)
def test_what_is_committed_between_the_look_and_sending_stops_it(database: Database, what: str) -> None:
    """Whatever forbids a contact while it is being looked at is noticed by its version, and it is looked at again."""
    forbid, _ = FORBIDS[what]
    (loan,) = book(database)
    planned = plan(database, loan, "mail" if forbid is number_died else "text")
    adapter, wired = to(database)
    door = door_of(**wired)
    looks = []

    def read(borrowers: object, now: datetime) -> object:
        fresh = door.situations(borrowers, now)  # type: ignore[arg-type]
        if not looks:
            forbid(database, loan)
        looks.append(1)
        return fresh

    done = go(replace(door, situations=read))  # type: ignore[arg-type]
    assert counts(done) == {"redo": 1, "cancelled": 1}
    assert (adapter.seen, len(looks)) == ([], 2)
    assert statuses(database, planned) == ["planned", "planned", "cancelled"]


class ByTheClock(SmallGate):
    """Heeds only what was said and stood at the instant that is asked about, as packs of law do."""

    def check(self, ask: Ask, now: datetime) -> Verdict:
        heard = tuple(said for said in ask.statements if said.at_us <= to_us(now))
        standing = tuple(hold for hold in ask.holds if hold.starts_us <= to_us(now))
        return super().check(replace(ask, statements=heard, holds=standing), now)


@pytest.mark.parametrize("what", ["held", "opted out", "held later"])
def test_what_a_faster_clock_wrote_down_stops_it_at_once(database: Database, what: str) -> None:
    """
    What is on file has been said, though its instant is ahead: another machine's clock is, or it came during the claim.

    Only what was written down for later comes later.
    """
    (loan,) = book(database)
    plan(database, loan)
    soon, person = NOW + timedelta(minutes=5), borrower_of(database, loan)
    if what == "opted out":
        add(
            database,
            Consent(person_id=person, kind="opt_out", received_at=soon, recorded_at=NOW, ref="ahead"),
            bump=person,
        )
    else:
        row = hold(database, loan)
        row.starts_at, row.recorded_at = soon, NOW if what == "held later" else soon
        add(database, row, bump=person)
    _, wired = to(database)
    assert counts(go(door_of(gate=ByTheClock(), **wired))) == {"sent" if what == "held later" else "cancelled": 1}


def test_a_bulk_import_stops_it_as_well(database: Database, tmp_path: Path) -> None:
    """A payment that a file brings between the look and `sending` stops the contact."""
    from engine.catalogue import load_catalogue
    from workflows.importing import KINDS, import_file

    (loan,) = book(database)
    plan(database, loan)
    ref = rows(database, Loan)[0].ref
    columns = [column.name for column in KINDS["movements"].columns]
    values = {"ref": "x1", "loan": ref, "kind": "payment", "amount": "100.00", "effective_on": "2026-11-24",
              "recorded_at": "2026-11-24T03:59:00+00:00"}  # fmt: skip
    file = tmp_path / "movements.csv"
    file.write_text(",".join(columns) + "\n" + ",".join(values.get(name, "") for name in columns) + "\n")
    adapter, wired = to(database)
    door = door_of(**wired)
    done = []

    def read(borrowers: object, now: datetime) -> object:
        fresh = door.situations(borrowers, now)  # type: ignore[arg-type]
        if not done:
            done.append(import_file(database, KINDS["movements"], file, as_of=NOW, now=NOW, catalogue=load_catalogue()))
        return fresh

    assert counts(go(replace(door, situations=read))) == {"redo": 1, "cancelled": 1}  # type: ignore[arg-type]
    assert (adapter.seen, done[0].added) == ([], 1)
