"""A dialler's batches on real databases: who is in them, until when, and what its results bring about."""

import csv
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import col

from duecourse.dialled import take_results
from duecourse.wiring import Works
from duecourse.workspace import open_workspace, shipped_folder
from engine.errors import DataError, SettingsError
from store.db import Database
from store.tables import Batch, BatchItem, Consent, Contact, Deed, Endpoint, Event, LogQueue, Promise
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
)
from workflows.desk.dialler import Exported, export_calls, recall, void_batch
from workflows.desk.tasks import start_task, take_next
from workflows.importing import Imported
from workflows.sending.door import Door

TWO_HOURS = timedelta(hours=2)
CALLED = NOW + timedelta(minutes=20)


def queued(database: Database, loan: int, rule: str = "call", **values: object) -> str:
    """A call that waits in its queue since ten minutes ago."""
    return plan(database, loan, rule, **({"status": "sent", "at": NOW - timedelta(minutes=10)} | values))


def export(door: Door, file: Path, *, now: datetime = NOW, lasts: timedelta = TWO_HOURS, limit: int = 500) -> Exported:
    return export_calls(door, file, queue="junior", by="ann", now=now, lasts=lasts, limit=limit)


def listed(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def results(database: Database, folder: Path, *lines: str, now: datetime = NOW + TWO_HOURS, batch: int = 1) -> Imported:
    """These rows of a batch in a results file, taken in as the command does."""
    file = folder / "results.csv"
    head = "batch,contact,at,outcome,agent,amount,due_on,call_at,said,marks\n"
    file.write_text(head + "".join(f"{batch},{line}\n" for line in lines))
    return take_results(Works(open_workspace(shipped_folder(), {}), database), file, now)


def test_who_is_called_until_when_and_nothing_else_of_them(database: Database, tmp_path: Path) -> None:
    """A row is a number, until when, and what to say; no name, no debt. It is for this user's eyes, and there once."""
    loans = book(database, 2)
    tasks = [queued(database, loan) for loan in loans]
    door = door_of(database, {})
    file = tmp_path / "calls.csv"
    done = export(door, file)
    assert (done.calls, done.until, dict(done.counts)) == (2, NOW + TWO_HOURS, {"taken": 2})
    assert list(listed(file)[0]) == ["contact", "phone", "call_until", "queue", "script", "language", "batch"]
    phones = {contact_of(database, task).endpoint_id: task for task in tasks}
    assert {row["contact"]: row["phone"] for row in listed(file)} == {
        phones[e.id]: e.value for e in rows(database, Endpoint, col(Endpoint.id).in_(phones))
    }
    assert {row["call_until"] for row in listed(file)} == {"2026-11-24T06:00:00+00:00"}
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(DataError, match="is there already"):
        export(door, file)
    assert export(door, tmp_path / "more.csv").batch is None
    assert not (tmp_path / "more.csv").exists()


def test_nobody_is_called_after_their_hours(database: Database, tmp_path: Path) -> None:
    """The file lapses for each when the gate first says no, when the task does, or when it does itself; the soonest counts."""
    loans = book(database, 3)
    first, short, late = (queued(database, loan) for loan in loans)
    with database.write() as session:
        session.get_one(Contact, short).expires_at = NOW + timedelta(hours=7, minutes=33)
        session.get_one(Contact, late).expires_at = NOW + timedelta(hours=7, minutes=3)
    seven = NOW + timedelta(hours=7)
    done = export(door_of(database, {}), tmp_path / "c.csv", now=seven, lasts=timedelta(hours=3))
    # Eight in the evening in Shanghai is an hour away, and the last step before it is five minutes to.
    assert {row["contact"]: row["call_until"] for row in listed(tmp_path / "c.csv")} == {
        first: "2026-11-24T11:55:00+00:00",
        short: "2026-11-24T11:30:00+00:00",
    }
    assert (done.counts["left"], contact_of(database, late).claimed_by) == (1, None)


def test_a_length_must_be_one(database: Database, tmp_path: Path) -> None:
    """No file for a day, none for a minute."""
    for lasts in (timedelta(minutes=1), timedelta(days=1)):
        with pytest.raises(DataError, match="from five minutes to eight hours"):
            export(door_of(database, {}), tmp_path / "c.csv", lasts=lasts)


def test_what_is_forbidden_now_and_who_is_in_hand_stays_out(database: Database, tmp_path: Path) -> None:
    """Paid is called off, a person in an agent's hands waits, a promised call-back is its agent's; off means off."""
    loans = book(database, 4)
    paid, busy, back, good = (queued(database, loan) for loan in loans)
    held = queued(database, loans[1], "after-failure")
    add_payment(database, loans[0], AMOUNT, TODAY, recorded_at=NOW)
    with database.write() as session:
        session.get_one(Contact, back).kept_for = "ann"
    door = door_of(database, {})
    assert start_task(door, held, agent="ben", now=NOW).contact.id == held
    with pytest.raises(SettingsError, match="sending is off"):
        export(door_of(database, {}, stand_in=False), tmp_path / "c.csv")
    export(door, tmp_path / "c.csv")
    assert [row["contact"] for row in listed(tmp_path / "c.csv")] == [good]
    assert contact_of(database, paid).why == "rule call does not match any more"
    assert contact_of(database, busy).claimed_by is None
    # And the other way round: whom the dialler has, no agent gets.
    other = queued(database, loans[3], "after-failure")
    with pytest.raises(DataError, match="somebody else has that person in hand"):
        start_task(door, other, agent="cas", now=NOW)
    with pytest.raises(DataError, match=f"task `{good}` is in batch 1 of the dialler"):
        start_task(door, good, agent="cas", now=NOW)


def test_a_payment_after_the_export_is_recalled(database: Database, tmp_path: Path) -> None:
    """Whoever pays or lapses while the file is out is on the list to be taken off the dialler; nothing else changes."""
    loans = book(database, 3)
    paid, _, _ = (queued(database, loan) for loan in loans)
    door = door_of(database, {})
    batch = export(door, tmp_path / "c.csv").batch or 0
    assert recall(door, batch, now=NOW + timedelta(minutes=5)) == []
    add_payment(database, loans[0], AMOUNT, TODAY, recorded_at=NOW)
    assert recall(door, batch, now=NOW + timedelta(minutes=5)) == [(paid, "rule call does not match any more")]
    assert {why for _, why in recall(door, batch, now=NOW + TWO_HOURS)} == {"its time is over"}
    assert contact_of(database, paid).status == "sent"
    with pytest.raises(DataError, match="no dialler batch 99"):
        recall(door, 99, now=NOW)


def test_results_become_outcomes_promises_statements_and_events(database: Database, tmp_path: Path) -> None:
    """What a dialler reports is what an agent would have: and the same file again changes nothing."""
    loans = book(database, 6)
    tasks = [queued(database, loan) for loan in loans]
    export(door_of(database, {}), tmp_path / "c.csv")
    at = "2026-11-24T12:20:00+08:00"
    lines = (
        f"{tasks[0]},{at},no_answer,,,,,,",
        f"{tasks[1]},{at},promise,mei,50.00,2026-11-26,,,",
        f"{tasks[2]},{at},wrong_number,,,,,,",
        f"{tasks[3]},{at},conversation,mei,,,,no_medium call; inconvenient_time 00:00-12:00,known_disclosure",
        f"{tasks[4]},{at},call_back,mei,,,2026-11-24T15:00:00+08:00,,",
        f"{tasks[5]},{at},not_tried,,,,,,",
    )
    first = results(database, tmp_path, *lines)
    assert (first.rows, first.added, first.same, first.rejected) == (6, 6, 0, 0)
    assert [(contact_of(database, task).status, contact_of(database, task).outcome) for task in tasks] == [
        ("delivered", "no_answer"), ("delivered", "conversation"), ("delivered", "wrong_person"),
        ("delivered", "conversation"), ("delivered", "conversation"), ("sent", ""),
    ]  # fmt: skip
    assert contact_of(database, tasks[0]).at == CALLED
    (promise,) = rows(database, Promise)
    assert (promise.amount_minor, f"{promise.due_on}", promise.contact_id) == (50_00, "2026-11-26", tasks[1])
    said = {(c.kind, c.channels, c.source) for c in rows(database, Consent)}
    assert said == {
        ("no_medium", "call", "agent:mei"), ("inconvenient_time", "", "agent:mei"), ("consent", "call", "agent:mei"),
    }  # fmt: skip
    wrong = contact_of(database, tasks[2]).endpoint_id
    assert [e.valid for e in rows(database, Endpoint, col(Endpoint.id) == wrong)] == [False]
    assert sorted(event.kind for event in rows(database, Event)) == ["call_outcome"] * 4 + ["promise_made"]
    (back,) = rows(database, Contact, col(Contact.slot) == f"call-back:{tasks[4]}")
    assert (back.kept_for, back.not_before_at) == ("mei", datetime(2026, 11, 24, 7, tzinfo=UTC))
    again = results(database, tmp_path, *lines)
    assert (again.added, again.same, again.rejected) == (0, 6, 0)
    assert len(rows(database, Event)) == 5
    # What was not tried goes out again, and then its old row is still known.
    export(door_of(database, {}), tmp_path / "d.csv", now=NOW + timedelta(minutes=30))
    assert [row["contact"] for row in listed(tmp_path / "d.csv")] == [tasks[5]]
    assert results(database, tmp_path, lines[5]).same == 1
    assert contact_of(database, tasks[5]).claimed_by == "dialler:2"
    # The same words of its second call are news.
    assert results(database, tmp_path, lines[5].replace("12:20", "12:40"), batch=2).added == 1
    assert contact_of(database, tasks[5]).claimed_by is None


def test_a_row_that_cannot_be_taken_says_why_and_the_others_are(database: Database, tmp_path: Path) -> None:
    """Each wrong row is in the rejects file with its number, reason and mend, never its value."""
    loans = book(database, 5)
    ours = [queued(database, loan) for loan in loans[:4]]
    never = queued(database, loans[4], queue="other")
    export(door_of(database, {}), tmp_path / "c.csv")
    at = "2026-11-24T12:20:00+08:00"
    done = results(
        database, tmp_path,
        f"{ours[0]},{at},busy,,,,,,",
        f"{ours[1]},{at},busyy,,,,,,",
        f"{ours[1]},2026-11-24 12:20,busy,,,,,,",
        f"{ours[1]},2026-11-24T11:00:00+08:00,busy,,,,,,",
        f"{ours[2]},{at},promise,,,,,,",
        f"{ours[3]},{at},conversation,,,,,no_medium,",
        f"{never},{at},busy,,,,,,",
        f"{ours[2]},2027-01-01T00:00:00Z,busy,,,,,,",
    )  # fmt: skip
    assert (done.rows, done.added, done.rejected) == (8, 1, 7)
    with Path(done.rejects_file or "").open(newline="", encoding="utf-8") as file:
        told = [(row["row"], row["column"], row["reason"]) for row in csv.DictReader(file)]
    assert told == [
        ("3", "outcome", "not a word of this column"),
        ("4", "at", "not an instant with its offset"),
        ("5", "", "was called before it was exported"),
        ("6", "", "a promise needs its amount and day"),
        ("7", "", "`no_medium` does not say which"),
        ("8", "", "was not in that batch of a dialler"),
        ("9", "at", "is still to come"),
    ]
    assert {contact_of(database, task).status for task in (*ours[1:], never)} == {"sent"}
    mended = results(database, tmp_path, f"{ours[0]},{at},no_answer,,,,,,")
    assert [reason.reason for reason in mended.reasons] == ["was reported with other content"]


def test_what_the_dialler_never_spoke_of_is_in_doubt(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A day after its time a call becomes `unknown` and counts; what comes in late is still taken, and a late call alerts."""
    loans = book(database, 3)
    tasks = [queued(database, loan) for loan in loans]
    door = door_of(database, {})
    export(door, tmp_path / "c.csv")
    lapse = NOW + TWO_HOURS + timedelta(hours=24)
    assert counts(go(door, lapse - timedelta(seconds=1))) == {}
    assert counts(go(door, lapse)) == {"expired": 3}
    assert {contact_of(database, task).status for task in tasks} == {"unknown"}
    late = (NOW + timedelta(hours=3)).isoformat()
    done = results(
        database, tmp_path, f"{tasks[0]},{late},no_answer,,,,,,", f"{tasks[1]},{late},not_tried,,,,,,", now=lapse
    )
    assert (done.added, done.rejected) == (2, 0)
    assert [contact_of(database, task).status for task in tasks] == ["delivered", "sent", "unknown"]
    alerts = [r for r in caplog.records if "after its time was over" in r.getMessage()]
    assert [alert.contact for alert in alerts] == [tasks[0]]  # type: ignore[attr-defined]


def test_a_file_that_was_never_used_goes_back(database: Database, tmp_path: Path) -> None:
    """Its calls wait again; once results have come in, the file was used, and it cannot go back."""
    loans = book(database, 2)
    tasks = [queued(database, loan) for loan in loans]
    door = door_of(database, {})
    batch = export(door, tmp_path / "c.csv").batch or 0
    assert void_batch(door, batch, by="ann", now=NOW) == 2
    assert {contact_of(database, task).claimed_by for task in tasks} == {None}
    at = "2026-11-24T12:20:00+08:00"
    refused = results(database, tmp_path, f"{tasks[0]},{at},busy,,,,,,")
    assert [reason.reason for reason in refused.reasons] == ["is of a batch that was given back"]
    used = export(door, tmp_path / "d.csv").batch or 0
    results(database, tmp_path, f"{tasks[0]},{at},busy,,,,,,", batch=used)
    with pytest.raises(DataError, match="have come in, so its file was used"):
        void_batch(door, used, by="ann", now=NOW)


def test_a_file_for_a_dialler_leaves_a_deed(database: Database, tmp_path: Path) -> None:
    """Which batch, how many and the file's hash are in the log; by whom is with the batch, and no number is in it."""
    loans = book(database, 2)
    for loan in loans:
        queued(database, loan)
    export(door_of(database, {}), tmp_path / "calls.csv")
    (deed,) = rows(database, Deed, col(Deed.kind) == "export")
    (batch,) = rows(database, Batch)
    assert deed.at == NOW
    assert deed.subject == batch.digest == hashlib.sha256((tmp_path / "calls.csv").read_bytes()).hexdigest()
    assert json.loads(deed.detail_json) == {"batch": batch.id, "contacts": 2, "what": "dialler"}
    assert batch.made_by == "ann"
    assert rows(database, LogQueue, col(LogQueue.kind) == "deed", col(LogQueue.key) == str(deed.id))


def test_a_file_that_cannot_be_written_hands_nobody_out(database: Database, tmp_path: Path) -> None:
    """No such folder: nothing is claimed, and what was is free again."""
    task = queued(database, book(database)[0])
    with pytest.raises(DataError, match="cannot write"):
        export(door_of(database, {}), tmp_path / "no" / "c.csv")
    assert (contact_of(database, task).claimed_by, [b.status for b in rows(database, Batch)]) == (None, ["void"])
    assert len(rows(database, BatchItem)) == 1
    assert not (tmp_path / "no").exists()


def test_two_persons_on_one_telephone_are_not_dialled_at_once(database: Database, tmp_path: Path) -> None:
    """A number is in a batch once, whoever it is for."""
    one, two = book(database, 2)
    first = queued(database, one)
    number = rows(database, Endpoint, col(Endpoint.id) == contact_of(database, first).endpoint_id)[0].value
    shared = Endpoint(person_id=borrower_of(database, two), kind="mobile", value=number, rank=9, recorded_at=NOW)
    add(database, shared)
    (row,) = rows(
        database,
        Endpoint,
        col(Endpoint.value_hash) == database.sealing.hashed(number),
        col(Endpoint.person_id) == borrower_of(database, two),
    )
    second = queued(database, two, endpoint_id=row.id)
    export(door_of(database, {}, gate=SmallGate()), tmp_path / "c.csv")
    assert [line["contact"] for line in listed(tmp_path / "c.csv")] == [first]
    assert contact_of(database, second).claimed_by is None
    assert take_next(door_of(database, {}), queue="junior", agent="ben", now=NOW) is not None
