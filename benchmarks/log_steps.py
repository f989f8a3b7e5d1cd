"""
The steps of `benchmarks.log`, each run in a process of its own. Prints one JSON object.

    python -m benchmarks.log_steps bare URL | sequence URL | grow URL ENTRIES | prove URL | verify URL | replay URL
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, select, text

from benchmarks.phases import peak_mib, processor_seconds
from compliance.checkpoint import PublicKey, Signer, new_key
from store.bulk_arrow import table_of
from store.db import Database
from store.settings import read_setting, write_setting
from tests.opening import open_database
from workflows.log.checkpoint import sign
from workflows.log.prove import prove as prove_entries
from workflows.log.sequence import sequence as sequence_rows
from workflows.log.verify import verify as verify_log
from workflows.replay.findings import Chosen
from workflows.replay.replay import replay as replay_log
from workflows.replay.stages import NO_RUN

NAME: Final = "benchmark/log"
FROM: Final = datetime(2026, 3, 2, tzinfo=UTC)
_KEY: Final = "benchmark.key"


def bare(database: Database) -> dict[str, Any]:
    """Take the log's triggers off."""
    with database.write() as session:
        connection = session.connection()
        if database.dialect == "sqlite":
            for (name,) in connection.execute(text("select name from sqlite_master where type = 'trigger'")).all():
                connection.execute(text(f"drop trigger {name}"))
        else:
            wanted = "select tgname, tgrelid::regclass from pg_trigger where not tgisinternal"
            for name, table in connection.execute(text(wanted)).all():
                connection.execute(text(f"drop trigger {name} on {table}"))
    return {}


def sequence(database: Database) -> dict[str, Any]:
    """Give positions to what waits, and sign."""
    signer = _signer(database)
    start, spent = time.perf_counter(), processor_seconds()
    done = sequence_rows(database)
    # A millisecond an entry: whatever says when it was written says so within what verification lets pass.
    sign(database, signer, now=FROM + timedelta(milliseconds=done.size))
    seconds, spent = time.perf_counter() - start, processor_seconds() - spent
    return {
        "entries": done.entries,
        "processor_seconds": round(spent, 2),
        "seconds": round(seconds, 2),
        "per_second": round(done.entries / seconds),
        "peak_mib": peak_mib(),
    }


def grow(database: Database, entries: str) -> dict[str, Any]:
    """Write the first sweep again with all that it planned, each time under a new run, until so many rows are logged or wait."""
    start, written = time.perf_counter(), 0
    with database.write() as session:
        size = sum(_count(session.connection(), name) for name in ("log_leaf", "log_queue"))
    while size < int(entries):
        with database.write() as session:
            added = _again(session.connection(), int(entries) - size)
        size, written = size + added, written + added
    return {"rows": written, "seconds": round(time.perf_counter() - start, 2)}


def _again(connection: Connection, most: int) -> int:
    """The first run's decisions about its first loans under a new run, with their contacts; about so many entries at most."""
    first, last = connection.execute(text("select min(run_id), max(run_id) from decision")).one()
    run = {"run": last + 1, "like": first}
    before, new = f"{first}-", f"{last + 1}-"
    # A decision is an entry, and so is the first word about a contact of it: of some there is one.
    loans = (
        connection.execute(text("select loan_id from decision where run_id = :like order by loan_id"), run)
        .scalars()
        .all()
    )
    run["to"] = loans[min(len(loans), max(1, most // 2)) - 1]
    renamed = f"'{new}' || substr({{}}, {len(before) + 1})"
    # By the key: a search by the run would read all that was copied so far, each time more.
    contacts = f"from contact where id >= '{before}' and id < '{first}.' and loan_id <= :to"
    connection.execute(text(f"insert into run {_copied('run', id=':run')} from run where id = :like"), run)
    slot = f"""replace(trace_json, '"slot":"', '"slot":"{new}')"""
    decisions = f"insert into decision {_copied('decision', run_id=':run', trace_json=slot)} from decision"
    added = connection.execute(text(f"{decisions} where run_id = :like and loan_id <= :to"), run).rowcount
    copied = _copied("contact", id=renamed.format("id"), run_id=":run", slot=f"'{new}' || slot")
    connection.execute(text(f"insert into contact {copied} {contacts}"), run)
    for table in ("contact_loan", "contact_status"):
        copied = _copied(table, contact_id=renamed.format("contact_id"))
        there = f"from {table} where contact_id in (select id {contacts})"
        rows = connection.execute(text(f"insert into {table} {copied} {there}"), run).rowcount
        added += rows if table == "contact_status" else 0
    return 1 + added


def _copied(table: str, **changed: str) -> str:
    """The columns of a row and where each comes from; a key that the database gives out is left to it."""
    columns = [
        one.name
        for one in table_of(table).columns
        if one.name in changed or (table, one.name) != ("contact_status", "id")
    ]
    return f"({', '.join(columns)}) select {', '.join(changed.get(name, name) for name in columns)}"


def prove(database: Database) -> dict[str, Any]:
    """Prove one decision, from the middle of the log."""
    leaf = table_of("log_leaf")
    with database.session() as session:
        wanted = select(leaf.c.kind, leaf.c.key).where(
            leaf.c.kind == "decision", leaf.c.position >= _count(session.connection(), "log_leaf") // 2
        )
        kind, key = session.connection().execute(wanted.order_by(leaf.c.position).limit(1)).one()
    start = time.perf_counter()
    text = prove_entries(database, [(kind, key)], _keys(database))
    seconds = time.perf_counter() - start
    hashes = text.count("\npath ")
    return {"bytes": len(text.encode()), "hashes": hashes, "seconds": round(seconds, 3)}


def verify(database: Database) -> dict[str, Any]:
    """Verify all of it."""
    start = time.perf_counter()
    found = verify_log(database, _keys(database))
    seconds = time.perf_counter() - start
    if found.findings or found.unknown:
        raise AssertionError(f"a log that nobody touched: {found.findings[:3]} {found.unknown}")
    return {"entries": found.size, "seconds": round(seconds, 2), "peak_mib": peak_mib()}


def replay(database: Database) -> dict[str, Any]:
    """Derive every decision again."""
    with database.session() as session:
        snapshot = table_of("snapshot")
        size = select(func.coalesce(func.sum(func.length(snapshot.c.content)), 0))
        kept = session.connection().execute(size).scalar_one()
    start, spent = time.perf_counter(), processor_seconds()
    found = replay_log(database, Chosen())
    seconds, spent = time.perf_counter() - start, processor_seconds() - spent
    every = found.total
    # The book's maker wrote the loans into their stages; no run placed them.
    if every.different or set(every.not_derivable) - {NO_RUN}:
        raise AssertionError(f"what nobody touched: {found.told[:3]} {every.not_derivable}")
    return {
        "decisions": found.of["decision"].total,
        "runs": found.runs,
        "second_looks": found.of["second look"].total,
        "rounds": found.rounds,
        "seconds": round(seconds, 2),
        "processor_seconds": round(spent, 2),
        "per_second": round(found.of["decision"].total / seconds),
        "snapshot_mib": round(kept / 2**20, 1),
        "peak_mib": peak_mib(),
    }


def _count(connection: Connection, table: str) -> int:
    return connection.execute(select(func.count()).select_from(table_of(table))).scalar_one()


def _signer(database: Database) -> Signer:
    with database.write() as session:
        key = read_setting(session, _KEY) or new_key(NAME)
        write_setting(session, _KEY, key)
    return Signer(key)


def _keys(database: Database) -> list[PublicKey]:
    return [PublicKey(NAME, _signer(database).public, FROM)]


_STEPS: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "bare": bare, "sequence": sequence, "grow": grow, "prove": prove, "verify": verify, "replay": replay,
}  # fmt: skip


if __name__ == "__main__":
    opened = open_database(sys.argv[2])
    sys.stdout.write(json.dumps(_STEPS[sys.argv[1]](opened, *sys.argv[3:])) + "\n")
    opened.close()
