"""
Everything at once, in processes of their own: the scheduler, sweeps, dispatch, events and imports, two of which are killed.

Afterwards the database is sound and complete, whatever came between whatever.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, text
from sqlmodel import Session, SQLModel, col, select

from benchmarks.book import write_book
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider
from duecourse.clock import now
from duecourse.commands.init import create_workspace
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from store.db import Database
from store.identity import declare_environment
from store.lock import sole
from store.outbox import NEXT, TASK_CHANNELS
from store.projection import position_statements
from store.settings import write_setting
from store.tables import (
    Contact,
    ContactStatus,
    DecisionRow,
    Event,
    Movement,
    Person,
    Position,
    Run,
    StageChange,
)
from tests.postgres import Server
from tests.stress_worker import texts_on_their_way

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("DUECOURSE_STRESS_SECONDS", "45"))
LOANS = 2000
WORKERS = ("sweep", "dispatch", "dispatch", "events", "import", "import")
AT_WORK = {
    "dispatch": "select id from contact where status = 'sending' and claimed_by like '%:' || cast(:pid as text) || ':%'",
    "sweep": """
        select run.id from run, setting where setting.name = 'sweep_holder' and setting.value like 'process ' || cast(:pid as text) || ' on %'
            and run.kind = 'sweep' and run.status = 'running' and run.done_to > 0""",
}
"""Job -> what a process that is in the middle of it has its name on."""
OUT_BY_MACHINE = ("sms", "email")
MAY_BE_OUT = ("sent", "delivered", "failed", "unknown")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """None for the workspace's own SQLite file."""
    if request.param == "sqlite":
        yield None
        return
    server: Server = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield url


@pytest.fixture
def out() -> Iterator[tuple[FakeProvider, FakeMailServer]]:
    """The provider and the mail server, as stand-ins that remember everything they were given."""
    with FakeProvider(latency_seconds=0.01) as provider, FakeMailServer() as mails:
        yield provider, mails


def midday_zone(at: datetime) -> str:
    """A zone in which it is about one in the afternoon, so that contacts are lawful whenever the test runs."""
    ahead = (13 - at.hour + 12) % 24 - 12
    # POSIX counts them the other way round.
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def lay_out(folder: Path, url: str | None, provider: FakeProvider, mails: FakeMailServer) -> Works:
    """A production workspace whose providers stand on this machine, and a book of people who may be called now."""
    create_workspace(folder, url)
    settings = folder / "duecourse.yaml"
    settings.write_text(
        settings.read_text(encoding="utf-8")
        + f"""
backlog_share_max: 1
loans_per_chunk: 400
sms:
  account_sid: {ACCOUNT_SID}
  auth_token: {AUTH_TOKEN}
  from_number: "{FROM_NUMBER}"
  base_url: {provider.base_url}
  callback_url: http://localhost:1/receipts
  sends_per_second_max: 20
mail: {{host: {mails.host}, port: {mails.port}, security: plain, from_address: care@lender.example}}
""",
        encoding="utf-8",
    )
    jobs = ("promises", "sweep", "events", "dispatch")
    every_minute = "".join(f'{job}: {{cron: "* * * * *", zone: UTC}}\n' for job in jobs)
    (folder / "config" / "schedule.yaml").write_text(every_minute, encoding="utf-8")
    workspace = open_workspace(folder, {})
    works = Works(workspace, workspace.open_database())
    at = now()
    write_book(works.database, LOANS, on=at.date())
    with works.database.write() as session:
        session.execute(text("update person set zones = :zone"), {"zone": midday_zone(at)})
        declare_environment(works.database, session, "production")
        write_setting(session, "sending", "on")
    return works


class Crew:
    """Processes of their own; none outlives the test."""

    def __init__(self) -> None:
        self._all: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """One more, on the same interpreter."""
        command = [sys.executable, "-X", "faulthandler", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._all.append(process)
        return process

    def end(self) -> None:
        """Kill whoever is left."""
        for process in self._all:
            process.kill()
            process.communicate()


@pytest.fixture
def crew() -> Iterator[Crew]:
    """Whoever works in the background."""
    crew = Crew()
    yield crew
    crew.end()


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process said; it must have ended well."""
    try:
        output, errors = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # it says where it hangs
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors
    return output, errors


def test_everything_at_once_leaves_the_book_sound(
    tmp_path: Path, database_url: str | None, out: tuple[FakeProvider, FakeMailServer], crew: Crew
) -> None:
    """No contact goes twice or is lost, money adds up, every overdue loan is decided, and nothing stays locked."""
    folder = tmp_path / "workspace"
    with closing(lay_out(folder, database_url, *out)) as works:
        told, interrupted = run_everything(crew, folder, works.database)
        for name in ("sweep", "dispatch", "events", "import"):
            assert told[name]["done"], f"no {name} got through: {told}"
        settle(works)
        with works.database.session() as session:
            assert problems_of_storage(session) == []
            assert problems_of_contacts(session, *out) == []
            assert problems_of_decisions(session) == []
            assert problems_of_history(session) == []
            assert lost_movements(session, told["import"]["imported"]) == []
        assert texts_to_who_said_stop(works.database, told["import"]["stopped"]) == []
        assert positions_that_drifted(works.database) == []
        assert locks_left(works.database) == []
        ended = {contact.id: contact for contact in contacts(works.database)}
        assert {ended[contact_id].status for contact_id in interrupted} == {"unknown"}, "it was killed before it sent"
        sent = Counter(contact.channel for contact in ended.values() if contact.status in MAY_BE_OUT)
        assert sent["sms"] > 100, f"the test did not test much: {sent}"


def run_everything(crew: Crew, folder: Path, database: Database) -> tuple[dict[str, Any], list[str]]:
    """
    Let them all loose, and kill a sweep and a dispatch in the middle of their work, each while others of its kind go on.

    Returns what the workers told, and the contacts that the killed dispatch had begun to send.
    """
    workspace = str(folder)
    duecourse = str(Path(sys.executable).with_name("duecourse"))
    schedulers = [crew.start(duecourse, "-w", workspace, "serve") for _ in range(2)]

    def worker(name: str, seed: int) -> subprocess.Popen[str]:
        return crew.start("-m", "tests.stress_worker", name, workspace, str(SECONDS), str(seed))

    doomed = {name: worker(name, 99) for name in AT_WORK}
    workers = [(name, worker(name, seed)) for seed, name in enumerate(WORKERS)]
    for name, process in doomed.items():
        kill_at_work(process, database, name)
    told: dict[str, Any] = defaultdict(lambda: {"done": 0, "imported": {}, "stopped": []})
    for name, process in workers:
        answer = json.loads(finished(process)[0])
        told[name]["done"] += answer["done"].get("done", 0)
        told[name]["imported"] |= answer.get("imported", {})
        told[name]["stopped"] += answer.get("stopped", [])
    for process in schedulers:
        process.send_signal(signal.SIGTERM)
    said = [finished(process)[1] for process in schedulers]
    assert any("acting: " in errors for errors in said), said
    assert any("standing by" in errors for errors in said), said
    assert not [errors for errors in said if '"job_failed"' in errors], said
    return told, under_way(database, "dispatch", doomed["dispatch"].pid)


def kill_at_work(process: subprocess.Popen[str], database: Database, name: str) -> None:
    """Kill a worker at a moment when the database shows it in the middle of its job."""
    until = time.monotonic() + SECONDS
    while True:
        if under_way(database, name, process.pid):
            process.send_signal(signal.SIGSTOP)  # so that it is still there when it is killed
            if under_way(database, name, process.pid):
                process.kill()
                return
            process.send_signal(signal.SIGCONT)
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, f"no {name} was ever seen at work"
        time.sleep(0.005)


def under_way(database: Database, name: str, pid: int) -> list[str]:
    """What that process is about right now: contacts it is sending, or the sweep of which it has decided a part."""
    with database.session() as session:
        return [str(one) for one in session.execute(text(AT_WORK[name]), {"pid": pid}).scalars()]


def settle(works: Works) -> None:
    """Half an hour later what the killed ones left behind is put right, and one more sweep looks at the whole book."""
    later = now() + timedelta(minutes=30)
    works.dispatch_all(later)
    works.handle_events(later)
    result = works.sweep(later, lambda _done, _total: None)
    assert (result.finished, result.brake) == (True, None)


def contacts(database: Database) -> list[Contact]:
    with database.session() as session:
        return list(session.exec(select(Contact).where(col(Contact.run_id).is_not(None))))


def problems_of_storage(session: Session) -> list[str]:
    """What the database itself finds wrong; on both, every reference is followed by hand."""
    found: list[str] = []
    if session.get_bind().dialect.name == "sqlite":
        found += [row[0] for row in session.execute(text("pragma integrity_check")) if row[0] != "ok"]
        found += [str(row) for row in session.execute(text("pragma foreign_key_check"))]
    for table in SQLModel.metadata.tables.values():
        for key in table.foreign_keys:
            there = key.column.table.alias("there")
            found_there = select(1).where(there.c[key.column.name] == key.parent).correlate(table).exists()
            missing = select(func.count()).select_from(table).where(key.parent.is_not(None), ~found_there)
            if count := session.execute(missing).scalar_one():
                found.append(f"{count} rows of {table.name}.{key.parent.name} point nowhere")
    return found


def problems_of_contacts(session: Session, provider: FakeProvider, mails: FakeMailServer) -> list[str]:
    """Nothing left twice, nothing left unlogged, nothing is said to have left that did not."""
    found = []
    planned = {contact.id: contact for contact in session.exec(select(Contact).where(col(Contact.run_id).is_not(None)))}
    arrived = Counter([one.contact for one in provider.accepted] + [mail.contact for mail in mails.taken])
    for contact_id, count in arrived.items():
        contact = planned.get(contact_id)
        if count > 1:
            found.append(f"{contact_id} arrived {count} times")
        if contact is None or contact.status not in MAY_BE_OUT:
            found.append(f"{contact_id} arrived and is {contact and contact.status}")
    for contact in planned.values():
        left = contact.channel in OUT_BY_MACHINE and contact.status in ("sent", "delivered")
        if left and contact.id not in arrived:
            found.append(f"{contact.id} is {contact.status} and never arrived")
        if contact.status in ("claimed", "sending"):
            found.append(f"{contact.id} is still {contact.status}")
    keys = Counter(contact.slot for contact in planned.values())
    found += [f"slot {slot} was used {count} times" for slot, count in keys.items() if count > 1]
    return found + broken_histories(session, planned)


def broken_histories(session: Session, planned: dict[str, Contact]) -> list[str]:
    """Every change of status was a lawful one and is on record; the record ends where the contact stands."""
    steps: defaultdict[str, list[str]] = defaultdict(list)
    for row in session.exec(select(ContactStatus).order_by(col(ContactStatus.id))):
        steps[row.contact_id].append(row.status)
    # A claim is not a change that anybody needs to read about, so it is not on record; a remark repeats the status.
    lawful = {(a, b) for a, following in NEXT.items() for b in following} | {("planned", b) for b in NEXT["claimed"]}
    queued = {("sent", "cancelled"), ("sent", "expired"), ("sent", "unknown")}
    found = []
    for contact_id, contact in planned.items():
        way = steps[contact_id]
        if not way or way[0] != "planned" or way[-1] != contact.status:
            found.append(f"{contact_id} is {contact.status}, its record says {way}")
        allowed = lawful | queued if contact.channel in TASK_CHANNELS else lawful
        found += [f"{contact_id} went from {a} to {b}" for a, b in pairwise(way) if a != b and (a, b) not in allowed]
    return found


def problems_of_decisions(session: Session) -> list[str]:
    """One decision per run and loan, and every loan that is overdue has one in the last sweep."""
    last = session.exec(select(Run).where(Run.kind == "sweep").order_by(col(Run.id).desc()).limit(1)).one()
    found = [f"run {last.id} is {last.status}"] if last.status != "done" else []
    running = session.exec(select(Run).where(Run.status == "running")).all()
    found += [f"{run.kind} run {run.id} of {run.now_at} is still running" for run in running]
    pairs = Counter(session.exec(select(DecisionRow.run_id, DecisionRow.loan_id)).all())
    found += [f"{pair} was decided {count} times" for pair, count in pairs.items() if count > 1]
    days = {row.loan_id: row.on_on for row in session.exec(select(DecisionRow).where(DecisionRow.run_id == last.id))}
    today = max(days.values())
    overdue = session.exec(select(Position.loan_id).where(col(Position.first_open_on) < today)).all()
    found += [f"overdue loan {loan} has no decision in run {last.id}" for loan in overdue if loan not in days]
    unhandled = session.exec(select(Event).where(col(Event.run_id).is_(None), col(Event.parked).is_(None))).all()
    found += [f"event {event.id} ({event.kind}) was never handled" for event in unhandled]
    counted = json.loads(last.counts_json)["decisions"]
    return found + ([f"run {last.id} counted {counted} decisions and has {len(days)}"] if counted != len(days) else [])


def problems_of_history(session: Session) -> list[str]:
    """Stage entries follow each other without a gap, each from where the one before led."""
    found = []
    changes: defaultdict[int, list[StageChange]] = defaultdict(list)
    for change in session.exec(select(StageChange).order_by(col(StageChange.loan_id), col(StageChange.entry))):
        changes[change.loan_id].append(change)
    for loan, stage, entry in session.execute(text("select id, stage, stage_entry from loan")):
        way = changes[loan]
        if [change.entry for change in way] != list(range(1, entry + 1)) or way[-1].target != stage:
            found.append(
                f"loan {loan} is in {stage}, entry {entry}; its history has {[(c.entry, c.target) for c in way]}"
            )
        found += [
            f"loan {loan} left {b.source} after entering {a.target}" for a, b in pairwise(way) if a.target != b.source
        ]
    return found


def lost_movements(session: Session, imported: dict[str, str]) -> list[str]:
    """What an import said it had taken is in the ledger."""
    kept = dict(session.exec(select(Movement.ref, Movement.kind)).all())
    return [ref for ref, kind in imported.items() if kept.get(ref) != kind]


def texts_to_who_said_stop(database: Database, stopped: list[tuple[str, list[str]]]) -> list[str]:
    """Texts asking for money that began to leave after an import had ended that says they must not."""
    return [one for person, before in stopped for one in texts_on_their_way(database, person) if one not in before]


def positions_that_drifted(database: Database) -> list[tuple[Any, ...]]:
    """Loans whose position is not their ledger folded."""
    columns = [column for column in Position.__table__.columns if column.name != "version"]  # type: ignore[attr-defined]
    wanted = select(*columns).order_by(Position.loan_id)
    with database.write() as session:
        before = [tuple(row) for row in session.execute(wanted)]
        fold, _ = position_statements("select id from loan")
        session.execute(text(fold))
        after = [tuple(row) for row in session.execute(wanted)]
    return [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]


def locks_left(database: Database) -> list[str]:
    """Who can still not get in: sweeps, imports, schedulers; and on PostgreSQL transactions that nobody ends."""
    for name in ("sweep", "import", "scheduler"):
        with sole(database, name, what=f"a {name}"):
            pass
    with database.write() as session:
        session.get_one(Person, 1)
    if database.dialect == "sqlite":
        return []
    idle = "select pid::text, query from pg_stat_activity where state like 'idle in transaction%' and datname = current_database()"
    with database.session() as session:
        return [f"{pid}: {query}" for pid, query in session.execute(text(idle))]


def test_it_is_midday_wherever_the_clock_stands() -> None:
    """The zone that the stress test moves its people to makes it one o'clock, at every hour of the day."""
    from zoneinfo import ZoneInfo

    for hour in range(24):
        at = datetime(2026, 11, 23, hour, 30, tzinfo=UTC)
        assert at.astimezone(ZoneInfo(midday_zone(at))).hour == 13
