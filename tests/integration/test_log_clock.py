"""A checkpoint of a wrong future: nothing is signed after it until somebody says that its clock stood ahead."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compliance.checkpoint import PublicKey, Signer, new_key
from duecourse.witnesses import FolderWitness, ask_folder
from engine.errors import DataError, StoreError
from store.db import Database
from store.jobs import pause, pauses
from tests.logs import NAME, NOW, SignedLog, add_decisions, fill, without_triggers
from workflows.log.checkpoint import hand_over, newest, set_clock_aside
from workflows.log.prove import prove

FUTURE = datetime(2031, 7, 1, 12, tzinfo=UTC)
TOLD = "checkpoint 2: its clock stood ahead, at 2031-07-01 12:00Z, and was set aside by `job_act:{}`"


@pytest.fixture
def log(database: Database) -> SignedLog:
    """A log with a checkpoint of today and one of 2031, after which the clock is right again."""
    made = SignedLog(database)
    fill(database)
    if database.dialect == "postgresql":
        with database.write() as session:  # Its own numbers begin after those that the rows above brought along.
            session.connection().exec_driver_sql("select setval(pg_get_serial_sequence('job_act', 'id'), 100)")
    made.sign()
    today, made.now = made.now, FUTURE - timedelta(minutes=1)
    add_decisions(database, 3, run=101)
    made.sign()
    made.now = today
    add_decisions(database, 3, run=102)
    return made


def aside(log: SignedLog) -> None:
    """Somebody says so, a minute later."""
    log.now += timedelta(minutes=1)
    set_clock_aside(log.database, by="mei", because="the machine's battery was empty", now=log.now)


def test_nothing_is_signed_after_a_checkpoint_of_a_wrong_future(log: SignedLog) -> None:
    """Refused in words that name the way out; the log itself stands, and goes on growing."""
    with pytest.raises(StoreError) as refused:
        log.sign()
    assert str(refused.value) == (
        "the clock went backwards: it is 2026-03-02 08:02+00:00, and the last checkpoint is of 2031-07-01 12:00+00:00\n"
        "  mend: set the clock right; if it stood ahead then, `duecourse audit checkpoint --despite-clock` says so"
    )
    assert log.found() == []


def test_once_its_clock_is_set_aside_signing_goes_on_and_verification_says_why(log: SignedLog, tmp_path: Path) -> None:
    """The next checkpoint covers who said so; every verification tells it, none finds it, and witnesses take what follows."""
    witness = FolderWitness("w", tmp_path / "w")
    assert hand_over(log.database, [witness], now=FUTURE) == []
    aside(log)
    for run in (103, 104):
        add_decisions(log.database, 2, run=run)
        log.sign()
        assert hand_over(log.database, [witness], now=log.now) == []
    found = log.verify(asked=[ask_folder("w", tmp_path / "w")], witnessed={"kept": log.notes[2]})
    (said,) = [one for one in found.told if not one.startswith("not checked: ")]
    assert (found.findings, found.unknown) == ([], [])
    with log.database.session() as session:
        last = newest(session)
        assert last is not None
        assert (last.number, found.signed) == (4, last.size)
    entry = said.rpartition("`job_act:")[2].rstrip("`")
    assert said == TOLD.format(entry)
    proof = prove(log.database, [("job_act", entry)], log.keys, opened=True)
    assert "open because" in proof


def test_an_older_checkpoint_without_a_word_is_still_a_finding(log: SignedLog) -> None:
    """Said afterwards, or about an earlier checkpoint, it explains nothing."""
    aside(log)
    log.sign()
    with without_triggers(log.database) as connection:
        connection.exec_driver_sql("update job_act set job = 'dispatch' where job = 'log.clock'")
    assert "swapped: checkpoint 3: it is older or smaller than the one before it, or of another log" in log.found()
    log.now -= timedelta(minutes=30)
    add_decisions(log.database, 1, run=105)
    with pytest.raises(StoreError, match="the clock went backwards"):
        log.sign()


def test_a_checkpoint_of_a_wrong_future_outlives_its_key(log: SignedLog, tmp_path: Path) -> None:
    """The key is replaced years before 2031: what it signed then was signed before its clock was set aside."""
    witness = FolderWitness("w", tmp_path / "w")
    assert hand_over(log.database, [witness], now=FUTURE) == []
    aside(log)
    log.sign()
    rotated, new = log.now + timedelta(seconds=1), Signer(new_key(NAME))
    log.keys = (PublicKey(NAME, log.signer.public, NOW, rotated), PublicKey(NAME, new.public, rotated))
    log.signer = new
    add_decisions(log.database, 1, run=106)
    log.sign()
    assert log.found(asked=[ask_folder("w", tmp_path / "w")], witnessed={"kept": log.notes[2]}) == []
    # A key that came only later did not sign it.
    log.keys = (PublicKey(NAME, log.keys[0].public, rotated), log.keys[1])
    assert "not vouched for: checkpoint 2: its key was not in use at 2031-07-01 12:00Z" in log.found()


def test_only_a_clock_that_stood_ahead_is_set_aside(log: SignedLog) -> None:
    """Not without a name and a reason, and not where the newest checkpoint is not of the future."""
    for by, because in (("", "x"), ("mei", " ")):
        with pytest.raises(DataError, match="it is not said who sets a checkpoint's clock aside, or why"):
            set_clock_aside(log.database, by=by, because=because, now=log.now)
    with pytest.raises(DataError) as refused:
        set_clock_aside(log.database, by="mei", because="x", now=FUTURE)
    assert str(refused.value) == (
        "the newest checkpoint is of 2031-07-01 12:00+00:00, and it is 2031-07-01 12:00+00:00\n"
        "  mend: leave out `--despite-clock`"
    )


def test_a_job_that_is_held_back_stays_so(log: SignedLog) -> None:
    """What is said of the log's clock is no act on a job of the schedule."""
    with log.database.write() as session:
        pause(session, "log", by="li", because="x", until=None, now=log.now)
    aside(log)
    with log.database.session() as session:
        assert pauses(session, log.now)["log"].by == "li"
        assert "log.clock" not in pauses(session, log.now)
