"""Giving positions: to all that is committed, in the order of the queue, by one process or several, killed at any moment."""

import multiprocessing
import threading
from typing import Any

import pytest
from sqlalchemy import text

from engine.errors import StoreError
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.log import growing_tree, leaves
from store.log_kinds import KINDS
from tests.logs import NOW, SignedLog, add_decisions, fill, positions, queried
from workflows.crew import processes, threads
from workflows.log.sequence import sequence


def test_concurrent_writers_and_rollbacks_leave_no_gap_and_no_miss(database: Database) -> None:
    """Four writers, every third transaction undone, a sequencer at work meanwhile: each committed row has one position."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for n in range(30):
                try:
                    with database.write() as session:
                        for part in range(3):
                            values = {"at": NOW, "subject": f"{writer}-{n}-{part}"}
                            session.connection().execute(
                                table_of("deed").insert(), [{**values, "kind": "import", "detail_json": "{}"}]
                            )
                        if n % 3 == 0:
                            raise Undone  # noqa: TRY301 - the transaction shall not be
                except Undone:
                    pass
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    def keep() -> None:
        try:
            while not stop.is_set():
                sequence(database)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    keeper = threading.Thread(target=keep)
    for thread in (*writers, keeper):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    keeper.join()
    assert errors == []
    sequence(database)
    placed = positions(database)
    assert [position for position, _, _ in placed] == list(range(len(placed)))
    deeds = {str(id_) for (id_,) in queried(database, "select id from deed")}
    assert len(deeds) == 4 * 20 * 3
    assert sorted(key for _, kind, key in placed if kind == "deed") == sorted(deeds)


class Undone(Exception):  # noqa: N818
    """The transaction shall not be."""


def test_what_commits_late_with_an_early_number_is_not_missed(postgres_database: Database) -> None:
    """A transaction that took its numbers first and commits last is sequenced after those that overtook it."""
    sequence(postgres_database)
    insert = text("insert into deed (at, kind, subject, detail_json) values (now(), 'import', :who, '{}')")
    with postgres_database.write() as slow:
        slow.connection().execute(insert, {"who": "slow"})
        with postgres_database.write() as fast:
            fast.connection().execute(insert, {"who": "fast"})
        assert sequence(postgres_database).entries == 1
    assert sequence(postgres_database).entries == 1
    order = [key for _, kind, key in positions(postgres_database) if kind == "deed"]
    assert [queried(postgres_database, f"select subject from deed where id = {key}")[0][0] for key in order] == [
        "fast",
        "slow",
    ]


@pytest.mark.parametrize("step", ["leaves", "execute"])
def test_a_sequencer_that_dies_has_done_whole_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Cut off while it writes the second batch, it leaves the first; the next run goes on, and the log is whole."""
    log = SignedLog(database)
    fill(database)
    add_decisions(database, 300, run=101)
    monkeypatch.setattr("store.log.waiting.__kwdefaults__", {"limit": 150})
    from store import bulk_postgres, bulk_sqlite

    transaction = bulk_sqlite.SqliteTransaction if database.dialect == "sqlite" else bulk_postgres.PostgresTransaction
    if step == "leaves":
        step = "execute_each" if database.dialect == "sqlite" else "append"
    real, calls = getattr(transaction, step), []

    def dies(self: object, *args: Any) -> Any:
        calls.append(args)
        # Leaves are copied once a batch within SQLite, and the batch ends with two single statements.
        if len(calls) == (2 if step == "execute_each" else 3):
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(transaction, step, dies)
    with pytest.raises(KeyboardInterrupt):
        sequence(database)
    monkeypatch.setattr(transaction, step, real)
    with reading(database) as reader:
        assert 0 < growing_tree(reader).size <= 300
    log.sign()
    assert log.found() == []
    assert len(positions(database)) == 6 * len(KINDS) + 301


def test_who_reads_and_hashes_makes_no_difference(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What processes on SQLite and threads on PostgreSQL read gets the positions and hashes that one alone gives."""
    log = SignedLog(database)
    fill(database)
    add_decisions(database, 400, run=101)
    monkeypatch.setattr("store.log.waiting.__kwdefaults__", {"limit": 60})
    monkeypatch.setattr("workflows.log.sequence.ENTRIES_PER_PROCESS", 200)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    queued = queried(database, "select kind, key from log_queue order by id")
    begun = []

    def noted(name: str, real: Any) -> None:
        monkeypatch.setattr(
            f"workflows.log.sequence.{name}", lambda *args, **rest: begun.append((name, args[1])) or real(*args, **rest)
        )

    noted("processes", processes)
    noted("threads", threads)
    done = sequence(database)
    assert begun == [("processes" if database.dialect == "sqlite" else "threads", 2)]
    assert done.lost == 0
    # Verification reads and hashes alone.
    log.sign()
    assert log.found() == []
    with reading(database) as reader:
        assert [(leaf.kind, leaf.key) for leaf in leaves(reader, 0, done.size)] == queued


def test_a_process_of_the_sequencer_that_dies_is_told(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed by whoever needed its memory: the run ends with a message, and the next one does the rest."""
    database = sqlite_database
    log = SignedLog(database)
    fill(database)
    add_decisions(database, 400, run=101)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("store.log.waiting.__kwdefaults__", {"limit": 60})
    monkeypatch.setattr("workflows.log.sequence.ENTRIES_PER_PROCESS", 200)

    def killed(done: int, _total: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(StoreError, match="was killed"):
        sequence(database, progress=killed)
    log.sign()
    assert log.found() == []
    assert len(positions(database)) == 6 * len(KINDS) + 401
