"""
The consent and preference ledger: what people said about being contacted, each statement written once and kept as it is.

Whoever hears something writes it here: agents, replies, unsubscribe links, a provider's refusal. Imports bring the same
rows in bulk (`workflows/importing`). Nothing updates or deletes one; the latest that covers a contact counts.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import func
from sqlmodel import Session, col, select

from engine.gate import LocalWindow
from engine.gate import Statement as Said
from store.columns import to_us
from store.log_kinds import told_text
from store.outbox import bump_versions
from store.people import read_statement
from store.tables import Consent

_TICK: Final = timedelta(microseconds=1)
"""The shortest time that the database can tell apart."""


@dataclass(frozen=True, slots=True)
class NewStatement:
    """
    One statement as it was heard. What is left empty means all: every channel, number, purpose, debt, hour.

    Attributes:
        kind, scope: as in `engine.gate.Statement`.
        endpoint: the number or address it is about.
        windows, only_on, place: the hours, dates and place it is about.
        given_to: to whom it was said: the lender, or an agency by name.
        how, evidence: how it was said, and where the proof is; no personal data.
        source, ref: who says so, and their name for it: the same `ref` again is the same statement.
    """

    person: int
    kind: str
    received_at: datetime
    source: str
    ref: str
    scope: str = ""
    channels: tuple[str, ...] = ()
    endpoint: int | None = None
    purposes: tuple[str, ...] = ()
    debts: tuple[int, ...] = ()
    windows: tuple[LocalWindow, ...] = ()
    only_on: tuple[date, ...] = ()
    place: str | None = None
    given_to: str = "lender"
    how: str = ""
    evidence: str = ""
    until_at: datetime | None = None


def add_statement(session: Session, said: NewStatement, *, now: datetime, live: bool = False) -> bool:
    """
    Write a statement down, in the caller's transaction, and stop whatever is about to leave for this person.

    Args:
        live: it was heard by us and is written down in its turn, so it is the person's latest word, whatever the clock
            says of whoever wrote the ones before; False: somebody says when it was, and that stands.
    Returns:
        False where it is known already.
    """
    if session.exec(select(Consent.id).where(col(Consent.ref) == said.ref)).first() is not None:
        return False
    received_at = _latest(session, said) if live else said.received_at
    session.add(
        Consent(
            person_id=said.person,
            endpoint_id=said.endpoint,
            kind=said.kind,
            scope=said.scope,
            channels=" ".join(said.channels),
            purposes=" ".join(said.purposes),
            given_to=said.given_to,
            how=said.how,
            evidence=said.evidence,
            received_at=received_at,
            recorded_at=now,
            until_at=said.until_at,
            detail_json=_detail(said),
            source=said.source,
            ref=said.ref,
        )
    )
    session.flush()
    # INVARIANT 4: a contact that was looked at before this commit is looked at again.
    bump_versions(session, [said.person])
    return True


def _latest(session: Session, said: NewStatement) -> datetime:
    # A clock that ran ahead would otherwise let what it heard win over what is said later, for good.
    newest = session.exec(select(func.max(Consent.received_at)).where(col(Consent.person_id) == said.person)).one()
    return said.received_at if newest is None else max(said.received_at, newest + _TICK)


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One statement of the ledger, as the gate reads it, and where it comes from."""

    at: datetime
    said: Said
    how: str
    evidence: str
    source: str
    ref: str


def ledger(session: Session, person: int, *, as_of: datetime | None = None) -> list[LedgerLine]:
    """What a person had said by an instant, oldest first; None: all that is on file, also where a clock ran ahead."""
    wanted = select(Consent).where(col(Consent.person_id) == person)
    if as_of is not None:
        wanted = wanted.where(col(Consent.received_at) <= as_of)
    rows = session.exec(wanted.order_by(col(Consent.received_at), col(Consent.id)))
    return [_line(row) for row in rows]


def _line(row: Consent) -> LedgerLine:
    how, evidence, source = (told_text("consent", row.id, text) for text in (row.how, row.evidence, row.source))
    return LedgerLine(row.received_at, read_statement(_plain(row)), how, evidence, source, row.ref)


def _plain(row: Consent) -> dict[str, object]:
    until = None if row.until_at is None else to_us(row.until_at)
    return {**row.model_dump(), "received_at": to_us(row.received_at), "until_at": until}


def _detail(said: NewStatement) -> str:
    detail: dict[str, object] = {}
    if said.debts:
        detail["debts"] = list(said.debts)
    if said.place is not None:
        detail["place"] = said.place
    if said.windows:
        spans = [{"days": list(w.days), "from": w.from_minute, "to": w.to_minute} for w in said.windows]
        detail["windows"] = spans
    if said.only_on:
        detail["only_on"] = [day.isoformat() for day in said.only_on]
    return json.dumps(detail, separators=(",", ":"))
