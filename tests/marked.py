"""A marked person in every sealed column, and what is read of them there: by Duecourse, and by whoever has only the database."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlmodel import SQLModel

from engine.errors import DuecourseError
from store.bulk_arrow import table_of
from store.columns import Sealed
from store.db import Database
from store.tables import (
    Arrival,
    Consent,
    Contact,
    ContactStatus,
    Deed,
    DeedNote,
    Duty,
    Hold,
    JobAct,
    MessageText,
    OverrideRow,
    StageChange,
)
from tests.factories import make_loan, make_person

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
NAME, MOBILE, WORDS = "Zebedee Quillfeather", "+12125550177", "my neighbour Hortensia says hello"
MARKS = ("Zebedee", "Quillfeather", "2125550177", "Hortensia")
SEALED = [(t.name, c.name) for t in SQLModel.metadata.sorted_tables for c in t.columns if isinstance(c.type, Sealed)]


def said(action: Callable[[], object]) -> str:
    """The whole text of a refusal."""
    with pytest.raises(DuecourseError) as refused:
        action()
    return str(refused.value)


def kept(database: Database) -> dict[tuple[str, str], list[Any]]:
    """What stands in the sealed columns, as anybody with the database reads it."""
    with database.session() as session:
        return {
            (table, column): [one for (one,) in session.execute(text(f'select {column} from "{table}" order by 1'))]
            for table, column in SEALED
        }


def fill(database: Database, *, name: str = NAME) -> None:
    """Something in every sealed column, by the ORM."""
    person = make_person(database, name=name, mobile=MOBILE)
    with database.write() as session:
        session.add(Hold(
            person_id=person, kind="dispute", owner="mei", review_on=NOW.date(), starts_at=NOW, recorded_at=NOW,
            reason=WORDS, ref=f"H{person}",
        ))  # fmt: skip
        session.add(Arrival(
            source="twilio", key=f"K{person}", kind="text", private_json=json.dumps({"text": WORDS}), recorded_at=NOW,
            due_at=NOW,
        ))  # fmt: skip
    loan = make_loan(database, borrower_id=person, instalments=[(NOW.date(), 100_00)])
    with database.write() as session:
        session.add(Contact(
            id=f"c{person}", loan_id=loan, person_id=person, channel="sms", slot=f"c{person}", status="planned",
            planned_at=NOW, not_before_at=NOW, expires_at=NOW, at=NOW, why=WORDS,
        ))  # fmt: skip
        deed = Deed(at=NOW, kind="reveal", subject=f"person:{person}")
        session.add(deed)
        session.flush()
        session.add_all((
            MessageText(contact_id=f"c{person}", subject=name, text=WORDS),
            ContactStatus(contact_id=f"c{person}", status="planned", at=NOW, why=WORDS),
            OverrideRow(contact_id=f"c{person}", rule="house.calls", ground="asked", evidence=WORDS, agent="mei",
                        approved_by="li", at=NOW),
            Consent(person_id=person, kind="opt_out", how=WORDS, evidence=WORDS, received_at=NOW, recorded_at=NOW,
                    source=WORDS, ref=f"S{person}"),
            StageChange(loan_id=loan, entry=1, source="phone", target="closed", on_on=NOW.date(), at=NOW,
                        cause="agent:mei", reason=WORDS),
            Duty(rule="house.review", subject=f"loan:{loan}", start_on=NOW.date(), what="review", due_on=NOW.date(),
                 escalate_on=NOW.date(), owner="mei", evidence=WORDS, recorded_at=NOW),
            DeedNote(deed_id=deed.id, person_id=person, by="mei", because=WORDS),
            JobAct(job="dispatch", act="pause", at=NOW, by="mei", because=WORDS),
        ))  # fmt: skip


def told(database: Database) -> list[tuple[str, ...]]:
    """The same as Duecourse reads it."""
    with database.session() as session:
        return [
            tuple(sorted(session.execute(select(table_of(table).c[column])).scalars(), key=lambda one: one or ""))
            for table, column in SEALED
        ]
