"""A book from before the grounds were sealed: its words and secrets are sealed by the upgrade, and its log stands as it was signed."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from compliance.log_encoding import entry_bytes, salt_of
from compliance.merkle import leaf_hash
from store import migrations
from store.columns import Sealed
from store.db import Database
from store.log import seal_key
from store.log_kinds import KINDS
from store.sealing import looks_sealed
from store.settings import known_secret, read_setting
from store.tables import Consent, Contact, ContactStatus, DeedNote, Duty, JobAct, OverrideRow, StageChange
from tests.at_rest import marks_at_rest
from tests.logs import SignedLog
from tests.marked import MARKS, NOW, SEALED, WORDS, kept
from tests.older_books import KINDS_OF, older_book
from tests.opening import KEY
from tests.outgoing import rows
from tests.postgres import Server
from workflows.log.prove import prove

SECRET = "5e" * 32
OURS = "every limit allows it now"
ERASED = "erased:contact_status:4"
WHYS = (f"mei: {WORDS}", "", OURS, ERASED, "rule sms-day-1", f"{KEY.id}.QUJD")
"""The last only looks like something sealed: people may write that too."""


@contextmanager
def older(kind: str, folder: Path, server: Server) -> Iterator[Database]:
    """A database of schema 11 with words in the clear, and a log of them."""
    with older_book(kind, 11, folder, server) as database:
        with database.write() as session:
            fill(session.connection())
        yield database


def fill(connection: Connection) -> None:
    """People's words wherever they stood, by SQL as an older Duecourse wrote it."""
    at = NOW if connection.dialect.name == "postgresql" else int(NOW.timestamp() * 1_000_000)
    off: Any = False if connection.dialect.name == "postgresql" else 0

    def put(table: str, **values: Any) -> None:
        names = ", ".join(f'"{name}"' for name in values)
        places = ", ".join(f":{name}" for name in values)
        connection.execute(text(f'insert into "{table}" ({names}) values ({places})'), values)

    put("person", ref="P1", name="", language="en", country="US", zones="", bucket=1, version=0, created_at=at)
    put("loan", ref="L1", borrower_id=1, product="personal", currency="USD", principal_minor=1, opened_on=NOW.date(),
        basis="schedule", custody="in_house", autopay=off, accelerated=off, charged_off_on=None, stage="phone",
        stage_on=NOW.date(), stage_entry=1, episode=1)  # fmt: skip
    put("contact", id="c1", loan_id=1, person_id=1, role="borrower", channel="sms", direction="out", purpose="collect",
        name="", stage_entry=1, slot="c1", period_json="{}", status="sent", outcome="", planned_at=at, not_before_at=at,
        expires_at=at, at=at, attempts=1, why=WHYS[0], misdirected=off, cost_minor=0, by="lender")  # fmt: skip
    for why in WHYS:
        put("contact_status", contact_id="c1", status="sent", at=at, why=why, detail_json="{}")
    put(
        "override",
        contact_id="c1",
        rule="house.calls",
        ground="asked",
        evidence=WORDS,
        agent="mei",
        approved_by="li",
        at=at,
    )
    for number, how in enumerate((WORDS, "phone", "")):
        put("consent", person_id=1, kind="opt_out", scope="", channels="", purposes="", given_to="lender", how=how,
            evidence=WORDS, received_at=at, recorded_at=at, detail_json="{}", source="agent:mei" if how else WORDS, ref=f"S{number}")  # fmt: skip
    put("stage_change", loan_id=1, entry=1, source="current", target="phone", on_on=NOW.date(), at=at, cause="agent:mei",
        reason=WORDS)  # fmt: skip
    put("duty", rule="house.review", subject="loan:1", start_on=NOW.date(), what="review", due_on=NOW.date(),
        escalate_on=NOW.date(), owner="mei", status="done", closed_by="mei", evidence=WORDS, recorded_at=at)  # fmt: skip
    put("deed", at=at, kind="reveal", subject="person:1", detail_json="{}")
    put("deed_note", deed_id=1, person_id=1, by="mei", because=WORDS)
    put("job_act", job="dispatch", act="pause", at=at, by="mei", because=WORDS)
    for name in ("log.seal_key", "text_key", "link_key"):
        put("setting", name=name, value=SECRET)
    entries(connection)


def entries(connection: Connection) -> None:
    """Give every row its position, by the definition; the head says how many there are."""
    queued = connection.execute(text("select kind, key from log_queue order by id")).all()
    for position, (kind, key) in enumerate(queued):
        of = KINDS[kind]
        columns = ", ".join(f'"{name}"' for name in of.fields)
        where = " and ".join(f"cast({name} as text) = :{name}" for name in of.key)
        (row,) = connection.execute(
            text(f'select {columns} from "{of.table}" where {where}'), {of.key[0]: key}
        ).mappings()
        fields = {
            name: NOW if name == "at" or (name.endswith("_at") and row[name] is not None) else row[name]
            for name in of.fields
        }
        fields |= {name: NOW.date() for name in of.fields if name.endswith("_on")}
        hashed = leaf_hash(entry_bytes(kind, key, fields, of.withheld, bytes.fromhex(SECRET)))
        connection.execute(
            text("insert into log_leaf (position, kind, key, hash) values (:p, :kind, :key, :hash)"),
            {"p": position, "kind": kind, "key": key, "hash": hashed},
        )
    connection.execute(text("delete from log_queue"))
    connection.execute(
        text("insert into setting (name, value) values ('log.head', :head)"), {"head": f"[{len(queued)}, 0]"}
    )


@pytest.mark.parametrize("kind", KINDS_OF)
def test_an_older_books_grounds_are_sealed_by_the_upgrade(
    kind: str, tmp_path: Path, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They read as they did; nothing of them, and no secret, is left in the database's files; no entry is another."""
    versions = "store.migrations.versions.0012_grounds_are_sealed"
    monkeypatch.setattr(importlib.import_module(versions), "_BATCH", 2)
    with older(kind, tmp_path, postgres_server) as database:
        looked_for = ("Hortensia", SECRET)
        assert marks_at_rest(database, looked_for, postgres_server) == list(looked_for)
        assert database.upgrade() == (11, migrations.HEAD)
        assert marks_at_rest(database, (*MARKS, SECRET), postgres_server) == []
        reads_as_before(database)


def reads_as_before(database: Database) -> None:
    by_id = {row.id or 0: row.why for row in rows(database, ContactStatus)}
    assert [by_id[number] for number in sorted(by_id)] == list(WHYS)
    stands = kept(database)
    assert set(stands["contact_status", "why"]) & {"", OURS, ERASED, "rule sms-day-1"} == {
        "",
        OURS,
        ERASED,
        "rule sms-day-1",
    }
    assert WHYS[-1] not in stands["contact_status", "why"], (
        "what only looks sealed is sealed like all that people write"
    )
    (contact,), (override,), (change,) = (
        rows(database, Contact),
        rows(database, OverrideRow),
        rows(database, StageChange),
    )
    (duty,), (note,), (act,) = rows(database, Duty), rows(database, DeedNote), rows(database, JobAct)
    assert contact.why == WHYS[0]
    assert {override.evidence, change.reason, duty.evidence, note.because, act.because} == {WORDS}
    assert [(one.how, one.evidence) for one in rows(database, Consent)] == [
        (WORDS, WORDS),
        ("phone", WORDS),
        ("", WORDS),
    ]
    with database.session() as session:
        assert seal_key(session) == bytes.fromhex(SECRET)
        assert {known_secret(session, name) for name in ("text_key", "link_key")} == {SECRET}
        assert (read_setting(session, "log.seal_key") or "").startswith(f"{KEY.id}.")
    log = SignedLog(database)
    log.sign()
    assert log.found() == []
    opened = prove(database, [("override", "c1"), ("contact_status", "1")], log.keys, opened=True)
    assert salt_of("override", "c1", "evidence", bytes.fromhex(SECRET)) in opened
    for table, column in (("contact_status", "why"), ("job_act", "because"), ("override", "evidence")):
        with pytest.raises(DBAPIError, match="part of the log"), database.write() as session:
            session.connection().execute(text(f'update "{table}" set {column} = {column}'))


def test_what_stays_in_the_clear_never_looks_sealed() -> None:
    """Nothing that a column keeps as it is can be taken for a sealed text, nor the other way round; so each is read as it was meant."""
    ours = (
        "rule us.e.arly",
        "rule abc",
        OURS,
        "the provider took it",
        "twilio says delivered",
        "handed to queue a.b",
        "agent:a.b",
        "core-2",
    )
    for table, column in SEALED:
        kind = SQLModel.metadata.tables[table].columns[column].type
        assert isinstance(kind, Sealed)
        plain = [
            one
            for one in (*ours, f"erased:{table}:12", "phone", "in_person")
            if kind._plain and kind._plain.fullmatch(one)
        ]
        assert not any(looks_sealed(one) for one in plain)
        assert kind._plain is None or not kind._plain.fullmatch(f"{KEY.id}.QUJD")
