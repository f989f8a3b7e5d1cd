"""The scheduler on real databases: what runs, once, by whom, and how it stops."""

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.errors import Place, Problem, RuleError
from store.db import Database
from store.settings import read_setting
from tests.outgoing import set_setting
from workflows.jobs import Entry
from workflows.schedule import Stop, _scheduler, serve

ENTRIES = {"sweep": Entry("sweep", "0 4 * * *", "Asia/Shanghai"), "events": Entry("events", "0 5 * * *", "UTC")}


def real_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the scheduler's own clock is the machine's


@contextmanager
def serving(
    database: Database, run: Callable[[str, Stop], None], entries: dict[str, Entry] | None = None
) -> Iterator[list[str]]:
    """A scheduler in a thread, for the length of the block; yields what it tells."""
    told: list[str] = []
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            serve(
                database, ENTRIES if entries is None else entries, run, clock=real_now, tell=told.append, stop=stop,
                stand_by_seconds=0.1,
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


def missed(database: Database, name: str, by: timedelta) -> None:
    """Make a stored job's next time lie in the past, as after days of standing still."""
    scheduler = _scheduler(database)
    scheduler.start(paused=True)
    scheduler.get_job(name).modify(next_run_time=real_now() - by)
    scheduler.shutdown()


def runs_of(database: Database, entries: dict[str, Entry] | None = None, *, seconds: float = 1.0) -> list[str]:
    """What runs within a second of starting."""
    ran: list[str] = []
    with serving(database, lambda name, _: ran.append(name), entries):
        time.sleep(seconds)
    return ran


def test_a_missed_run_comes_once(database: Database) -> None:
    """After three days away a daily sweep runs once, at once; after that nothing is due."""
    assert runs_of(database) == []
    missed(database, "sweep", timedelta(days=3))
    ran: list[str] = []
    with serving(database, lambda name, _: ran.append(name)):
        wait_for(lambda: ran)
        time.sleep(0.5)
    assert ran == ["sweep"]
    assert runs_of(database) == []


def test_what_falls_due_at_the_shutdown_is_not_lost(database: Database) -> None:
    """A run that comes due while the scheduler is being stopped runs when it is back."""
    runs_of(database, seconds=0.1)
    for _ in range(3):
        missed(database, "sweep", timedelta(hours=1))
    assert runs_of(database) == ["sweep"]


def test_a_run_that_was_broken_off_comes_again(database: Database) -> None:
    """A job that was killed in the middle runs as soon as a scheduler acts; one that ended does not."""
    assert runs_of(database) == []
    set_setting(database, "job.sweep", "running")
    ran: list[str] = []
    with serving(database, lambda name, _: ran.append(name)):
        wait_for(lambda: ran)
        time.sleep(0.3)
    assert ran == ["sweep"]
    with database.session() as session:
        assert read_setting(session, "job.sweep") == ""


def test_an_edited_schedule_is_in_force_from_its_start(database: Database) -> None:
    """Another hour or zone moves the next run; a job taken out is gone; one left as it was keeps its missed run."""
    runs_of(database, seconds=0.1)
    before = next_times(database)
    missed(database, "events", timedelta(hours=1))
    edited = {"sweep": Entry("sweep", "0 4 * * *", "America/New_York"), "events": ENTRIES["events"]}
    assert runs_of(database, edited) == ["events"]
    after = next_times(database)
    assert after["sweep"] != before["sweep"]
    assert runs_of(database, {"sweep": edited["sweep"]}, seconds=0.1) == []
    assert set(next_times(database)) == {"sweep"}


def next_times(database: Database) -> dict[str, float]:
    with database.engine.connect() as connection:
        found = connection.execute(text("select id, next_run_time from scheduled_job"))
        return {row[0]: row[1] for row in found}


def test_a_job_that_fails_is_logged_and_the_others_run(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is logged in its own words, a bug by kind and place only; neither stops the scheduler."""
    caplog.set_level(logging.INFO)
    ran: list[str] = []

    def run(name: str, _stop: Stop) -> None:
        ran.append(name)
        if name == "sweep":
            raise RuleError(
                Problem("unknown fact `day_past_due`", "write `days_past_due`", Place("rules/a.yaml", 3, 7))
            )
        raise ValueError("Somebody Number1, +8613000000001")

    with serving(database, run):
        set_setting(database, "job.sweep", "")
    for name in ENTRIES:
        missed(database, name, timedelta(hours=1))
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


def test_only_one_scheduler_of_a_database_acts(database: Database) -> None:
    """A second one says who acts and stands by; when the first stops it takes over."""
    ran: list[str] = []
    with serving(database, lambda name, _: ran.append(name)) as first:
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
    set_setting(database, "job.sweep", "running")
    process = Process(database, file, seconds=60)
    assert process.line() == "acting: sweep 0 4 * * * UTC, events * * * * * UTC"
    wait_for(lambda: file.exists() and "sweep begins" in file.read_text())
    began = time.monotonic()
    said, logged = process.stop()
    assert time.monotonic() - began < 10
    assert said == "stopped; whatever was running has ended"
    assert file.read_text().count("sweep ends") == 1
    assert {"job_begins", "job_ended"} <= {line["action"] for line in logged if line.get("job") == "sweep"}
    with database.session() as session:
        assert read_setting(session, "job.sweep") == "running"


def test_a_killed_scheduler_is_replaced_and_its_job_runs_again(database: Database, tmp_path: Path) -> None:
    """`kill -9` in the middle of a sweep: the one standing by takes over, and sweeps once more."""
    first_file, second_file = tmp_path / "first", tmp_path / "second"
    set_setting(database, "job.sweep", "running")
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
    with serving(postgres_database, lambda _name, _stop: None) as told:
        with postgres_database.engine.connect() as connection:
            connection.execute(text(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
            ))  # fmt: skip
        wait_for(lambda: len(told) == 2)
        assert told[1].startswith("acting: ")
    assert "the scheduler lost the database" in caplog.text
