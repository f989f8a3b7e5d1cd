"""Showing one number or address whole: never without its deed in the log, and who looked and what for beside it."""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from channels.wording import address_text
from engine.errors import DataError, Problem
from store.db import Database
from store.deeds import record_about
from store.tables import Deed, DeedNote, Endpoint, Person


@dataclass(frozen=True, slots=True)
class Noted:
    """
    A deed about a person: what, when, about which row, by whom and why.

    Attributes:
        subject: also which kinds of record, where only these were erased.
        files: the SHA-256 of files kept elsewhere that it leaves to whoever keeps them to destroy, in hex.
    """

    deed: int
    at: datetime
    kind: str
    subject: str
    person: str
    by: str
    because: str
    files: tuple[str, ...] = ()


def reveal(database: Database, endpoint: int, *, because: str, by: str, now: datetime) -> tuple[str, str]:
    """
    The kind and the whole value of a number or address; it is in the log before it is returned.

    Raises:
        DataError: there is no such, it was of somebody who was erased, or it is not said who looks and what for.
    """
    if not because.strip() or not by.strip():
        raise DataError(Problem("it is not said who looks, or what for", "write `--by NAME --because TEXT`"))
    with database.write() as session:
        found = session.get(Endpoint, endpoint)
        if found is None:
            raise DataError(Problem(f"no endpoint `{endpoint}`", "`duecourse endpoints list LOAN` shows their ids"))
        if session.get_one(Person, found.person_id).erased_at is not None:
            raise DataError(Problem(f"endpoint {endpoint} was of somebody who was erased", "nothing is left of it"))
        about = f"endpoint:{endpoint}"
        record_about(session, "reveal", about, {}, person=found.person_id, by=by, because=because, now=now)
        return found.kind, address_text(found.value)


def deeds_about_people(session: Session, person: str | None = None, *, limit: int) -> list[Noted]:
    """What was handed out, shown and erased, the newest first; of one person by their reference."""
    wanted = (
        select(Deed, DeedNote, Person.ref)
        .join(DeedNote, col(DeedNote.deed_id) == col(Deed.id))
        .join(Person, col(Person.id) == col(DeedNote.person_id))
        .order_by(col(Deed.id).desc())
        .limit(limit)
    )
    if person is not None:
        wanted = wanted.where(col(Person.ref) == person)
    return [_noted(deed, note, ref) for deed, note, ref in session.exec(wanted)]


def _noted(deed: Deed, note: DeedNote, ref: str) -> Noted:
    detail = json.loads(deed.detail_json)
    about = " ".join([deed.subject, *detail.get("records", ())])
    files = tuple(detail.get("files", ()))
    return Noted(deed.id or 0, deed.at, deed.kind, about, ref, note.by, note.because, files)
