"""What people do in the book of duties: say that one is done, with evidence, or give it to somebody else."""

import hmac
from datetime import date, datetime
from typing import Final

from sqlmodel import Session

from engine.errors import DataError, Problem
from store import log
from store.db import Database
from store.decisions import canonical_json
from store.deeds import state
from store.tables import Deed, Duty, Hold
from workflows.duties import CLOSED, MATCH

SETTLED: Final = "settled"
"""The kind of deed by which a person put a finding of the match aside."""


def close_duty(
    database: Database,
    number: int,
    *,
    by: str,
    evidence: str,
    today: date,
    now: datetime,
    next_on: date | None = None,
) -> Duty:
    """
    Say that a duty is done. A finding of the match is gone for good by it, so that a deed in the log says that it was there.

    Args:
        today: where the lender is; what is done later than it was due stays marked so.
        next_on: of a hold that goes on, when it is looked at again.
    Raises:
        DataError: there is no such duty, it is closed already, nobody or nothing vouches for it, or a hold would go on
            without its next day of review.
    """
    if not by.strip() or not evidence.strip():
        raise DataError(Problem("a duty is done by somebody, with evidence", "say both: `--by NAME --evidence TEXT`"))
    with database.write() as session:
        duty = _open_duty(session, number)
        hold = _hold_under_review(session, duty)
        if hold is not None and (hold.ends_at is None or hold.ends_at > now):
            if next_on is None or next_on <= max(duty.due_on, today):
                what = f"hold `{hold.ref}` goes on, and needs a later day on which it is looked at again"
                raise DataError(Problem(what, "add `--next 2026-05-01`, or end the hold by an import"))
            hold.review_on = next_on
            state(session, hold, now=now)
        elif next_on is not None:
            raise DataError(Problem("only a hold that goes on is looked at again", "leave `--next` out"))
        if today > duty.due_on:
            duty.lapsed_at = duty.lapsed_at or now
        duty.status, duty.closed_at, duty.closed_by, duty.evidence = "done", now, by.strip(), evidence.strip()
        session.add(duty)
        if duty.rule.startswith(MATCH):
            session.add(_settled(duty, log.made_seal_key(session), now))
    return duty


def _settled(duty: Duty, key: bytes, now: datetime) -> Deed:
    """
    What was found, and the keyed hash of who put it aside by what: the book of duties, which tells both, can be changed.

    By a plain hash, short evidence could be guessed when it was erased.
    """
    said = hmac.digest(key, canonical_json({"by": duty.closed_by, "evidence": duty.evidence}).encode(), "sha256").hex()
    detail = {"rule": duty.rule, "subject": duty.subject, "digest": said}
    return Deed(at=now, kind=SETTLED, subject=f"duty:{duty.id}", detail_json=canonical_json(detail))


def give_duty(database: Database, number: int, to: str) -> Duty:
    """
    Make somebody else the owner of a duty.

    Raises:
        DataError: there is no such duty, it is closed already, or nobody is named.
    """
    if not to.strip():
        raise DataError(Problem("a duty needs an owner", "say who: `--to NAME`"))
    with database.write() as session:
        duty = _open_duty(session, number)
        duty.owner = to.strip()
        session.add(duty)
    return duty


def _open_duty(session: Session, number: int) -> Duty:
    duty = session.get(Duty, number, with_for_update=True)
    if duty is None:
        raise DataError(Problem(f"no duty {number}", "`duecourse duties list` shows them"))
    if duty.status in CLOSED:
        raise DataError(Problem(f"duty {number} is {duty.status} already: {duty.evidence}", "leave it as it is"))
    return duty


def _hold_under_review(session: Session, duty: Duty) -> Hold | None:
    kind, _, number = duty.subject.partition(":")
    hold = session.get(Hold, int(number), with_for_update=True) if kind == "hold" else None
    # Its own day is what tells a hold's review from another duty that the hold started.
    return hold if hold is not None and hold.review_on == duty.due_on == duty.start_on else None
