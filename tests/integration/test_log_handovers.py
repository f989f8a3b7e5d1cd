"""What witnesses are said to have taken, next to what they hold: nobody invents, loses or changes it unseen."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from duecourse.witnesses import FolderWitness, ask_folder
from store.db import Database
from store.tables import LogHandover
from tests.logs import SignedLog, add_decisions, fill, without_triggers
from workflows.log.checkpoint import hand_over
from workflows.log.witnessed import Asked

NAME = "../elsewhere"
POST = "https://post.example/log"


class Post:
    """A witness that only takes."""

    name = POST

    def take(self, number: int, note: str) -> None:
        """Take it."""

    def holds(self, after: int) -> dict[int, str]:
        """It cannot be asked."""
        del after
        return {}


class Witnessed(SignedLog):
    """A log whose four checkpoints a folder has, and the last three an endpoint that cannot be asked."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database)
        self.folder = folder / "elsewhere"
        fill(database)
        for run in range(4):
            add_decisions(database, 3, run=101 + run)
            self.sign()
            witnesses = [FolderWitness(NAME, self.folder), *([Post()] if run else [])]
            assert hand_over(database, witnesses, now=self.now) == []

    def file(self, number: int) -> Path:
        """The folder's file of a checkpoint."""
        return self.folder / f"checkpoint-{number}.txt"

    def answer(self, *more: Asked) -> tuple[list[str], list[str], list[str]]:
        """What verification finds, cannot tell, and tells of witnesses; the folder and the endpoint are in the settings."""
        asked = more or (ask_folder(NAME, self.folder), Asked(POST, "never"))
        found = self.verify(asked=asked)
        told = [one for one in found.told if one.startswith("witness ")]
        return [str(one) for one in found.findings], found.unknown, told

    def sql(self, *statements: str) -> None:
        """What somebody does who owns the database, past triggers and references."""
        if self.database.dialect == "postgresql":
            with without_triggers(self.database) as connection:
                for statement in statements:
                    assert connection.execute(text(statement)).rowcount
            return
        with closing(sqlite3.connect(str(self.database.engine.url.database))) as file:
            for table in ("log_handover", "log_checkpoint"):
                for ending in ("kept", "unchanged"):
                    file.execute(f"drop trigger if exists {table}_{ending}")
            for statement in statements:
                assert file.execute(statement).rowcount
            file.commit()


@pytest.fixture
def log(database: Database, tmp_path: Path) -> Witnessed:
    """Such a log, once on each database."""
    return Witnessed(database, tmp_path)


ONLY_TAKES = [f"witness {POST}: it cannot be asked about checkpoints 2 to 4"]


def test_what_stands_is_told_with_what_cannot_be_asked(log: Witnessed) -> None:
    """Nothing is wrong; that an endpoint has three of them is the database's own word, and is told as that."""
    assert log.answer() == ([], [], ONLY_TAKES)


def _sql(*statements: str) -> Callable[[Witnessed], object]:
    return lambda log: log.sql(*statements)


MICROSECOND = {"sqlite": "1", "postgresql": "interval '1 microsecond'"}
WRONGS: dict[str, tuple[Callable[[Witnessed], Any], list[str]]] = {
    "an invented handover": (
        lambda log: (log.file(3).unlink(), log.sql(f"delete from log_handover where number = 3 and witness = '{NAME}'"),
                     log.sql(f"insert into log_handover select number, '{NAME}', at from log_checkpoint where number = 3")),
        [f"missing: checkpoint 3 at witness {NAME}, which took it, as its handover says"]),
    "a handover gone": (
        _sql(f"delete from log_handover where number = 2 and witness = '{NAME}'"),
        [f"missing: handover of checkpoint 2 to witness {NAME}, which holds it"]),
    "the first handover gone": (
        _sql(f"delete from log_handover where number = 1 and witness = '{NAME}'"),
        [f"missing: handover of checkpoint 1 to witness {NAME}, which holds it"]),
    "all handovers gone": (
        _sql("delete from log_handover"),
        [f"missing: handover of checkpoint {n} to witness {NAME}, which holds it" for n in (1, 2, 3, 4)]),
    "a handover before its checkpoint": (
        lambda log: log.sql(f"update log_handover set at = at - {MICROSECOND[log.database.dialect]} where number = 3 and witness = '{POST}'"),
        [f"altered: handover of checkpoint 3 to witness {POST}: it is older than the checkpoint"]),
    "a handover of no checkpoint": (
        _sql(f"insert into log_handover select 9, '{POST}', at from log_checkpoint where number = 3"),
        [f"missing: checkpoint 9: there is a handover of it to witness {POST}"]),
    "a handover of another number": (
        _sql(f"update log_handover set number = 7 where number = 3 and witness = '{NAME}'"),
        [f"missing: checkpoint 7: there is a handover of it to witness {NAME}",
         f"missing: handover of checkpoint 3 to witness {NAME}, which holds it",
         f"missing: checkpoint 7 at witness {NAME}, which took it, as its handover says"]),
    "a handover to somebody else": (
        _sql(f"update log_handover set witness = 'x' where number = 3 and witness = '{NAME}'"),
        [f"missing: handover of checkpoint 3 to witness {NAME}, which holds it"]),
    "a file gone": (
        lambda log: log.file(3).unlink(),
        [f"missing: checkpoint 3 at witness {NAME}, which took it, as its handover says"]),
    "a file that is another checkpoint": (
        lambda log: log.file(3).write_bytes(log.file(2).read_bytes()),
        [f"altered: witness {NAME}, checkpoint-3.txt: it is not checkpoint 3 as the database has it"]),
    "a file that was changed": (
        lambda log: log.file(3).write_text(log.notes[3].replace("at 2026", "at 2027"), encoding="utf-8"),
        [f"not vouched for: witness {NAME}, checkpoint-3.txt: its signature does not fit what it says"]),
    "a checkpoint that only the witness has": (
        lambda log: log.file(8).write_text(log.notes[4], encoding="utf-8"),
        [f"missing: checkpoint 8: witness {NAME} holds it"]),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONGS)
def test_what_somebody_does_to_handovers_or_files_is_found(log: Witnessed, wrong: str) -> None:
    """A handover invented, deleted, changed or given to another; a file lost, changed or replaced: its place is told."""
    do, says = WRONGS[wrong]
    do(log)
    assert log.answer()[0] == says


def test_a_checkpoint_that_is_gone_is_missed_by_its_witness_and_its_handover(log: Witnessed) -> None:
    """Whoever deletes the last checkpoint and its count has the folder and the handovers against them."""
    log.sql(
        "delete from log_checkpoint where number = 4",
        "update setting set value = replace(value, ', 4]', ', 3]') where name = 'log.head'",
    )
    found, _, _ = log.answer()
    assert f"missing: checkpoint 4: witness {NAME} holds it" in found
    assert f"missing: checkpoint 4: there is a handover of it to witness {POST}" in found


def test_a_witness_that_is_no_longer_named_is_not_asked(log: Witnessed) -> None:
    """Taken out of the settings, its handovers are no fault, whatever became of its files; that is told."""
    log.file(2).unlink()
    left = (Asked(POST, "never"),)
    gone = f"witness {NAME}: it is not in the settings any more, and not asked about checkpoints 1 to 4"
    assert log.answer(*left) == ([], [], [*ONLY_TAKES, gone])


def test_a_folder_that_is_away_cannot_be_told(log: Witnessed) -> None:
    """A folder that cannot be read is neither fine nor at fault."""
    log.folder.rename(log.folder.with_name("away"))
    assert log.answer() == ([], [f"witness {NAME}: it cannot be read"], ONLY_TAKES)


def test_a_folder_that_is_called_otherwise_now_is_the_same_folder(log: Witnessed) -> None:
    """Moved and named anew in the settings, what it took under its old name is no fault, before and after it takes more."""
    moved = log.folder.rename(log.folder.with_name("moved"))
    gone = f"witness {NAME}: it is not in the settings any more, and not asked about checkpoints 1 to 4"
    now = Asked(POST, "never")
    assert log.answer(ask_folder("../moved", moved), now) == ([], [], [*ONLY_TAKES, gone])
    add_decisions(log.database, 1, run=201)
    log.sign()
    assert hand_over(log.database, [FolderWitness("../moved", moved)], now=log.now) == []
    assert log.answer(ask_folder("../moved", moved), now) == ([], [], [*ONLY_TAKES, gone])


def test_a_witness_that_has_nothing_is_told_of(log: Witnessed, tmp_path: Path) -> None:
    """Named a minute ago, it has taken none yet: no fault, and nothing to rely on."""
    (tmp_path / "new").mkdir()
    _, _, told = log.answer(ask_folder(NAME, log.folder), ask_folder("../new", tmp_path / "new"), Asked(POST, "never"))
    assert "witness ../new: it holds no checkpoint" in told


def test_a_witness_that_cannot_be_asked_is_told_of_without_its_handovers(log: Witnessed) -> None:
    """Whoever deletes what an endpoint took leaves it looking as if it had taken none, which is told every time."""
    log.sql(f"delete from log_handover where witness = '{POST}'")
    said = f"witness {POST}: it cannot be asked what it holds; no handover says that it took any"
    assert log.answer() == ([], [], [said])


def test_what_was_taken_before_we_were_killed_is_written_down_the_next_time(log: Witnessed) -> None:
    """Killed between the witness's file and our row, and the log grown since: the next handover makes it whole."""
    add_decisions(log.database, 1, run=201)
    lost = log.sign()
    FolderWitness(NAME, log.folder).take(lost.number, lost.note)
    assert log.answer()[0] == [f"missing: handover of checkpoint 5 to witness {NAME}, which holds it"]
    add_decisions(log.database, 1, run=202)
    log.sign()
    assert hand_over(log.database, [FolderWitness(NAME, log.folder)], now=log.now) == []
    assert log.answer()[0] == []
    with log.database.session() as session:
        assert session.get(LogHandover, (5, NAME)) is not None


def test_a_slow_handover_is_no_older_than_what_was_signed_meanwhile(log: Witnessed) -> None:
    """Another process signs after we asked for the time: what we then hand over is not dated before it was signed."""
    asked_at = log.now + timedelta(seconds=1)
    add_decisions(log.database, 1, run=201)
    log.sign()
    assert hand_over(log.database, [FolderWitness(NAME, log.folder), Post()], now=asked_at) == []
    assert log.answer()[0] == []
