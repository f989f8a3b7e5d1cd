"""The scheduler on real databases: what runs, once, by whom, and how it stops."""

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from engine.errors import DataError, Place, Problem, RuleError
from store import jobs
from store.db import Database
from store.lock import Busy
from store.tables import Job
from workflows.scheduling.job_run import Run, Stop, run_job
from workflows.scheduling.jobs import Entry
from workflows.scheduling.schedule import serve
from workflows.scheduling.timetable import pause_job, refuse_paused, resume_job, timetable

ENTRIES = {"sweep": Entry("sweep", "0 4 * * *", "Asia/Shanghai"), "events": Entry("events", "0 5 * * *", "UTC")}


def real_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the scheduler's own clock is the machine's


@contextmanager
def serving(database: Database, run: Run, entries: dict[str, Entry] | None = None) -> Iterator[list[str]]:
    """A scheduler in a thread, for the length of the block; yields what it tells."""
    told: list[str] = []
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            serve(
                database, ENTRIES if entries is None else entries, run, clock=real_now, tell=told.append, stop=stop,
                stand_by_seconds=0.1, watch_seconds=0.05,
            )  # fmt: skip
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: bool(told) or bool(failed))
    try:
        yield told
    finally:
        stop.set()
        thread.join(30)
        assert failed == []
        assert not thread.is_alive()


def wait_for(true: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)


def row(database: Database, name: str) -> Job:
    """What the database knows of a job."""
    with database.session() as session:
        return jobs.jobs(session)[name]


def change(database: Database, name: str, **values: object) -> None:
    """Write down something else of a job."""
    with database.write() as session:
        jobs.know(session, [name], now=real_now())
        session.execute(update(Job).where(col(Job.name) == name).values(**values))


def began(database: Database, name: str, ago: timedelta) -> None:
    """Let its last run lie that far back, as after days of standing still."""
    at = real_now() - ago
    change(database, name, state="done", began_at=at, ended_at=at, known_at=at)


def hold(database: Database, name: str, until: datetime | None = None) -> None:
    pause_job(database, ENTRIES, name, by="mei", because="the feed is late", until=until, now=real_now())


def runs_of(database: Database, entries: dict[str, Entry] | None = None, *, seconds: float = 0.4) -> list[str]:
    """What runs within moments of starting."""
    ran: list[str] = []
    with serving(database, noting(ran), entries):
        time.sleep(seconds)
    return ran


def noting(ran: list[str]) -> Run:
    def run(name: str, _stop: Stop) -> Mapping[str, int]:
        ran.append(name)
        return {"things": 1}

    return run


def test_a_missed_run_comes_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """After three days away a daily sweep runs once, at once, and how many were dropped is said; after that nothing is due."""
    assert runs_of(database) == []
    began(database, "sweep", timedelta(days=3))
    ran: list[str] = []
    with serving(database, noting(ran)):
        wait_for(lambda: row(database, "sweep").state == "done" and ran)
        time.sleep(0.4)
    assert ran == ["sweep"]
    assert [(r.job, r.count) for r in caplog.records if r.__dict__.get("action") == "job_missed"] == [("sweep", 2)]
    assert (row(database, "sweep").state, row(database, "sweep").failures) == ("done", 0)
    assert runs_of(database) == []


def test_a_run_that_was_broken_off_comes_again(database: Database) -> None:
    """A job that was killed in the middle runs as soon as a scheduler acts; one that ended does not."""
    change(database, "sweep", state="running", began_at=real_now())
    assert runs_of(database) == ["sweep"]
    assert row(database, "sweep").state == "done"
    assert runs_of(database) == []


def test_an_edited_schedule_is_in_force_from_its_start(database: Database) -> None:
    """Another hour or zone moves the next run; a job taken out does not run; one left as it was keeps its missed run."""
    for name in ENTRIES:
        began(database, name, timedelta(days=2))
    hour = (real_now() + timedelta(hours=2)).hour
    later = {
        "sweep": Entry("sweep", f"0 {hour} {(real_now() + timedelta(hours=2)).day} * *", "UTC"),
        "events": ENTRIES["events"],
    }
    change(database, "sweep", began_at=real_now())
    assert runs_of(database, later) == ["events"]
    began(database, "events", timedelta(days=2))
    assert runs_of(database, {"sweep": later["sweep"]}) == []


def test_a_paused_job_waits_and_runs_once_when_it_goes_on(database: Database) -> None:
    """A running scheduler heeds a pause and its end without a restart; what was missed meanwhile is one run."""
    began(database, "sweep", timedelta(days=3))
    hold(database, "sweep")
    ran: list[str] = []
    with serving(database, noting(ran)):
        time.sleep(0.4)
        assert ran == []
        resume_job(database, ENTRIES, "sweep", by="mei", because="it has come", now=real_now())
        wait_for(lambda: ran)
        time.sleep(0.4)
    assert ran == ["sweep"]


def test_a_pause_ends_by_itself(database: Database) -> None:
    """With `--until` nobody has to remember it."""
    began(database, "sweep", timedelta(days=3))
    until = real_now() + timedelta(seconds=1)
    hold(database, "sweep", until)
    ran: list[datetime] = []

    def run(name: str, _stop: Stop) -> Mapping[str, int]:
        ran.append(real_now())
        return {}

    with serving(database, run):
        wait_for(lambda: ran)
    assert len(ran) == 1
    assert ran[0] >= until


def test_a_pause_ends_what_runs_at_its_next_safe_point(database: Database) -> None:
    """A dispatch that is paused stops between two steps, and goes on when it is let."""
    began(database, "sweep", timedelta(days=1))
    ran: list[str] = []

    def run(name: str, stop: Stop) -> Mapping[str, int]:
        ran.append(name)
        if len(ran) == 1:
            wait_for(stop)
        return {}

    with serving(database, run):
        wait_for(lambda: ran)
        hold(database, "sweep")
        wait_for(lambda: row(database, "sweep").state == "stopped")
        resume_job(database, ENTRIES, "sweep", by="mei", because="", now=real_now())
        wait_for(lambda: row(database, "sweep").state == "done")
    assert ran == ["sweep", "sweep"]


def test_pauses_are_refused_with_who_and_why_and_stay_in_the_log(database: Database) -> None:
    """Twice, for nothing, into the past, of no job: refused in words. Who paused and resumed what is evidence."""
    hold(database, "sweep")
    with pytest.raises(DataError, match=r"job `sweep` is paused by mei since .*: the feed is late"):
        hold(database, "sweep")
    with pytest.raises(DataError, match="is paused by mei"):
        refuse_paused(database, "sweep", real_now())
    with pytest.raises(DataError, match="is over"):
        hold(database, "events", real_now())
    with pytest.raises(DataError, match="unknown job `swep`\n  mend: write `sweep`"):
        hold(database, "swep")
    with pytest.raises(DataError, match="`--because` says nothing"):
        pause_job(database, ENTRIES, "events", by="mei", because=" ", until=None, now=real_now())
    resume_job(database, ENTRIES, "sweep", by="sam", because="", now=real_now())
    with pytest.raises(DataError, match="job `sweep` is not paused"):
        resume_job(database, ENTRIES, "sweep", by="sam", because="", now=real_now())
    with database.session() as session:
        queued = session.execute(text("select key from log_queue where kind = 'job_act' order by id")).scalars().all()
    assert queued == ["1", "2"]
    with pytest.raises(DBAPIError, match="part of the log"), database.write() as session:
        session.execute(text("update job_act set by = 'nobody'"))


def test_a_run_by_hand_and_the_schedulers_never_overlap(database: Database) -> None:
    """While somebody runs a job by hand the scheduler leaves it, and that run counts; and the other way round."""
    began(database, "sweep", timedelta(days=1))
    ran: list[str] = []
    go_on = threading.Event()

    def slow(name: str, _stop: Stop) -> Mapping[str, int]:
        ran.append(f"by hand {name}")
        go_on.wait(30)
        return {}

    hand = threading.Thread(target=lambda: run_job(database, "sweep", slow, clock=real_now, stop=lambda: False))
    hand.start()
    wait_for(lambda: ran)
    with serving(database, noting(ran)):
        time.sleep(0.4)
        with pytest.raises(Busy, match="the job `sweep` is running already: process "):
            run_job(database, "sweep", slow, clock=real_now, stop=lambda: False)
        go_on.set()
        hand.join()
        time.sleep(0.4)
    assert ran == ["by hand sweep"]
    assert runs_of(database) == []


def test_the_list_says_what_is_overdue_and_why(database: Database) -> None:
    """Missed and held back is not overdue; missed and not held back is; what it failed of stands beside it."""
    began(database, "sweep", timedelta(days=2))
    with database.session() as session:
        sweep, events = timetable(session, ENTRIES, real_now())
    assert (sweep.overdue, sweep.seconds, events.job, events.overdue) == (True, 0, None, False)
    hold(database, "sweep")
    with database.session() as session:
        sweep, _ = timetable(session, ENTRIES, real_now())
    assert not sweep.overdue
    assert sweep.pause is not None
    assert sweep.pause.because == "the feed is late"


def test_a_job_that_fails_is_logged_and_the_others_run(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is logged in its own words, a bug by kind and place only; neither stops the scheduler."""
    caplog.set_level(logging.INFO)
    ran: list[str] = []

    def run(name: str, _stop: Stop) -> Mapping[str, int]:
        ran.append(name)
        if name == "sweep":
            raise RuleError(
                Problem("unknown fact `day_past_due`", "write `days_past_due`", Place("rules/a.yaml", 3, 7))
            )
        raise ValueError("Somebody Number1, +8613000000001")

    for name in ENTRIES:
        began(database, name, timedelta(days=1))
    with serving(database, run):
        wait_for(lambda: len(ran) == 2)
        wait_for(lambda: len([r for r in caplog.records if r.levelno == logging.ERROR]) == 2)
    by_job = {record.job: record for record in caplog.records if record.levelno == logging.ERROR}
    refused, failed = by_job["sweep"], by_job["events"]
    assert (refused.action, refused.what, refused.mend) == (
        "job_refused", "rules/a.yaml:3:7: unknown fact `day_past_due`", "write `days_past_due`",
    )  # fmt: skip
    assert (failed.action, failed.error) == ("job_failed", "ValueError")
    assert failed.where.startswith("test_schedule.py:")
    assert "Somebody" not in caplog.text
    assert "+86" not in caplog.text
    assert runs_of(database) == []
    assert (row(database, "sweep").state, row(database, "sweep").failures) == ("refused", 1)
    assert row(database, "sweep").why == "rules/a.yaml:3:7: unknown fact `day_past_due`"
    assert row(database, "events").why.startswith("ValueError at test_schedule.py:")


def test_only_one_scheduler_of_a_database_acts(database: Database) -> None:
    """A second one says who acts and stands by; when the first stops it takes over."""
    with serving(database, noting([])) as first:
        assert first == ["acting: sweep 0 4 * * * Asia/Shanghai, events 0 5 * * * UTC"]
        process = Process(database, Path("/dev/null"))
        said = process.line()
        assert said.startswith("a scheduler is running already: process ")
        assert said.endswith("; standing by")
    assert process.line().startswith("acting: ")
    process.stop()


# -- as processes of their own ----------------------------------------------------------------------------


class Process:
    """A scheduler process and what it says."""

    def __init__(self, database: Database, file: Path, seconds: float = 0) -> None:
        url = (
            f"sqlite:///{database.place}"
            if database.dialect == "sqlite"
            else database.url.render_as_string(hide_password=False)
        )
        command = [sys.executable, "-m", "tests.scheduler_process", url, str(file), str(seconds)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self) -> str:
        """The next thing it tells."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def stop(self, seconds: float = 20) -> tuple[str, list[dict[str, str]]]:
        """Send SIGTERM; what it said last, and its log lines. It has to end well, and in time."""
        self.child.send_signal(signal.SIGTERM)
        out, err = self.child.communicate(timeout=seconds)
        assert self.child.returncode == 0, err
        return out.strip(), [json.loads(line) for line in err.splitlines()]


def test_sigterm_ends_a_scheduler_with_its_running_job(database: Database, tmp_path: Path) -> None:
    """Told to stop, a scheduler lets its job end, exits with 0 within seconds, and runs that job again next time."""
    file = tmp_path / "runs"
    change(database, "sweep", state="running", began_at=real_now())
    process = Process(database, file, seconds=60)
    assert process.line() == "acting: sweep 0 4 * * * UTC, events * * * * * UTC"
    wait_for(lambda: file.exists() and "sweep begins" in file.read_text())
    began = time.monotonic()
    said, logged = process.stop()
    assert time.monotonic() - began < 10
    assert said == "stopped; whatever was running has ended"
    assert file.read_text().count("sweep ends") == 1
    assert {"job_begins", "job_ended"} <= {line["action"] for line in logged if line.get("job") == "sweep"}
    assert row(database, "sweep").state == "stopped"


def test_a_killed_scheduler_is_replaced_and_its_job_runs_again(database: Database, tmp_path: Path) -> None:
    """`kill -9` in the middle of a sweep: the one standing by takes over, and sweeps once more."""
    first_file, second_file = tmp_path / "first", tmp_path / "second"
    change(database, "sweep", state="running", began_at=real_now())
    first = Process(database, first_file, seconds=60)
    assert first.line().startswith("acting: ")
    wait_for(lambda: first_file.exists() and "sweep begins" in first_file.read_text())
    second = Process(database, second_file)
    assert second.line().endswith("; standing by")
    assert not second_file.exists()
    first.child.kill()
    first.child.communicate()
    assert second.line().startswith("acting: ")
    wait_for(lambda: second_file.exists() and "sweep ends" in second_file.read_text())
    second.stop()
    assert second_file.read_text().count("sweep begins") == 1


def test_a_scheduler_that_loses_its_lock_stops_acting(
    postgres_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """When the server drops the connection that holds the lock, nothing more runs until the lock is held again."""
    with serving(postgres_database, noting([])) as told:
        with postgres_database.engine.connect() as connection:
            connection.execute(text(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
            ))  # fmt: skip
        wait_for(lambda: len(told) == 2)
        assert told[1].startswith("acting: ")
    assert "the scheduler lost the database" in caplog.text
