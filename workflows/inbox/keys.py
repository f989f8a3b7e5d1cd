"""A key pressed in a recorded call: a person listens, and says what they want."""

from datetime import datetime

from sqlmodel import Session

from engine.errors import DataError, Problem
from store.consents import NewStatement, add_statement
from store.db import Database
from store.outbox import ROW, bump_versions, lock_versions, note
from store.tables import Contact
from workflows.sending.aftermath import add_event, concerned


def press(
    database: Database, contact_id: str, wish: str, *, key: str, provider: str, given_to: str, at: datetime
) -> str:
    """
    Write down what a key says; the same again changes nothing.

    Args:
        key: the inbox's name for it.
        wish: as in `channels.reports.KeyPressed`.
        at: when it was pressed.
    Returns:
        what it came to, in a word or two.
    Raises:
        DataError: there is no such call.
    """
    if wish not in ("stop", "talk"):
        return "nothing follows"
    with database.write() as session:
        contact = session.get(Contact, contact_id)
        if contact is None or contact.channel != "call":
            what = f"a key was pressed in call `{contact_id}`, and there is none"
            raise DataError(Problem(what, "see whether another system uses the same provider account"))
        people = concerned(session, contact)
        lock_versions(session, people)
        session.refresh(contact, with_for_update=ROW)
        if wish == "stop":
            said = _stop(session, contact, key=key, provider=provider, given_to=given_to, at=at)
            return "stop" if said else "known already"
        note(session, contact, at=at, why="they pressed the key to talk with somebody")
        bump_versions(session, people)
        return "talk"


def _stop(session: Session, contact: Contact, *, key: str, provider: str, given_to: str, at: datetime) -> bool:
    """What the call promises whoever presses it: no more recorded calls."""
    said = NewStatement(
        contact.person_id, "opt_out", at, scope="prerecorded", channels=("call",), given_to=given_to, how="key",
        evidence=f"contact:{contact.id}", source=provider, ref=f"key:{provider}:{key}",
    )  # fmt: skip
    if not add_statement(session, said, now=at, live=True):
        return False
    note(session, contact, at=at, why="they pressed the key that ends such calls")
    add_event(
        session, contact, "reply", at, source="keys", key=f"{provider}:{key}",
        detail={"channel": "call", "meaning": "stop"},
    )  # fmt: skip
    return True
