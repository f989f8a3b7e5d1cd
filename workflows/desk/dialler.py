"""
Calls for a dialler: a batch of numbers in a file, each with the time after which it must not be called.

Who is in the file is in the dialler's hands: nobody else calls, visits or dials them meanwhile. Whoever it says nothing of
when its time is over was perhaps called: that is in doubt, and counts.
"""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Final

from sqlmodel import Session, col, select

from engine.errors import DataError, DuecourseError, Problem
from engine.gate import Ask, Gate
from store.tables import Batch, BatchItem, Contact, Endpoint, Person
from workflows.private_file import write_private
from workflows.sending.batches import (
    Wanted,
    doubt,
    file_is_there,
    give_back,
    holder,
    known_batch,
    say_leaving,
    take_batch,
)
from workflows.sending.door import Door
from workflows.sending.looking import look_again
from workflows.sending.second_look import Look

FOR_MAX: Final = timedelta(hours=8)
_STEP: Final = timedelta(minutes=5)
"""How finely it is looked for when calls stop being allowed; who may be called for less is left out."""
_TOLD_LATE: Final = timedelta(hours=24)
"""How long a dialler has to say what came of its calls, after the last of them."""
COLUMNS: Final = ("contact", "phone", "call_until", "queue", "script", "language", "batch")


@dataclass(frozen=True, slots=True)
class Exported:
    """A batch in its file; `batch` is None where nobody could be called. `until` is when the last number lapses."""

    batch: int | None
    calls: int
    until: datetime | None
    counts: Mapping[str, int]


def export_calls(
    door: Door, file: Path, *, queue: str, by: str, now: datetime, lasts: timedelta, limit: int
) -> Exported:
    """
    Write the next calls of a queue to a file for a dialler.

    Each is looked at again, and the gate asked for now and for every five minutes until its time is over: that is when
    the file lapses, when the task does, or when the gate first says no.

    Args:
        lasts: how long the file may be used.
    Raises:
        SettingsError: nobody may be reached now.
        DataError: a length that is no length, or the file is there or cannot be written; nothing is handed out then.
    """
    if not _STEP <= lasts <= FOR_MAX:
        raise DataError(Problem("a file for a dialler lasts from five minutes to eight hours", "write `--minutes 120`"))
    if file.exists():
        raise DataError(
            Problem(f"`{file}` is there already", "name another file: who is in it is in the dialler's hands")
        )
    doubt(door.database, now=now)
    lines: dict[str, tuple[str, ...]] = {}

    def make(session: Session, contact: Contact, look: Look) -> BatchItem | None:
        if look.asked is None or contact.endpoint_id is None:
            return None
        until = allowed_until(door.gate, look.asked, now, min(now + lasts, contact.expires_at))
        if until is None:
            return None
        phone = session.get_one(Endpoint, contact.endpoint_id).value
        language = session.get_one(Person, contact.person_id).language
        lines[contact.id] = (contact.id, phone, _iso(until), queue, contact.name, language)
        return BatchItem(batch_id=0, contact_id=contact.id, until_at=until)

    wanted = Wanted("dialler", queue, by, now, now + lasts, limit)
    taken = take_batch(door, wanted, make, hold_until=lambda item: (item.until_at or now) + _TOLD_LATE)
    if taken.batch is None:
        return Exported(None, 0, None, taken.counts)
    content = _csv(COLUMNS, [(*lines[item.contact_id], f"{taken.batch.id}") for item in taken.items])
    digest = hashlib.sha256(content).hexdigest()
    try:
        say_leaving(door.database, taken.batch, digest, len(taken.items), now=now)
        write_private(file, content)
    except DuecourseError:
        # It is not in place, so nobody has fetched it.
        give_back(door.database, taken.batch.id or 0, by=by, why="the file could not be written", now=now)
        raise
    file_is_there(door.database, taken.batch, taken.items, digest)
    until = max(item.until_at for item in taken.items if item.until_at is not None)
    return Exported(taken.batch.id, len(taken.items), until, taken.counts)


def allowed_until(gate: Gate, ask: Ask, now: datetime, end: datetime, step: timedelta = _STEP) -> datetime | None:
    """
    Until when an act that is allowed now stays so, if nothing else happens; None: not for one step.

    Args:
        end: not looked beyond.
    """
    allowed = now
    while allowed + step <= end and gate.check(ask, allowed + step).outcome == "allow":
        allowed += step
    return allowed if allowed > now else None


def recall(door: Door, batch_id: int, *, now: datetime) -> list[tuple[str, str]]:
    """
    Which calls of a batch must not be made any more, and why: paid, stopped, held, or their time is over.

    Nothing changes: whether they were made already is the dialler's to say.
    """
    with door.database.session() as session:
        batch = session.get(Batch, batch_id)
        if batch is None or batch.kind != "dialler":
            raise DataError(Problem(f"no dialler batch {batch_id}", "`duecourse dialler list` shows them"))
        mine = col(Contact.claimed_by) == holder("dialler", batch_id)
        rows = session.exec(
            select(Contact.id, BatchItem.until_at)
            .join(BatchItem, (col(BatchItem.contact_id) == col(Contact.id)) & (col(BatchItem.batch_id) == batch_id))
            .where(mine, col(Contact.status).in_(("sent", "unknown")))
            .order_by(col(Contact.id))
        ).all()
    over = {contact_id: "its time is over" for contact_id, until in rows if until is not None and until <= now}
    looked = look_again(door, [contact_id for contact_id, _ in rows if contact_id not in over], now)
    off = {one.contact.id: one.look.why for one in looked if one.look.answer != "go"}
    return sorted({**over, **off}.items())


def void_batch(door: Door, batch_id: int, *, by: str, now: datetime) -> int:
    """
    A dialler's file was never used: its tasks wait in their queue again; returns how many.

    Raises:
        DataError: no such batch, or results of it have come in.
    """
    with door.database.write() as session:
        known_batch(session, batch_id, "dialler")
        told = select(BatchItem).where(col(BatchItem.batch_id) == batch_id, col(BatchItem.result_json) != "{}")
        if session.exec(told).first() is not None:
            what = f"results of batch {batch_id} have come in, so its file was used"
            raise DataError(Problem(what, "bring in the rest: `duecourse dialler import`"))
    return give_back(door.database, batch_id, by=by, why="its file was never used", now=now)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _csv(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()
