"""What is wrong with one contact holds that one, and the others go."""

from datetime import datetime

import pytest
from sqlalchemy import text

from engine.errors import StoreError
from store.db import Database
from store.tables import Consent
from tests.outgoing import NOW, SmallGate, add, book, borrower_of, contact_of, counts, door_of, go, plan, to


def test_what_cannot_be_said_is_cancelled_and_the_others_go(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """An unsayable or broken template, an empty zone, a gate that raises: each holds its own contact, with the reason."""
    loans = book(database, 4)
    unsayable, broken = plan(database, loans[0], "odd"), plan(database, loans[1], "odder")
    surprising = plan(database, loans[2])
    good = plan(database, loans[3])

    class Surprising(SmallGate):
        def check(self, ask, now):  # type: ignore[no-untyped-def]
            if ask.person == borrower_of(database, loans[2]):
                raise ValueError("Somebody Number1 at +8613000000001")
            return super().check(ask, now)

    adapter, wired = to(database, gate=Surprising())
    assert counts(go(door_of(**wired))) == {"unsayable": 2, "cancelled": 1, "sent": 1}
    assert adapter.seen == [good]
    assert contact_of(database, unsayable).why == "template `unsayable` says `promise.amount`, which is not known"
    assert contact_of(database, broken).why == "its message could not be composed (KeyError)"
    assert contact_of(database, surprising).why == "it could not be judged (ValueError)"
    alerts = [record for record in caplog.records if getattr(record, "action", "") == "alert"]
    assert {getattr(record, "contact", "") for record in alerts} == {broken, surprising}
    assert "Somebody" not in caplog.text
    assert "+86" not in caplog.text


def test_one_damaged_name_or_number_does_not_stop_the_others(database: Database) -> None:
    """What no longer opens as it was sealed costs the message to whom it is about, and no other."""
    loans = book(database, 3)
    nameless, numberless, good = (plan(database, loan) for loan in loans)
    with database.write() as session:
        for table, key, broken in (
            ("person", borrower_of(database, loans[0]), "name"),
            ("endpoint", contact_of(database, numberless).endpoint_id, "value"),
        ):
            session.execute(text(f"update {table} set {broken} = substr({broken}, 1, 30) where id = {key}"))
    adapter, wired = to(database)
    assert counts(go(door_of(**wired))) == {"unsayable": 2, "sent": 1}
    assert adapter.seen == [good]
    assert contact_of(database, nameless).why == "its message could not be composed (Unopened)"


def test_one_unreadable_person_does_not_stop_the_others(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A row on file that cannot be read holds the contacts of whom it is about only."""
    loans = book(sqlite_database, 3)
    sick = borrower_of(sqlite_database, loans[1])
    plan(sqlite_database, loans[1], status="delivered", period_json="{")
    ids = [plan(sqlite_database, loan) for loan in loans]
    _adapter, wired = to(sqlite_database)
    assert counts(go(door_of(**wired))) == {"sent": 2, "cancelled": 1}
    assert contact_of(sqlite_database, ids[1]).why == "what is on file about the borrower cannot be read"
    assert [record.borrower for record in caplog.records if hasattr(record, "borrower")] == [sick]


def test_a_statement_nobody_can_read_is_a_refusal_and_an_alert(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """What a person said and nobody can read closes everything to them, and is counted and told once; the others go."""
    loans = book(sqlite_database, 4)
    for n, loan in enumerate(loans[:2]):
        person = borrower_of(sqlite_database, loan)
        said = Consent(
            person_id=person, kind="opt_out", received_at=NOW, recorded_at=NOW, ref=f"sick-{n}", detail_json="{"
        )
        add(sqlite_database, said, bump=person)
    ids = [plan(sqlite_database, loan) for loan in loans]
    _adapter, wired = to(sqlite_database)
    assert counts(go(door_of(**wired))) == {"sent": 2, "cancelled": 2, "unknown.statement": 2}
    assert contact_of(sqlite_database, ids[0]).why == "refused: gate.unknown.statement"
    (alert,) = [record for record in caplog.records if getattr(record, "action", "") == "alert"]
    assert (alert.unknown, alert.count) == ("statement", 2)


def test_a_database_that_gives_way_gives_the_claims_back(sqlite_database: Database) -> None:
    """When the book cannot be read in the middle, what was claimed is planned again at once."""
    (loan,) = book(sqlite_database)
    text = plan(sqlite_database, loan)
    adapter, wired = to(sqlite_database)

    def away(borrowers: object, now: datetime) -> object:
        from engine.errors import Problem

        raise StoreError(Problem("`book.db` is locked by another writer", "let it finish, and run the same again"))

    with pytest.raises(StoreError):
        go(door_of(**wired, situations=away))
    assert contact_of(sqlite_database, text).status == "planned"
    assert contact_of(sqlite_database, text).why == "dispatch stopped before it could go"
    assert counts(go(door_of(**wired))) == {"sent": 1}
    assert adapter.seen == [text]
