"""A contact is a row that changes, and the log vouches for it: whatever is done to one past the product is found, with its place."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from store.bulk_arrow import table_of
from store.columns import to_us
from store.db import Database
from store.outbox import FIXED, MOVING
from tests.by_hand import call
from tests.logs import SignedLog, past_everything, without_triggers
from tests.opening import open_database
from tests.outgoing import NOW, Silent, SmallGate, book, door_of, go, plan
from tests.replaying import lived
from workflows.desk.by_hand import record
from workflows.desk.sayings import NOTHING_LEARNT

COUNTED = ("status", *MOVING, *FIXED)
OTHER = {
    "run_id": None, "loan_id": 1, "person_id": 1, "endpoint_id": None, "stage_entry": 99,
    "misdirected": True,
}  # fmt: skip
"""What is written in place of what stands there; of all others a word that is not there."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def worked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedLog]:
    """A book of some days, swept, sent, tasks done, calls told of, signed; once on each database, for all that follows."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("worked") / "book.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        with closing(open_database(f"sqlite:///{path}")) as database:
            yield _worked(database)
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    with server.database(template=template) as url, closing(open_database(url)) as database:
        yield _worked(database)


def _worked(database: Database) -> SignedLog:
    lived(database, 1)
    with database.write() as session:  # Its maker takes back moves, past the triggers.
        gone = "kind = 'stage_change' and key not in (select cast(id as varchar) from stage_change)"
        session.connection().execute(text(f"delete from log_queue where {gone}"))
        for table, key in (("contact_loan", "contact_id"), ("contact", "id")):  # And brings contacts without any entry.
            session.connection().execute(text(f"delete from {table} where {key} like 'import-%'"))
    log = SignedLog(database)
    log.sign()
    return log


def test_a_book_that_was_worked_in_has_nothing_against_it(worked: SignedLog) -> None:
    """Every contact of sweeps, events, agents and dispatch is as its decision and its entries say."""
    verified = worked.verify()
    assert (verified.findings, verified.unknown, verified.told) == ([], [], [])
    assert _several(worked.database, "select count(distinct status) from contact")[0] >= 4


def test_every_change_is_found_with_its_contact_and_column(worked: SignedLog) -> None:
    """Of contacts that a rule asked for and of those by hand, whatever the law counts by: one column of each."""
    for asked in ("rule is not null and status in ('delivered', 'sent')", "rule is null"):
        contacts = _several(worked.database, f"select id from contact where {asked} and loan_id > 2")
        for first in range(0, len(COUNTED), len(contacts)):
            wrongs = dict(zip(COUNTED[first:], contacts, strict=False))
            new = {column: _other(worked.database, column) for column in wrongs}
            changes = [f"update contact set {column} = :{column} where id = '{one}'" for column, one in wrongs.items()]
            told = [f"altered: `contact:{one}`: the log says otherwise of `{column}`" for column, one in wrongs.items()]
            with _undone(worked, *changes, **new) as found:
                assert sorted(found) == sorted(told)


def test_a_contact_that_is_gone_or_was_never_made_is_found(worked: SignedLog) -> None:
    """Deleted with or without its history, invented without one, or invented with a history that no decision asks for."""
    (called, *_) = _several(worked.database, "select id from contact where status = 'delivered'")
    gone = f"deleted: `contact:{called}`: its entries are there, and it is gone or cannot be read"
    with _undone(worked, "delete from contact where id = :id", id=called) as found:
        assert found == [gone]
    with _undone(worked, _COPIED, id=called, new="999-1-0") as found:
        assert found == ["inserted: `contact:999-1-0`: the log has no entry of it"]
    run, loan, _ = called.split("-")
    new = f"{run}-{loan}-7"
    said = "insert into contact_status (contact_id, status, at, why, detail_json) select :new, status, at, '', '{}' from contact where id = :id"
    with _undone(worked, _COPIED, said, id=called, new=new) as found:
        # Where the triggers that queue its history for the log are off as well, that has no entry either.
        why = "no decision asks for it" if worked.database.dialect == "sqlite" else "the log has no entry of it"
        assert f"inserted: `contact:{new}`: {why}" in found


def test_what_a_contact_was_about_is_found_too(worked: SignedLog) -> None:
    """Limits that count by debt go by the loans it was about."""
    (called, *_) = _several(worked.database, "select id from contact where status = 'delivered' and loan_id <> 1")
    with _undone(worked, "insert into contact_loan (contact_id, loan_id) values (:id, 1)", id=called) as found:
        assert found == [f"altered: `contact:{called}`: the log says otherwise of the loans it was about"]


def test_a_contact_moved_to_a_loan_far_away_is_found(worked: SignedLog) -> None:
    """Verification goes over the numbers that are there; and over none where SQLite holds a word in place of one."""
    (called, *_) = _several(worked.database, "select id from contact where status = 'delivered' and loan_id <> 1")
    wrong = "update contact set loan_id = :new where id = :id"
    for new in (2**38, 2**63 - 1):
        with _undone(worked, wrong, id=called, new=new) as found:
            assert found == [f"altered: `contact:{called}`: the log says otherwise of `loan_id`"]
    if worked.database.dialect == "sqlite":
        with _undone(worked, wrong, id=called, new="a word") as found:
            assert f"altered: `contact:{called}`: what stands in `loan_id` cannot be read" in found


def test_of_old_entries_it_is_said_that_nothing_can_be_told(database: Database) -> None:
    """Entries of before they said what stands in the contact are no finding, and how many contacts that leaves is told."""
    (loan,) = book(database)
    plan(database, loan, status="sent")
    log = SignedLog(database)
    with without_triggers(database) as connection:
        connection.execute(text("update contact_status set status = 'sent'"))
    log.sign()
    verified = log.verify()
    assert (verified.findings, verified.unknown) == ([], [])
    assert verified.told == ["not checked: 1 contacts whose entries are of before they said what stands in the contact"]


def test_a_call_told_of_later_stands_as_it_was_told(database: Database) -> None:
    """It was yesterday, and the entry of today says so: moved to the day before, it is found."""
    (loan,) = book(database)
    done = record(
        door_of(database, {}, gate=SmallGate()), call(database, loan), "conversation", direction="out", agent="mei",
        at=NOW - timedelta(days=1), now=NOW, learnt=NOTHING_LEARNT,
    )  # fmt: skip
    log = SignedLog(database)
    log.sign()
    assert log.found() == []
    with _undone(
        log, "update contact set at = :new where id = :id", id=done.contact, new=_other(database, "at")
    ) as found:
        assert found == [f"altered: `contact:{done.contact}`: the log says otherwise of `at`"]


def test_a_message_that_left_is_vouched_for_from_then_on(database: Database) -> None:
    """Whatever its first entry left out: when it was sent and what came of it."""
    (loan,) = book(database)
    message = plan(database, loan)
    go(door_of(database, {"sms": Silent()}))
    log = SignedLog(database)
    log.sign()
    assert log.found() == []
    with _undone(log, "update contact set outcome = :new where id = :id", id=message, new="unknown") as found:
        assert found == [f"altered: `contact:{message}`: the log says otherwise of `outcome`"]


_COPIED = "insert into contact (id, slot, {0}) select :new, :new, {0} from contact where id = :id".format(
    ", ".join(f'"{column.name}"' for column in table_of("contact").columns if column.name not in ("id", "slot"))
)


def _other(database: Database, column: str) -> object:
    if column == "at":
        at = datetime(2001, 1, 1, tzinfo=UTC)
        return to_us(at) if database.dialect == "sqlite" else at
    return OTHER.get(column, "elsewhere")


def _several(database: Database, query: str) -> list[Any]:
    with database.session() as session:
        return list(session.connection().execute(text(f"{query} order by 1")).scalars())


@contextmanager
def _undone(log: SignedLog, *statements: str, **values: object) -> Iterator[list[str]]:
    """What is found while a wrong stands; afterwards everything is as it was."""
    (said,), (queued,) = (
        _several(log.database, f"select max(id) from {name}") for name in ("contact_status", "log_queue")
    )
    with past_everything(log.database) as run:
        for table in ("contact", "contact_loan"):
            run(f"create table kept_{table} as select * from {table}")
        for statement in statements:
            run(statement, {name: value for name, value in values.items() if f":{name}" in statement})
    try:
        yield log.found()
    finally:
        with past_everything(log.database) as run:
            for table in ("contact", "contact_loan"):
                run(f"delete from {table}")
                run(f"insert into {table} select * from kept_{table}")
                run(f"drop table kept_{table}")
        with without_triggers(log.database) as connection:
            connection.execute(text(f"delete from contact_status where id > {said}"))
            connection.execute(text(f"delete from log_queue where id > {queued or 0}"))
