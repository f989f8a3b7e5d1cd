"""The log on real databases: positions for all that is committed, refusals, signatures, and what verification finds."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from compliance.checkpoint import PublicKey, Signer, new_key, read_checkpoint
from compliance.log_encoding import entry_bytes
from compliance.merkle import leaf_hash
from engine.errors import DataError, StoreError
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.log import growing_tree, leaves, nodes, seal_key, subtrees
from store.log_kinds import KINDS, LOG_TABLES
from store.tables import Deed, LogErased, LogHandover
from tests.logs import (
    NAME,
    NOW,
    SignedLog,
    add_decisions,
    fill,
    positions,
    queried,
    signed_log,
    standalone,
    without_triggers,
)
from workflows.log.checkpoint import checkpoints, sign
from workflows.log.prove import entries_of_loan, entry_named, prove, show
from workflows.log.sequence import sequence

EVERYTHING = [kind.table for kind in KINDS.values()]


def test_every_row_gets_one_position_and_its_own_hash(database: Database) -> None:
    """Whatever wrote them, all rows of all kinds are entries; each hash is that of the definition, made in Python."""
    fill(database)
    done = sequence(database)
    there = {(kind.name, str(count)) for kind in KINDS.values() for count in range(6)}
    assert done.size == done.entries == len(there)
    placed = positions(database)
    assert [position for position, _, _ in placed] == list(range(done.size))
    with database.session() as session:
        key = seal_key(session)
        assert key is not None
        for kind in KINDS.values():
            table = table_of(kind.table)
            for row in session.connection().execute(table.select()).mappings():
                name = "-".join(str(row[column]) for column in kind.key)
                entry = entry_bytes(kind.name, name, {f: row[f] for f in kind.fields}, kind.withheld, key)
                with reading(database) as reader:
                    at = next(position for position, of, called in placed if (of, called) == (kind.name, name))
                    assert leaves(reader, at, at + 1)[0].hash == leaf_hash(entry), name
    assert sequence(database).entries == 0


def test_every_table_of_the_log_is_guarded(log: SignedLog) -> None:
    """Nobody updates any field, deletes or truncates evidence or the log itself; only what goes on with a run may change."""
    database = log.database
    assert log.found() == []
    with database.write() as session:  # A row in each: on SQLite only a row that is there is guarded.
        session.add(LogHandover(number=1, witness="w", at=log.now))
        session.add(LogErased(kind="consent", key="1", field="how", commitment="c", deed_id=1))
    before = log.found()
    guarded = {kind.table: kind.fields for kind in KINDS.values()}
    guarded |= {table: tuple(table_of(table).columns.keys()) for table in LOG_TABLES}
    for table, columns in guarded.items():
        assert queried(database, f'select count(*) from "{table}"') != [(0,)], table
        wrongs = [f'update "{table}" set "{column}" = "{column}"' for column in columns]
        wrongs.append(f'delete from "{table}"')
        if database.dialect == "postgresql":
            wrongs.append(f'truncate "{table}" cascade')
        for wrong in wrongs:
            with pytest.raises(DBAPIError, match="part of the log"), database.write() as session:
                session.connection().execute(text(wrong))
    with database.write() as session:
        session.connection().execute(text("update run set status = 'done', counts_json = '[1]', ended_at = now_at"))
    assert log.found() == before


def test_a_replaced_row_of_sqlite_is_refused(sqlite_database: Database) -> None:
    """`insert or replace` deletes without saying so; it is refused all the same."""
    log = signed_log(sqlite_database)
    with pytest.raises(DBAPIError, match="part of the log"), sqlite_database.write() as session:
        session.connection().execute(text("insert or replace into decision select * from decision limit 1"))
    assert log.found() == []


def test_the_tree_that_is_stored_is_the_tree_of_the_entries(log: SignedLog) -> None:
    """Nodes, proofs from tiles and every checkpoint's root follow from the leaves."""
    database = log.database
    with reading(database) as reader:
        size = growing_tree(reader).size
        assert [number for number, _ in nodes(reader, 1, 0, 99)] == list(range(size // 256))
        hashed = [leaf.hash for leaf in leaves(reader, 0, size)]
        subtree = subtrees(reader)
        assert [subtree(0, n) for n in range(size)] == hashed
    with database.session() as session:
        for kept in checkpoints(session):
            assert read_checkpoint(kept.note, log.keys).size == kept.size


def test_signing_again_without_news_changes_nothing(log: SignedLog) -> None:
    """A log that did not grow has one checkpoint; another key makes another."""
    database = log.database
    last = log.sign()
    assert last.number == 4
    other = Signer(new_key(NAME))
    again = sign(database, other, now=log.now)
    assert again is not None
    assert again.number == 5
    assert (again.size, again.at) == (last.size, log.now)


def test_a_clock_that_went_backwards_signs_nothing(log: SignedLog) -> None:
    """A checkpoint is never older than the one before it."""
    database = log.database
    with pytest.raises(StoreError, match="the clock went backwards"):
        sign(database, log.signer, now=NOW - timedelta(hours=1))


def test_an_empty_log_has_nothing_to_sign(database: Database) -> None:
    """No entry, no checkpoint; verification has nothing against it, and cannot tell that it never held anything."""
    log = SignedLog(database)
    assert sign(database, log.signer, now=NOW) is None
    found = log.verify()
    assert (found.size, found.findings, found.unknown) == (0, [], ["no checkpoint vouches for any of it"])


def test_a_log_that_was_wiped_does_not_stand_as_it_was_signed(log: SignedLog) -> None:
    """Changed, emptied, and all put back as if it waited for its first positions: it cannot be told any more, and why."""
    tables = ("log_leaf", "log_node", "log_checkpoint", "log_handover")
    with log.database.write() as session:
        session.add(Deed(id=9, at=NOW, kind="key", subject="made"))
    log.sign()
    with without_triggers(log.database) as connection:
        connection.execute(text("update decision set reasons = 'quite another'"))
        connection.execute(text("insert into log_queue (kind, key) select kind, key from log_leaf"))
        for table in tables:
            connection.execute(text(f"delete from {table}"))
        connection.execute(text("delete from setting where name = 'log.head'"))
    sequence(log.database)
    found = log.verify()
    assert found.findings == []
    assert found.unknown == [
        "no checkpoint vouches for any of it; a key was made for it, so if it was ever signed, its checkpoints are gone"
    ]


def test_unsigned_and_unknown_signers_are_told_apart(database: Database) -> None:
    """Without a checkpoint or without keys it cannot be told; with somebody else's key the answer is no."""
    log = SignedLog(database)
    fill(database)
    sequence(database)
    assert log.verify().unknown == ["no checkpoint vouches for any of it"]
    log.sign()
    assert log.verify().findings == []
    log.keys = ()
    assert log.verify().findings == []
    assert "no public key" in log.verify().unknown[0]
    log.keys = (PublicKey(NAME, Signer(new_key(NAME)).public, NOW),)
    assert "nobody who is trusted signed it" in log.found()[0]


def test_a_key_counts_for_its_own_time(log: SignedLog) -> None:
    """After rotation the old key's checkpoints stay good; one that it signs later is not believed."""
    database = log.database
    old, now = log.signer, log.now
    new = Signer(new_key(NAME))
    log.keys = (
        PublicKey(NAME, old.public, NOW, now + timedelta(seconds=30)),
        PublicKey(NAME, new.public, now + timedelta(seconds=30)),
    )
    log.signer = new
    add_decisions(database, 3, run=104)
    log.sign()
    assert log.found() == []
    log.signer = old
    log.sign()
    assert log.found() == ["not vouched for: checkpoint 6: its key was not in use at 2026-03-02 08:06Z"]


def test_what_waits_is_counted_and_what_vanished_before_it_had_a_position_is_found(log: SignedLog) -> None:
    """Rows without a position are no fault; a queued row that is gone is."""
    database = log.database
    add_decisions(database, 2, run=104)
    assert log.verify().waiting == 3
    with without_triggers(database) as connection:
        connection.execute(text("delete from decision where run_id = 104 and loan_id = 2"))
    assert log.found() == ["deleted: `decision:104-2`, before it had a position"]
    done = sequence(database)
    assert (done.entries, done.lost) == (2, 1)
    assert sequence(database).lost == 1


def test_proofs_of_single_entries_a_loan_and_growth_hold_for_strangers(log: SignedLog, tmp_path: Any) -> None:
    """Any entry, everything about a loan, withheld fields opened or not, and that the log only grew: all verified apart."""
    database = log.database
    check = standalone().check
    for position, kind, key in positions(database)[::37]:
        said = check(prove(database, [(kind, key)], log.keys), log.keys_text)
        assert said[0] == f"{kind}, position {position}"
    with reading(database) as reader:
        wanted = entries_of_loan(reader, 1)
    kinds = {kind for kind, _ in wanted}
    # Whether one of the made-up publications bears the name of the loan's strategy depends on how the rows are made up.
    assert kinds - {"published"} == {
        "decision",
        "run",
        "stage_change",
        "contact_status",
        "override",
        "consent",
        "deed",
        "snapshot",
    }
    closed, opened = (prove(database, wanted, log.keys, opened=opened) for opened in (False, True))
    assert "(withheld, " in "\n".join(check(closed, log.keys_text))
    told = "\n".join(check(opened, log.keys_text))
    assert "(withheld, " not in told
    assert "李雷" in told
    with database.session() as session:
        notes = {one.number: one.note for one in checkpoints(session)}
    for number, note in notes.items():
        grown = prove(database, [("deed", "1")], log.keys, since=number)
        assert "the log only grew since" in "\n".join(check(grown, log.keys_text, note))


def test_what_cannot_be_proved_is_said(database: Database) -> None:
    """No such entry, not signed yet, not of the log any more: each in words, and no file."""
    log = SignedLog(database)
    with pytest.raises(DataError, match="the log holds nothing yet"):
        prove(database, [("run", "1")], log.keys)
    log = signed_log(database)
    for entry, says in ((("run", "999"), "no entry `run:999`"), (("decision", "x"), "no entry `decision:x`")):
        with pytest.raises(DataError, match=says):
            prove(database, [entry], log.keys)
    with pytest.raises(DataError, match="no checkpoint 77"):
        prove(database, [("run", "1")], log.keys, since=77)
    for name in ("run", "run:", "nothing:1", ""):
        with pytest.raises(DataError, match="names no entry"):
            entry_named(name)
    add_decisions(database, 1, run=104)
    with pytest.raises(DataError, match="has no position in the log yet"):
        prove(database, [("run", "104")], log.keys)
    sequence(database)
    with pytest.raises(DataError, match="is not signed yet"):
        prove(database, [("run", "104")], log.keys)
    with without_triggers(database) as connection:
        connection.execute(text("update decision set reasons = 'x' where run_id = 101 and loan_id = 1"))
        connection.execute(text("delete from decision where run_id = 101 and loan_id = 2"))
    with pytest.raises(StoreError, match="`decision:101-1` is not what was signed"):
        prove(database, [("decision", "101-1")], log.keys)
    with pytest.raises(DataError, match="is in the log, and its row is gone"):
        show(database, [("decision", "101-2")])


def test_what_was_there_before_the_log_enters_it(database: Database) -> None:
    """The migration queues what a book already holds, and guards every table of every kind."""
    if database.dialect == "sqlite":
        triggers = {name for (name,) in queried(database, "select name from sqlite_master where type = 'trigger'")}
    else:
        triggers = {name for (name,) in queried(database, "select tgname from pg_trigger where not tgisinternal")}
    for table in EVERYTHING:
        assert {f"{table}_queued", f"{table}_kept"} <= triggers
    assert {f"{table}_kept" for table in LOG_TABLES} <= triggers
    assert set(EVERYTHING) <= set(inspect(database.engine).get_table_names())
