"""Keys are replaced while others work; nothing is lost on the way, and nothing needs the former key in the end."""

from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from store import reseal
from store.bulk_postgres import PostgresTransaction
from store.bulk_sqlite import SqliteTransaction
from store.db import Database
from store.log import seal_key
from store.sealing import Key, Keyring, new_key
from store.tables import Endpoint, Person
from tests.factories import make_person
from tests.logs import positions, signed_log
from tests.marked import NAME, NOW, SEALED, fill, kept, said, told
from tests.opening import KEY, open_database
from tests.outgoing import rows
from workflows.log.prove import prove

TABLES = len({table for table, _ in SEALED})
"""As many rows as `fill` writes that hold something sealed: one in each."""


class Ring:
    """Keys that change while a database is open."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)

    def opened(self, database: Database) -> Database:
        """The database, opened with them."""
        return open_database(
            database.address, keys=Keyring(lambda: tuple(self.keys), stamp=lambda: self.keys[0], place="`keys`")
        )


def test_what_another_key_sealed_is_sealed_anew(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything reads as before, nothing needs the old key, and the hashes are what they were."""
    monkeypatch.setattr(reseal, "_BATCH", 2)
    for number in range(5):
        fill(database, name=f"{NAME} {number}" if number else "")
    ring = Ring(KEY)
    with closing(ring.opened(database)) as opened:
        before, hashes = told(opened), [e.value_hash for e in rows(opened, Endpoint)]
        ring.keys = [new_key(), KEY]
        assert reseal.is_under_way(opened)
        seen: list[int] = []
        count = reseal.reseal(opened, progress=seen.append)
        assert count == seen[-1] == 5 * TABLES - 1, "a row without a name holds nothing to seal"
        assert not reseal.is_under_way(opened)
        assert reseal.reseal(opened) == 0
        assert told(opened) == before
    ring.keys.pop()
    with closing(ring.opened(database)) as opened:
        opened.check()
        assert told(opened) == before
        assert [e.value_hash for e in rows(opened, Endpoint)] == hashes
    assert {one.partition(".")[0] for values in kept(database).values() for one in values} == {ring.keys[0].id, ""}


def test_a_change_of_keys_that_was_broken_off_goes_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever transaction it died after: both keys open everything meanwhile, and the next call ends it."""
    monkeypatch.setattr(reseal, "_BATCH", 1)
    for _ in range(3):
        fill(database)
    ring = Ring(KEY)
    with closing(ring.opened(database)) as opened:
        before = told(opened)
        ring.keys = [new_key(), KEY]

        def dies(rows: int) -> None:
            if rows % 4 == 0:
                raise KeyboardInterrupt

        broken = 0
        while True:
            try:
                reseal.reseal(opened, progress=dies)
            except KeyboardInterrupt:
                broken += 1
                assert reseal.is_under_way(opened)
                assert told(opened) == before
            else:
                break
        assert broken == 3 * TABLES // 4
        assert told(opened) == before
    ring.keys.pop()
    with closing(ring.opened(database)) as opened:
        assert told(opened) == before


def test_who_works_meanwhile_goes_on_working(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was there before reads what is sealed anew, and what it writes is sealed with the new key at once."""
    monkeypatch.setattr(reseal, "_BATCH", 1)
    for _ in range(3):
        fill(database)
    ring = Ring(KEY)
    with closing(ring.opened(database)) as worker, closing(ring.opened(database)) as opened:
        before = told(worker)
        ring.keys = [new_key(), KEY]
        made: list[int] = []

        def works(_rows: int) -> None:
            assert told(worker)[0] != ()
            made.append(make_person(worker, name=NAME, mobile=f"+1212555{len(made):04}"))

        reseal.reseal(opened, progress=works)
        ring.keys.pop()
        with closing(ring.opened(database)) as later:
            assert len(made) == 3 * TABLES
            assert [len(told(later)[SEALED.index(of)]) for of in (("person", "name"), ("endpoint", "value"))] == [
                3 * TABLES + 3,
                3 * TABLES + 3,
            ]
            assert len(before) == len(SEALED)


def test_the_log_stands_as_it_was_signed_when_its_words_are_sealed_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off in the middle of each table and gone on with: no entry is another, and the refusal of changes is back."""
    monkeypatch.setattr(reseal, "_BATCH", 2)
    log = signed_log(database)
    held = {"override", "contact_status", "consent", "job_act", "stage_change"}
    proof = [(kind, key) for _, kind, key in positions(database) if kind in held]
    before = prove(database, proof, log.keys, opened=True)
    guards = triggers(database)
    ring = Ring(KEY)
    with closing(ring.opened(database)) as opened:
        ring.keys = [new_key(), KEY]
        update = SqliteTransaction.update if database.dialect == "sqlite" else PostgresTransaction.update

        def dies(transaction: Any, table: str, keys: tuple[str, ...], rows: Any) -> int:
            done = update(transaction, table, keys, rows)
            if table not in died:
                died.append(table)
                raise KeyboardInterrupt
            return done

        died: list[str] = []
        with monkeypatch.context() as patched:
            patched.setattr(SqliteTransaction if database.dialect == "sqlite" else PostgresTransaction, "update", dies)
            for _ in range(TABLES):
                with pytest.raises(KeyboardInterrupt):
                    reseal.reseal(opened)
                assert triggers(database) == guards
            assert reseal.reseal(opened)
        assert len(died) == TABLES
    ring.keys.pop()
    with closing(ring.opened(database)) as opened:
        log = log.of(opened)
        assert log.found() == []
        assert prove(opened, proof, log.keys, opened=True) == before
        assert triggers(opened) == guards
        for table, column in (("consent", "how"), ("job_act", "because"), ("contact_status", "why")):
            sealed = opened.sealing.seal(f"{table}.{column}", "another")
            with pytest.raises(DBAPIError, match="part of the log"), opened.write() as session:
                session.connection().execute(text(f"update {table} set {column} = :sealed"), {"sealed": sealed})
        with opened.session() as session:
            assert seal_key(session) is not None


def triggers(database: Database) -> list[tuple[Any, ...]]:
    """What guards the tables: every trigger, and whether it is on."""
    kept = (
        "select name, sql from sqlite_master where type = 'trigger' order by 1"
        if database.dialect == "sqlite"
        else "select tgrelid::regclass::text, tgname, tgenabled::text from pg_trigger where not tgisinternal order by 1, 2"
    )
    with database.session() as session:
        return [tuple(row) for row in session.connection().execute(text(kept))]


@pytest.mark.postgres
def test_the_old_key_is_not_given_up_while_an_earlier_transaction_may_write_with_it(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that began before the new key was there commits what the old one sealed: it is waited for, or said."""
    monkeypatch.setattr(reseal, "_LOOKS", 2)
    fill(postgres_database)
    ring = Ring(KEY)
    with closing(ring.opened(postgres_database)) as opened:
        opened.check()
        with postgres_database.write() as session:
            session.add(Person(ref="late", name=NAME, language="en", country="US", bucket=1, created_at=NOW))
            session.flush()
            ring.keys = [new_key(), KEY]
            assert said(lambda: reseal.reseal(opened)) == (
                "a transaction that began before the new key was there has not ended, and may have sealed with an older one\n"
                "  mend: let it end, e.g. an import, and run `duecourse privacy rotate` again"
            )
            assert reseal.is_under_way(opened)
        assert reseal.reseal(opened) == 1
    ring.keys.pop()
    with closing(ring.opened(postgres_database)) as opened:
        assert told(opened)[SEALED.index(("person", "name"))] == (NAME, NAME)
