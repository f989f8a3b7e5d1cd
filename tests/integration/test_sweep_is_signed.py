"""A sweep ends in a signed checkpoint, by hand and by the schedule, also when it was killed and gone on with."""

import signal
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import col, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance.checkpoint import read_checkpoint
from duecourse.audit import make_key, public_keys
from duecourse.commands.init import create_workspace
from duecourse.jobs import Jobs
from duecourse.wiring import Works
from duecourse.workspace import Workspace, open_workspace
from store.db import Database
from store.tables import DecisionRow, LogCheckpoint, LogLeaf, LogQueue
from tests.outgoing import rows
from workflows.log.verify import verify

FLAGS = {"loans_per_chunk": "40"}
_KILLED = """
import os, signal, sys
from pathlib import Path
from benchmarks.sweep_steps import NOW
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from tests.opening import open_database
works = Works(open_workspace(Path(sys.argv[2]), {flags}), open_database(sys.argv[1]))
def dies(*_): os.kill(os.getpid(), signal.SIGKILL)
if "{where}" == "before it signs": works._keep_log_after = dies
works.sweep(NOW, dies if "{where}" == "after a chunk" else lambda *_: None)
"""


@pytest.fixture
def workspace(database: Database, tmp_path: Path) -> Workspace:
    """A workspace with a key, beside a book of loans."""
    create_workspace(tmp_path / "ws")
    made = open_workspace(tmp_path / "ws", FLAGS)
    write_book(database, 120, on=ON)
    make_key(made, database, name="lender.example/log", rotate=False, now=NOW - timedelta(days=1))
    return made


def is_signed(database: Database, workspace: Workspace) -> None:
    """The newest checkpoint covers every row of the log, every decision among them, and nothing waits."""
    last = max(rows(database, LogCheckpoint), key=lambda one: one.number)
    leaves = rows(database, LogLeaf)
    decisions = {f"{one.run_id}-{one.loan_id}" for one in rows(database, DecisionRow)}
    assert decisions
    assert {one.key for one in leaves if one.kind == "decision"} == decisions
    assert rows(database, LogQueue) == []
    assert read_checkpoint(last.note, public_keys(workspace)).size == last.size == len(leaves)
    found = verify(database, public_keys(workspace))
    assert (found.findings, found.unknown, found.signed) == ([], [], len(leaves))


def test_a_sweep_ends_in_a_signed_checkpoint(database: Database, workspace: Workspace) -> None:
    """By hand: whatever it decided is signed when it is done."""
    with closing(Works(workspace, database)) as works:
        works.sweep(NOW, lambda _done, _total: None)
        is_signed(database, workspace)


@pytest.mark.parametrize("where", ["after a chunk", "before it signs"])
def test_a_sweep_that_was_killed_is_signed_when_it_is_gone_on_with(
    database: Database, workspace: Workspace, where: str
) -> None:
    """Killed after a chunk, or between its end and the signature: the next sweep decides the rest, and signs all of it."""
    code = _KILLED.format(flags=FLAGS, where=where)
    died = subprocess.run(
        [sys.executable, "-c", code, database.address, str(workspace.folder)], capture_output=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert rows(database, LogCheckpoint) == []
    waiting = rows(database, LogQueue, col(LogQueue.kind) == "decision")
    assert waiting
    with closing(Works(workspace, database)) as works:
        works.sweep(NOW + timedelta(minutes=5), lambda _done, _total: None)
        is_signed(database, workspace)


def test_the_job_of_the_schedule_ends_in_a_signed_checkpoint(
    database: Database, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job `sweep` signs; the job `log` signs what came in between, and again where the sweep could not."""
    monkeypatch.setattr(Workspace, "open_database", lambda _self: database)
    times = iter(NOW + timedelta(minutes=n) for n in range(9))
    with closing(Jobs(workspace.folder, lambda: next(times))) as jobs:
        jobs.run("sweep", lambda: False)
        is_signed(database, workspace)
        with database.session() as session:
            before = session.exec(select(LogCheckpoint)).all()
        monkeypatch.setattr(Works, "_keep_log_after", lambda *_: None)
        jobs.run("sweep", lambda: False)
        assert rows(database, LogQueue)
        assert jobs.run("log", lambda: False)["entries"] > 0
        assert len(rows(database, LogCheckpoint)) == len(before) + 1
        is_signed(database, workspace)
