"""Logs for tests: real rows of every kind with the values that go wrong, positions, several checkpoints, and a verifier."""

import importlib.util
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import insert, text

from compliance.checkpoint import PublicKey, Signer, new_key
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.outbox import CONTACT, stands
from store.snapshots import digest_of
from store.tables import Contact, LogCheckpoint
from tests.values import rows_of, tables
from workflows.log.checkpoint import sign
from workflows.log.findings import Verified
from workflows.log.sequence import sequence
from workflows.log.verify import verify

NAME = "lender.example/log"
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
NOT_EVIDENCE = ("log_", "setting")


class SignedLog:
    """A database whose log is signed with a key of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.private = new_key(NAME)
        self.signer = Signer(self.private)
        self.keys = (PublicKey(NAME, self.signer.public, NOW),)
        self.notes: dict[int, str] = {}

    def of(self, database: Database) -> "SignedLog":
        """The same log in a copy of its database."""
        copied = copy(self)
        copied.database = database
        return copied

    @property
    def keys_text(self) -> str:
        """Its public keys as a file."""
        return "".join(f"{key.line}\n" for key in self.keys)

    def sign(self) -> LogCheckpoint:
        """Bring it up to date a minute later, and sign it."""
        self.now += timedelta(minutes=1)
        sequence(self.database)
        signed = sign(self.database, self.signer, now=self.now)
        assert signed is not None
        self.notes[signed.number] = signed.note
        return signed

    def verify(self, **more: Any) -> Verified:
        """What verification finds."""
        return verify(self.database, self.keys, **more)

    def found(self, **more: Any) -> list[str]:
        """The findings as people read them."""
        return [str(one) for one in self.verify(**more).findings]


def fill(database: Database) -> None:
    """A few rows in every table, with odd values and nulls; the log queues them itself."""
    contacts: list[Contact] = []
    with database.write() as session:
        for table in tables():
            if not table.name.startswith(NOT_EVIDENCE):
                rows = rows_of(table)
                if table.name == "snapshot":
                    rows = [{**row, "digest": digest_of(row["content"])} for row in rows]
                elif table.name == "contact":
                    contacts = [Contact(**row) for row in rows]
                elif table.name == "contact_status":
                    rows = [{**row, **entry_of(contacts[n])} for n, row in enumerate(rows)]
                elif table.name == "contact_loan":
                    rows = [{"contact_id": one.id, "loan_id": one.loan_id} for one in contacts]
                session.connection().execute(insert(table), rows)


def entry_of(contact: Contact) -> dict[str, Any]:
    """What the one entry of a contact says of it."""
    said = {CONTACT: stands(contact, made=True)}
    return {"contact_id": contact.id, "status": contact.status, "detail_json": json.dumps(said, ensure_ascii=False)}


def add_decisions(database: Database, count: int, *, run: int) -> None:
    """A run with so many decisions about the first six loans and as many new ones as it takes."""
    at = NOW + timedelta(hours=run)
    with database.write() as session:
        connection = session.connection()
        row = {"id": run, "kind": "sweep", "now_at": at, "known_at": at, "strategies_json": '{"ladder":"ab12"}',
               "gate_digest": "cd34", "engine_version": "2", "status": "done", "done_to": 0, "counts_json": "{}",
               "started_at": at}  # fmt: skip
        connection.execute(insert(table_of("run")), [row])
        there = set(connection.execute(text("select id from loan")).scalars())
        loan = rows_of(table_of("loan"))[0]
        new = [{**loan, "id": n, "ref": f"L{n}"} for n in range(1, count + 1) if n not in there]
        if new:
            connection.execute(insert(table_of("loan")), new)
        connection.execute(insert(table_of("decision")), [_decision(run, n, at) for n in range(1, count + 1)])


def _decision(run: int, loan: int, at: datetime) -> dict[str, Any]:
    return {
        "run_id": run, "loan_id": loan, "borrower_id": 1, "now_at": at, "on_on": date(2026, 3, 2) + timedelta(days=run),
        "strategy": "ladder", "strategy_digest": "ab12", "arm": None, "stage_before": "reminded", "stage_after": "reminded",
        "outcome": "nothing", "rule": None, "covered_by": None, "next_look_at": at + timedelta(days=1) if loan % 3 else None,
        "reasons": "", "facts_json": f'{{"dpd":{loan},"city":"杭州"}}', "trace_json": '{"candidates":[]}',
    }  # fmt: skip


def signed_log(database: Database) -> SignedLog:
    """A log of some 900 entries of every kind, in several runs of the sequencer, with four checkpoints."""
    log = SignedLog(database)
    fill(database)
    log.sign()
    for run, count in ((101, 230), (102, 300), (103, 310)):
        add_decisions(database, count, run=run)
        log.sign()
    return log


@contextmanager
def without_triggers(database: Database) -> Iterator[Any]:
    """A transaction of somebody who may do anything: the database's own refusals are off."""
    with database.write() as session:
        connection = session.connection()
        if database.dialect == "sqlite":
            kept = connection.execute(text("select name, sql from sqlite_master where type = 'trigger'")).all()
            for name, _ in kept:
                connection.execute(text(f"drop trigger {name}"))
            yield connection
            for _, made in kept:
                connection.exec_driver_sql(made)
        else:
            connection.execute(text("set local session_replication_role = replica"))
            yield connection


@contextmanager
def past_everything(database: Database) -> Iterator[Callable[..., object]]:
    """Runs statements for somebody who may do anything: neither triggers nor foreign keys are in the way."""
    if database.dialect == "sqlite":
        with closing(sqlite3.connect(database.place)) as connection, connection:
            yield lambda sql, values=None: connection.execute(sql, values or {})
    else:
        with without_triggers(database) as connection:
            yield lambda sql, values=None: connection.execute(text(sql), values or {})


def positions(database: Database) -> list[tuple[int, str, str]]:
    """Every leaf's place and row."""
    leaf = table_of("log_leaf")
    with reading(database) as reader:
        rows = reader.read(leaf.select().order_by(leaf.c.position)).to_pylist()
    return [(row["position"], row["kind"], row["key"]) for row in rows]


@cache
def standalone() -> ModuleType:
    """The verifier that strangers run: a file of its own, no part of any package."""
    path = Path(__file__).resolve().parents[1] / "docs" / "verify_proof.py"
    spec = importlib.util.spec_from_file_location("verify_proof", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def queried(database: Database, sql: str) -> list[tuple[Any, ...]]:
    """What a statement reads."""
    with database.session() as session:
        return [tuple(row) for row in session.connection().execute(text(sql))]
