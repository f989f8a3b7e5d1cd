"""A person settles a message in doubt, when nobody can be asked about it any more: it went out, or it did not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlmodel import Session

from engine.errors import DataError, Problem
from store.db import Database
from store.outbox import bump_versions, is_task
from store.tables import Contact
from workflows.sending.fate import Evidence, Fate, NotYet, learn, lock_contacts

Settled = Literal["sent", "not_sent"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a person found out, why they think so, and where it can be seen."""

    settled: Settled
    by: str
    because: str
    shown_by: str


def settle(database: Database, contact_id: str, finding: Finding, evidence: Evidence, *, now: datetime) -> str:
    """
    Write down what became of a message in doubt, with all that follows from it, as that person's word.

    Returns:
        the status that it has now: sent or failed.
    Raises:
        DataError: there is no such contact, it is not in doubt or people's task, or something is not said.
    """
    for option, said in (("by", finding.by), ("because", finding.because), ("evidence", finding.shown_by)):
        if not said.strip():
            raise DataError(Problem(f"`--{option}` says nothing", "others have to understand it later"))
    with database.write() as session:
        held = lock_contacts(session, [contact_id])
        contact = _in_doubt(session, contact_id)
        words = finding.settled.replace("_", " ")
        why = f"{finding.by} settled it as {words}: {finding.because} (evidence: {finding.shown_by})"
        status: Literal["sent", "failed"] = "sent" if finding.settled == "sent" else "failed"
        meaning: Literal["ok", "unclear"] = "ok" if status == "sent" else "unclear"
        # The provider and its id stay what they are: this is nobody's word but the person's.
        fate = Fate(status, contact.provider or "", "", "", meaning, why=why, by_hand=True)
        told: set[int] = set()
        try:
            learn(session, contact_id, fate, evidence, told, now=now)
        except NotYet:
            raise AssertionError("a contact in doubt is not being handed over") from None
        bump_versions(session, told)
        del held
    return status


def _in_doubt(session: Session, contact_id: str) -> Contact:
    contact = session.get(Contact, contact_id)
    if contact is None:
        mend = "`duecourse reconcile list` shows what is in doubt"
        raise DataError(Problem(f"no contact `{contact_id}`", mend))
    if is_task(contact):
        mend = f"whoever had it says what came of it: `duecourse tasks outcome {contact_id}`"
        raise DataError(Problem(f"contact `{contact_id}` is a task for people", mend))
    if contact.status != "unknown":
        what = f"contact `{contact_id}` is {contact.status}, and not in doubt"
        raise DataError(Problem(what, "nothing is settled twice; its history is in `duecourse loan`"))
    return contact
