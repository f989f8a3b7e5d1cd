"""An import is all or nothing: beside another one, killed at any statement, cut off, or before a locked database."""

import os
import subprocess
import sys
import textwrap

import pytest

from engine.errors import DataError, StoreError
from tests.imports import MOVEMENTS, PEOPLE, Importer, counts, dump, only_sqlite, rows
from tests.opening import open_database
from tests.postgres import Server

only_postgres = pytest.mark.parametrize("book", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)


def test_a_second_import_waits_its_turn(book: Importer) -> None:
    """One at a time: two that bring the same rows would both find them new."""

    def meanwhile(_done: int, _total: int) -> None:
        with pytest.raises(StoreError) as error:
            book.take("people", PEOPLE)
        assert f"an import is running already: process {os.getpid()} on " in str(error.value)
        assert str(error.value).endswith("\n  mend: wait until it has ended, or stop it")

    book.take("people", PEOPLE.replace("Ann", "Anna"), progress=meanwhile)
    assert rows(book.database, "person", "name")[0] == ("Anna Example",)


def test_rejects_that_cannot_be_written_undo_the_import(book: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were not taken and of which nobody hears would be lost."""
    (book.folder / "people.csv.rejects.csv").mkdir()
    before = dump(book.database)
    with pytest.raises(DataError) as error:
        book.take("people", "ref,name,language,country\nP8,Ok Example,en,CN\nP9,Bad Example,xx,CN\n")
    said = str(error.value).replace(f"{book.folder}/", "")
    assert (
        said == "cannot write `people.csv.rejects.csv`: is a directory\n  mend: import from a folder you may write to"
    )
    assert dump(book.database) == before


_KILLED = """
    import os, signal, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from engine.catalogue import load_catalogue
    from store.bulk_sqlite import SqliteTransaction
    from tests.opening import open_database
    from workflows.importing import KINDS, import_file

    url, path = sys.argv[1:]
    now = datetime(2026, 3, 2, 8, tzinfo=UTC)
    catalogue = load_catalogue()

    def dies_at(last):
        done = 0
        def dying(was):
            def call(self, *args, **values):
                nonlocal done
                done += 1
                if done == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return was(self, *args, **values)
            return call
        for name in ("append", "update", "execute", "commit"):
            setattr(SqliteTransaction, name, dying(getattr(SqliteTransaction, name)))

    step, status = 0, -9
    while os.WIFSIGNALED(status) or step == 0:
        step += 1
        if not (child := os.fork()):
            dies_at(step)
            import_file(open_database(url), KINDS["movements"], Path(path), as_of=now, now=now, catalogue=catalogue)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print("killed" if os.WIFSIGNALED(status) else f"exit {status}", flush=True)
        sys.stdin.readline()
"""


@only_sqlite
def test_a_killed_import_leaves_nothing(book: Importer) -> None:
    """Killed before each statement of its transaction in turn, the commit included; then it imports as if never begun."""
    path = book.folder / "movements.csv"
    path.write_text(MOVEMENTS + "M4,L1,payment,5.00,2026-03-01,2026-03-01T20:00:00+08:00,\n"
                    "M5,L1,reversal,5.00,2026-03-01,2026-03-01T20:00:00+08:00,M4\n")  # fmt: skip
    before = dump(book.database)
    killed = 0
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), f"sqlite:///{book.database.place}", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while (said := process.stdout.readline()) == "killed\n":
            killed += 1
            assert dump(book.database) == before
            process.stdin.write("\n")
            process.stdin.flush()
        assert said == "exit 0\n"
        process.stdin.close()
    # Before the feed, its deed, the movements, what they end, the position, the version, the events, the commit.
    assert killed == 8
    after = dump(book.database)
    assert len(after["movement"]) == len(before["movement"]) + 2
    assert counts(book.take_file("movements", path)) == (0, 0, 0, 5, 0)


@only_postgres
def test_a_broken_connection_leaves_nothing(book: Importer, postgres_server: Server) -> None:
    """The server goes away in the middle: one clear message, nothing imported, and the same file imports afterwards."""
    before = dump(book.database)
    text = MOVEMENTS + "M4,L1,payment,5.00,2026-03-01,2026-03-01T20:00:00+08:00,\n"

    def cut(done: int, total: int) -> None:
        if 0.4 < done / total < 1:
            name = str(book.database.url.database)
            postgres_server.execute(
                f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and query not like '%advisory%'"
            )

    with pytest.raises(StoreError) as error:
        book.take("movements", text, progress=cut)
    assert error.value.problems[0].what.endswith("` is out of reach")
    assert dump(book.database) == before
    assert counts(book.take("movements", text)) == (1, 0, 0, 3, 0)


@only_sqlite
def test_a_locked_database(book: Importer) -> None:
    """Says so, and nothing was imported."""
    place = book.database.place
    impatient = Importer(open_database(f"sqlite:///{place}", busy_timeout_s=0.1), book.folder)
    before = dump(book.database)
    with book.database.write(), pytest.raises(StoreError) as error:
        impatient.take("people", PEOPLE.replace("Ann", "Anna"))
    assert str(error.value) == (
        f"`{place}` is locked by another writer\n  mend: let it finish, or stop it, and run the same again"
    )
    impatient.database.close()
    assert dump(book.database) == before
