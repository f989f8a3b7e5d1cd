"""Letters on real databases: printed once, in doubt when broken off, in force from their posting."""

import csv
import hashlib
import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pypdf import PdfReader
from sqlmodel import Session, col, select

from channels.paper import Letter, Press
from engine.errors import DataError, Problem, SettingsError
from store.db import Database
from store.tables import Batch, BatchItem, Consent, Contact, Deed, Endpoint, Event, Notice, Person
from tests.factories import add_payment
from tests.opening import open_database
from tests.outgoing import (
    AMOUNT,
    DATES,
    NOW,
    TODAY,
    add,
    book,
    borrower_of,
    contact_of,
    counts,
    door_of,
    go,
    plan,
    rows,
    set_setting,
    statuses,
)
from workflows.desk.letters import WRITING_MAX, Printed, Shop, confirm_letters, print_letters
from workflows.desk.tasks import take_next
from workflows.sending.batches import batches, doubt, give_back
from workflows.sending.door import Door
from workflows.sending.second_look import Look


def write(session: Session, contact: Contact, look: Look) -> Letter:
    """As the wiring does, in one line."""
    if contact.name == "unsayable":
        raise DataError(Problem("template `unsayable` says `promise.amount`, which is not known", "leave it out"))
    name = session.get_one(Person, contact.person_id).name
    return Letter(contact.id, (name, "1 Street"), ("Lender",), "today", "Notice", f"Dear {name}, please pay.", "en")


SHOP = Shop(write, Press())


def queued(database: Database, loan: int, **values: object) -> str:
    """A letter that waits in its queue since ten minutes ago, to an address."""
    person = borrower_of(database, loan)
    with database.write() as session:
        there = select(Endpoint).where(col(Endpoint.person_id) == person, col(Endpoint.kind) == "postal")
        if session.exec(there).first() is None:
            value = f'{{"text": "{person} Street"}}'
            session.add(Endpoint(person_id=person, kind="postal", value=value, recorded_at=NOW))
    return plan(database, loan, "notice", **({"status": "sent", "at": NOW - timedelta(minutes=10)} | values))


def printed(door: Door, out: Path, *, now=NOW, limit: int = 500) -> Printed:  # type: ignore[no-untyped-def]
    return print_letters(door, SHOP, out, queue="letter", by="ann", now=now, limit=limit)


def confirm(database: Database, batch: int, *, at=NOW + timedelta(days=1), but=()):  # type: ignore[no-untyped-def]
    return dict(
        confirm_letters(
            database, batch, by="ann", posted_at=at, except_for=but, dates=DATES, notice_of=lambda _: "prelegal_notice"
        )
    )


def made_in(out: Path) -> list[str]:
    """What printing left there; the tests' own database aside."""
    return sorted(path.name for path in out.iterdir() if "letters" in path.name)


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_batch_is_one_pdf_a_letter_and_a_manifest(database: Database, tmp_path: Path) -> None:
    """Each letter is a file for its addressee alone, with its hash, pages and class; the batch is counted and nobody's to take."""
    loans = book(database, 3)
    tasks = [queued(database, loan, purpose="collect" if n == 2 else "required_notice") for n, loan in enumerate(loans)]
    door = door_of(database, {})
    done = printed(door, tmp_path)
    assert (done.letters, done.pages, dict(done.counts)) == (3, 3, {"taken": 3})
    assert done.folder is not None
    listed = manifest(done.folder)
    assert [row["contact"] for row in listed] == sorted(tasks)
    assert [row["post"] for row in listed] == ["registered", "registered", "standard"]
    for row in listed:
        content = (done.folder / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        names = [person.name for person in rows(database, Person)]
        text = PdfReader(done.folder / row["file"]).pages[0].extract_text()
        owner = contact_of(database, row["contact"]).person_id
        assert [name in text for name in names] == [p.id == owner for p in rows(database, Person)]
    assert done.folder.stat().st_mode & 0o077 == 0
    (batch,) = rows(database, Batch)
    assert (batch.status, batch.digest) == (
        "out",
        hashlib.sha256((done.folder / "manifest.csv").read_bytes()).hexdigest(),
    )
    (deed,) = rows(database, Deed, col(Deed.kind) == "export")
    assert (deed.at, deed.subject) == (NOW, batch.digest)
    assert json.loads(deed.detail_json) == {"batch": batch.id, "contacts": 3, "what": "print"}
    # Printed again: nothing is left. Nobody else gets one of them, and the day's reminders know of it.
    again = printed(door, tmp_path)
    assert (again.batch, made_in(tmp_path)) == (None, [done.folder.name])
    assert take_next(door, queue="letter", agent="ben", now=NOW) is None
    assert {contact_of(database, task).claimed_by for task in tasks} == {f"print:{done.batch}"}


def test_what_is_forbidden_now_is_not_printed(database: Database, tmp_path: Path) -> None:
    """Paid, refused, unsayable: called off with the reason. Night and a person's second letter wait for another batch."""
    loans = book(database, 4)
    paid, out, odd, good = (queued(database, loan) for loan in loans)
    second = queued(database, loans[3], at=NOW)
    with database.write() as session:
        session.get_one(Contact, odd).name = "pre-legal"
        session.get_one(Person, borrower_of(database, loans[2])).name = "Somebody 😀"
    add_payment(database, loans[0], AMOUNT, TODAY, recorded_at=NOW)
    person = borrower_of(database, loans[1])
    add(database, Consent(person_id=person, kind="opt_out", received_at=NOW, recorded_at=NOW, ref="o"), bump=person)
    door = door_of(database, {})
    assert printed(door, tmp_path, now=NOW + timedelta(hours=9)).batch is None
    with database.write() as session:
        for task in (out, odd, good, second):
            contact = session.get_one(Contact, task)
            contact.not_before_at = contact.at = NOW
    done = printed(door, tmp_path)
    assert [row["contact"] for row in manifest(done.folder or tmp_path)] == [good]
    assert [contact_of(database, task).why for task in (paid, out, odd)] == [
        "rule notice does not match any more",
        "refused: test.opted_out",
        "the font has no character for U+1F600",
    ]
    assert contact_of(database, second).claimed_by is None


def test_nothing_is_printed_while_sending_is_off(database: Database, tmp_path: Path) -> None:
    """The switch stops paper too."""
    task = queued(database, book(database)[0])
    with pytest.raises(SettingsError, match="sending is off"):
        printed(door_of(database, {}, stand_in=False), tmp_path)
    assert (contact_of(database, task).claimed_by, rows(database, Batch), made_in(tmp_path)) == (None, [], [])
    set_setting(database, "sending", "on")
    assert printed(door_of(database, {}, stand_in=False, allow_list=frozenset({"x"})), tmp_path).batch is None
    assert contact_of(database, task).why == "not production, and the address is not on the allow list"


def test_a_confirmed_notice_is_in_force_and_said_twice_is_said_once(database: Database, tmp_path: Path) -> None:
    """Posting counts, not printing; what the shop left out waits again; a stranger's id and an early posting are refused."""
    loans = book(database, 2)
    first, second = (queued(database, loan) for loan in loans)
    door = door_of(database, {})
    batch = printed(door, tmp_path).batch
    assert batch is not None
    assert rows(database, Notice) == []
    with pytest.raises(DataError, match="`c-x` is no letter of batch"):
        confirm(database, batch, but=["c-x"])
    with pytest.raises(DataError, match="posted before that"):
        confirm(database, batch, at=NOW - timedelta(days=1))
    assert confirm(database, batch, but=[second]) == {"posted": 1, "not_tried": 1}
    assert confirm(database, batch) == {"same": 2}
    (notice,) = rows(database, Notice)
    assert (notice.contact_id, notice.sent_on, notice.effective_on) == (
        first, TODAY + timedelta(days=1), TODAY + timedelta(days=6),
    )  # fmt: skip
    posted, waiting = contact_of(database, first), contact_of(database, second)
    assert (posted.status, posted.outcome, posted.claimed_by) == ("delivered", "posted", None)
    assert (waiting.status, waiting.claimed_by, waiting.attempts) == ("sent", None, 0)
    assert [event.kind for event in rows(database, Event)] == ["call_outcome"]
    again = printed(door, tmp_path)
    assert [row["contact"] for row in manifest(again.folder or tmp_path)] == [second]
    with database.session() as session:
        stand = [(one.status, dict(one.counts)) for one in batches(session, "print")]
    assert stand == [("out", {"open": 1}), ("out", {"not_tried": 1, "posted": 1})]


def test_a_folder_that_cannot_be_written_gives_everything_back(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle: no folder, nothing printed, the letters wait as before, and the next try prints them."""
    task = queued(database, book(database)[0])
    door = door_of(database, {})

    def full(self: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DataError, match="no space left on device"):
            printed(door, tmp_path)
    assert (made_in(tmp_path), [batch.status for batch in rows(database, Batch)]) == ([], ["void"])
    assert (contact_of(database, task).status, contact_of(database, task).claimed_by) == ("sent", None)
    assert printed(door, tmp_path).letters == 1


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.opening import open_database
from tests.integration.test_letters import SHOP
from tests.outgoing import NOW, door_of
from workflows.desk import letters
real = letters.{where}
def dies(*args, **kwargs):
    if {after}: real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
letters.{where} = dies
letters.print_letters(door_of(open_database(sys.argv[1]), {{}}), SHOP, Path(sys.argv[2]), queue="letter", by="ann", now=NOW, limit=9)
"""


@pytest.mark.parametrize(
    ("where", "after", "folder"),
    [("_write_folder", False, False), ("file_is_there", False, True), ("take_batch", True, False)],
)
def test_killed_in_between_it_is_in_doubt_and_never_printed_twice(
    sqlite_database: Database, tmp_path: Path, where: str, after: bool, folder: bool
) -> None:
    """Wherever the process dies after the commit: the letter becomes `unknown`, nobody prints it, until a person says."""
    database = sqlite_database
    task = queued(database, book(database)[0])
    url = database.url.render_as_string(hide_password=False)
    code = _KILLED.format(where=where, after=after)
    died = subprocess.run([sys.executable, "-c", code, url, str(tmp_path)], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert bool([name for name in made_in(tmp_path) if not name.startswith(".")]) is folder
    door = door_of(database, {})
    assert printed(door, tmp_path).batch is None
    assert contact_of(database, task).status == "sent"
    later = NOW + WRITING_MAX
    assert printed(door, tmp_path, now=later).batch is None
    assert (contact_of(database, task).status, contact_of(database, task).outcome) == ("unknown", "unknown")
    (batch,) = rows(database, Batch)
    assert batch.status == "doubt"
    assert len(rows(database, Deed, col(Deed.kind) == "export")) == folder, "whatever left is in the log"
    if folder:
        # The folder was there and went to the shop.
        assert confirm(database, batch.id) == {"posted": 1}
        assert contact_of(database, task).outcome == "posted"
        with pytest.raises(DataError, match="no print batch 99"):
            confirm(database, 99)
    else:
        assert give_back(database, batch.id, by="ann", why="there is no folder", now=later) == 1
        with pytest.raises(DataError, match="was given back"):
            confirm(database, batch.id)
        assert printed(door, tmp_path, now=later).letters == 1


def test_the_dispatcher_notices_a_broken_batch(database: Database) -> None:
    """It need not wait for the next printing: every dispatch looks."""
    task = queued(
        database, book(database)[0], claimed_by="print:1", attempts=1, claimed_until_at=NOW + timedelta(days=7)
    )
    add(
        database,
        Batch(
            id=1, kind="print", queue="letter", status="writing", made_at=NOW, made_by="ann", until_at=NOW + WRITING_MAX
        ),
        BatchItem(batch_id=1, contact_id=task),
    )
    assert counts(go(door_of(database, {}), NOW + timedelta(minutes=29))) == {}
    assert counts(go(door_of(database, {}), NOW + timedelta(minutes=30))) == {"unknown": 1}
    assert statuses(database, task)[-1] == "unknown"
    assert doubt(database, now=NOW + timedelta(days=1)) == []


def test_a_letter_that_nobody_confirms_is_in_doubt_after_a_week(database: Database, tmp_path: Path) -> None:
    """The shop has seven days, whatever the task's own time was; then somebody has to look, and can still say."""
    task = queued(database, book(database)[0])
    door = door_of(database, {})
    batch = printed(door, tmp_path).batch
    assert batch is not None
    assert counts(go(door, NOW + timedelta(days=6))) == {}
    assert counts(go(door, NOW + timedelta(days=7))) == {"expired": 1}
    assert contact_of(database, task).status == "unknown"
    assert confirm(database, batch, at=NOW + timedelta(days=8)) == {"posted": 1}


def test_two_printers_never_print_the_same_letter(postgres_database: Database, tmp_path: Path) -> None:
    """Four at once: every letter is in one folder."""
    import threading

    tasks = [queued(postgres_database, loan) for loan in book(postgres_database, 8)]
    url = postgres_database.url.render_as_string(hide_password=False)
    start, got = threading.Barrier(4), []

    def work(n: int) -> None:
        own = open_database(url)
        door = door_of(own, {})
        start.wait(60)
        done = printed(door, tmp_path / f"{n}", limit=4)
        if done.folder is not None:
            got.extend(row["contact"] for row in manifest(done.folder))
        own.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(got) == len(set(got)) > 0
    assert set(got) <= set(tasks)
