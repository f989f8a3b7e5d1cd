"""
The consent and preference ledger: what people said about being contacted, each statement written once and kept as it is.

Whoever hears something writes it here: agents, replies, unsubscribe links, a provider's refusal. Imports bring the same
rows in bulk (`workflows/importing`). Nothing updates or deletes one; the latest that covers a contact counts.

Who writes a statement down says by their own clock when they heard it. Where a refusal comes after a permission that
somebody else wrote down, and is dated a little before it, nobody knows what was said last, and unknown means no contact:
the refusal is stated again at the instant of the permission (at the same instant a refusal wins). All words stay as they
were told.
"""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func
from sqlmodel import Session, col, select

from compliance.refusals import REFUSALS, reopens
from engine.gate import LocalWindow
from engine.gate import Statement as Said
from store.columns import from_us, to_us
from store.log_kinds import told_text
from store.outbox import bump_versions
from store.people import read_statement
from store.tables import Consent

_TICK: Final = timedelta(microseconds=1)
"""The shortest time that the database can tell apart."""
CLOCKS_APART: Final = timedelta(hours=1)
"""How far the clocks of two who write statements down may differ; a zone read wrongly, or summer time, is an hour."""
CLOCKS_APART_US: Final = CLOCKS_APART // _TICK


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
            says of whoever wrote the ones before; False: somebody says when it was, and that stands, but for
            `restated`.
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
    if not live:
        near = select(Consent).where(
            col(Consent.person_id) == said.person,
            col(Consent.received_at).between(received_at, received_at + CLOCKS_APART),
        )
        for row in restated([_plain(one) for one in session.exec(near)], {said.ref}):
            session.add(Consent(**{**row, **_instants(row), "recorded_at": now}))
        session.flush()
    # INVARIANT 4: a contact that was looked at before this commit is looked at again.
    bump_versions(session, [said.person])
    return True


def _latest(session: Session, said: NewStatement) -> datetime:
    # A clock that ran ahead would otherwise let what it heard win over what is said later, for good.
    newest = session.exec(select(func.max(Consent.received_at)).where(col(Consent.person_id) == said.person)).one()
    return said.received_at if newest is None else max(said.received_at, newest + _TICK)


def restated(near: Sequence[Mapping[str, Any]], fresh: Container[str]) -> Iterator[dict[str, Any]]:
    """
    The refusals of one person that have to be stated again: see this module.

    Args:
        near: their statements around those that are being written, these among them; columns of `consent`, instants in
            microseconds.
        fresh: the refs of those that are being written.
    Returns:
        Rows to write, but for their `id` and `recorded_at`.
    """
    permissions = [one for one in near if reopens(one["kind"], one["scope"])]
    for refusal in near:
        if refusal["kind"] not in REFUSALS or refusal["ref"] not in fresh:
            continue
        at = refusal["received_at"]
        after = [one for one in permissions if one["received_at"] > at]
        # By the clock that heard the refusal itself it was taken back: from then on nothing is unknown.
        own = [one["received_at"] for one in after if one["source"] == refusal["source"] and _as_wide(one, refusal)]
        until = min([at + CLOCKS_APART_US + 1, *own, *([refusal["until_at"]] if refusal["until_at"] else [])])
        unsure = [
            one
            for one in after
            if one["received_at"] < until and one["source"] != refusal["source"] and one["ref"] not in fresh
        ]
        if unsure:
            last = max(unsure, key=lambda one: (one["received_at"], one["ref"]))
            yield {
                **{name: value for name, value in refusal.items() if name not in {"id", "recorded_at"}},
                "received_at": last["received_at"],
                "ref": f"{refusal['ref']}:again:{last['ref']}",
            }


def _as_wide(permission: Mapping[str, Any], refusal: Mapping[str, Any]) -> bool:
    """Whether it takes back all that the refusal closes."""
    closed, opened = set(refusal["channels"].split()), set(permission["channels"].split())
    return (
        permission["endpoint_id"] in {None, refusal["endpoint_id"]}
        and permission["purposes"] in {"", refusal["purposes"]}
        and permission["detail_json"] in {"{}", refusal["detail_json"]}
        and (not opened or (bool(closed) and closed <= opened))
    )


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


def _instants(plain: Mapping[str, Any]) -> dict[str, datetime | None]:
    return {name: None if plain[name] is None else from_us(plain[name]) for name in ("received_at", "until_at")}


def _plain(row: Consent) -> dict[str, Any]:
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
