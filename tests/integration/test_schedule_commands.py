"""`schedule list|run|pause|resume` as somebody at a shell has it, and what an upgrade makes of a scheduler's old notes."""

import json
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from store import jobs, migrations
from store.db import Database
from store.lock import holder, sole
from tests.conftest import Run
from tests.older_books import KINDS_OF, older_book
from tests.postgres import Server


def test_a_job_is_run_held_back_and_let_go_on(run: Run) -> None:
    """Each step answers in words, and the list shows what was done."""
    at = ("--at", "2126-03-02T06:00Z")
    code, out, err = run("schedule", "run", "promises")
    assert (code, out.rpartition(" after ")[0], err) == (0, "promises: done", "")
    refused = "sending is off\n  mend: run `duecourse db environment --sending on`"
    code, out, err = run("schedule", "run", "dispatch")
    assert (code, out.rpartition(" after ")[0], err) == (1, "dispatch: refused", refused)
    pause = ("schedule", "pause", "dispatch", "--by", "mei", "--because", "provider is down")
    assert run(*pause, "--until", "2126-03-03T00:00Z", *at) == (0, "dispatch: paused until 2126-03-03 00:00Z", "")
    held = "job `dispatch` is paused by mei since 2126-03-02 06:00Z until 2126-03-03 00:00Z: provider is down"
    mend = "\n  mend: `duecourse schedule resume dispatch` lets it go on"
    assert run(*pause, *at) == (1, "", held + mend)
    _, listed, _ = run("--json", "schedule", "list", *at)
    found = {line["job"]: line for line in json.loads(listed)["jobs"]}
    assert json.loads(listed)["acting"] is None
    assert (found["promises"]["state"], found["dispatch"]["state"], found["sweep"]["state"]) == (
        "done",
        "refused",
        "new",
    )
    assert found["dispatch"]["why"] == "sending is off"
    assert found["dispatch"]["paused"]["because"] == "provider is down"
    assert (found["promises"]["overdue"], found["dispatch"]["overdue"]) == (True, False)
    assert run("schedule", "resume", "dispatch", "--by", "sam", *at) == (
        0, "dispatch: goes on, now, for the runs that were missed", "",
    )  # fmt: skip
    _, drawn, _ = run("schedule", "list", *at)
    assert drawn.endswith("no scheduler acts: `duecourse serve` is one")
    assert "\ndispatch: sending is off\n" in drawn


def test_a_job_that_is_not_there_is_not_run(run: Run) -> None:
    """The nearest name is the mend."""
    assert run("schedule", "run", "swep") == (1, "", "unknown job `swep`\n  mend: write `sweep`")


def test_whoever_holds_a_lock_is_named_while_it_is_held(database: Database) -> None:
    """And nobody once it is let go."""
    assert holder(database, "scheduler") is None
    with sole(database, "scheduler", what="a scheduler"):
        assert str(holder(database, "scheduler")).startswith("process ")
        assert holder(database, "sweep") is None
    assert holder(database, "scheduler") is None


@pytest.mark.parametrize("kind", KINDS_OF)
def test_an_upgrade_keeps_what_was_broken_off(kind: str, tmp_path: Path, postgres_server: Server) -> None:
    """A job that was running when Duecourse was stopped for the upgrade is gone on with; the old table is gone."""
    with older_book(kind, 7, tmp_path, postgres_server) as database:
        with database.write() as session:
            session.execute(text("create table scheduled_job (id text)"))
            session.execute(text("insert into setting values ('job.sweep', 'running'), ('job.events', '')"))
        assert database.upgrade() == (7, migrations.HEAD)
        with database.session() as session:
            assert {name: job.state for name, job in jobs.jobs(session).items()} == {"sweep": "running"}
            left = session.execute(text("select count(*) from setting where name like 'job.%'")).scalar()
            there = inspect(session.connection()).has_table("scheduled_job")
        assert (left, there) == (0, False)
