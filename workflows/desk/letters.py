"""
Letters, printed in batches: each one PDF, and a manifest for the print shop.

The batch is committed before its folder is in place. A process that dies in between leaves it in doubt: the folder may have
been fetched, so nothing of it is printed again until a person has said what became of it.
"""

import csv
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlmodel import Session, col, select

from channels.paper import Letter, Press, check_words, letter_pages
from compliance import PackDates
from engine.errors import DataError, DuecourseError, Problem
from engine.strategy import PromisePolicy
from store.db import Database
from store.matters import People
from store.outbox import ROW, bump_versions, lock_versions
from store.tables import BatchItem, Contact
from workflows.desk.reporting import OfBatch, Report, close
from workflows.sending.aftermath import concerned
from workflows.sending.batches import (
    Taken,
    Wanted,
    doubt,
    file_is_there,
    give_back,
    known_batch,
    say_leaving,
    take_batch,
)
from workflows.sending.door import Door
from workflows.sending.second_look import Look

WRITING_MAX: Final = timedelta(minutes=30)
"""How long the making of a batch may take before it counts as broken off."""
CONFIRMED_WITHIN: Final = timedelta(days=7)
"""How long the print shop has to confirm, before a letter is in doubt."""
_MANIFEST: Final = "manifest.csv"
_COLUMNS: Final = ("contact", "file", "sha256", "pages", "post")

Write = Callable[[Session, Contact, Look], Letter]
"""Fills in a letter; DataError where it would say what is not known."""
NoticeOf = Callable[[Contact], str | None]
"""The duty that a contact gives evidence for, if any."""


@dataclass(frozen=True, slots=True)
class Shop:
    """
    How letters are made.

    Attributes:
        post, post_notice: the postal class of a letter, and of one that the law or a contract asks for.
    """

    write: Write
    press: Press
    post: str = "standard"
    post_notice: str = "registered"


@dataclass(frozen=True, slots=True)
class Printed:
    """A batch of letters in its folder; `batch` and `folder` are None where none could leave."""

    batch: int | None
    folder: Path | None
    letters: int
    pages: int
    counts: Mapping[str, int]


def print_letters(door: Door, shop: Shop, out: Path, *, queue: str, by: str, now: datetime, limit: int) -> Printed:
    """
    Print what waits in a queue of letters into a folder of its own in `out`.

    Each is looked at again first, and the gate asked, as dispatch does it.

    Raises:
        SettingsError: nobody may be reached now.
        DataError: the folder cannot be written; its letters wait in their queue again.
    """
    doubt(door.database, now=now)
    _refuse_unwritable(out)
    letters: dict[str, Letter] = {}

    def make(session: Session, contact: Contact, look: Look) -> BatchItem:
        letter = shop.write(session, contact, look)
        check_words(letter.words, shop.press)
        letters[contact.id] = letter
        post = shop.post_notice if contact.purpose == "required_notice" else shop.post
        return BatchItem(batch_id=0, contact_id=contact.id, file=f"{contact.id}.pdf", post=post)

    wanted = Wanted("print", queue, by, now, now + WRITING_MAX, limit)
    taken = take_batch(door, wanted, make, hold_until=lambda _: now + CONFIRMED_WITHIN)
    if taken.batch is None:
        return Printed(None, None, 0, 0, taken.counts)
    folder, batch = out / f"letters-{taken.batch.id}", taken.batch

    def leaving(digest: str) -> None:
        say_leaving(door.database, batch, digest, len(taken.items), now=now)

    try:
        digest = _write_folder(folder, taken, letters, shop.press, leaving)
    except (OSError, DuecourseError) as error:
        # It is not in place, so nobody has fetched it.
        give_back(door.database, taken.batch.id or 0, by=by, why="the folder could not be written", now=now)
        if isinstance(error, DuecourseError):
            raise
        said = (error.strerror or str(error)).lower()
        raise DataError(
            Problem(f"cannot write `{folder}`: {said}", "name a folder with room that you may write to")
        ) from None
    file_is_there(door.database, taken.batch, taken.items, digest)
    return Printed(taken.batch.id, folder, len(taken.items), sum(item.pages for item in taken.items), taken.counts)


def _refuse_unwritable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        writable = os.access(out, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise DataError(Problem(f"cannot write to `{out}`", "name a folder that you may write to"))


def _write_folder(
    folder: Path, taken: Taken, letters: Mapping[str, Letter], press: Press, leaving: Callable[[str], None]
) -> str:
    """All letters and the manifest under another name first, then into place at once; the manifest's hash."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    if folder.exists():
        raise DataError(Problem(f"`{folder}` is there already", "print into another folder"))
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        # Names, addresses and debts: nobody else's to read.
        unfinished.mkdir(mode=0o700)
        for item in taken.items:
            pages = letter_pages(letters[item.contact_id], press)
            (unfinished / item.file).write_bytes(pages.content)
            item.digest, item.pages = pages.digest, pages.pages
        with (unfinished / _MANIFEST).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows((i.contact_id, i.file, i.digest, i.pages, i.post) for i in taken.items)
        digest = hashlib.sha256((unfinished / _MANIFEST).read_bytes()).hexdigest()
        leaving(digest)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return digest


def confirm_letters(
    database: Database,
    batch_id: int,
    *,
    by: str,
    posted_at: datetime,
    except_for: Collection[str],
    dates: PackDates,
    notice_of: NoticeOf,
) -> Counter[str]:
    """
    The print shop says that a batch is in the post; said again, it changes nothing.

    Args:
        except_for: contacts whose letters were neither printed nor posted: they wait in their queue again.
    Returns:
        letters by what became of them: posted, not_tried, and `same`, of which it was known.
    Raises:
        DataError: no such batch, it was given back, or a contact is none of it.
    """
    with database.write() as session:
        batch = known_batch(session, batch_id, "print")
        if batch.status == "void":
            what = f"batch {batch_id} was given back: nothing of it was printed"
            raise DataError(Problem(what, "if it was, write it down with `duecourse contact record`"))
        if posted_at < batch.made_at:
            what = f"batch {batch_id} was made at {batch.made_at:%Y-%m-%d %H:%M}Z, and posted before that"
            raise DataError(Problem(what, "write when it was posted with `--at`"))
        wanted = (
            select(BatchItem.contact_id).where(col(BatchItem.batch_id) == batch_id).order_by(col(BatchItem.contact_id))
        )
        ids = session.exec(wanted).all()
        if strangers := sorted(set(except_for).difference(ids)):
            raise DataError(Problem(f"`{strangers[0]}` is no letter of batch {batch_id}", "its manifest lists them"))
        if batch.status != "out":
            # Whoever confirms it has seen it.
            batch.status = "out"
            session.add(batch)
    counts: Counter[str] = Counter()
    for contact_id in ids:
        outcome = "not_tried" if contact_id in except_for else "posted"
        counts[_confirm(database, batch_id, contact_id, outcome, by, posted_at, dates, notice_of)] += 1
    return counts


def _confirm(
    database: Database,
    batch_id: int,
    contact_id: str,
    outcome: str,
    by: str,
    at: datetime,
    dates: PackDates,
    notice_of: NoticeOf,
) -> str:
    batch = OfBatch("print", batch_id, json.dumps({"at": at.isoformat(), "by": by, "outcome": outcome}, sort_keys=True))
    with database.session() as session:
        notice = notice_of(session.get_one(Contact, contact_id))
    with database.write() as session:
        contact = session.get_one(Contact, contact_id)
        people = concerned(session, contact)
        lock_versions(session, people)
        session.refresh(contact, with_for_update=ROW)
        if contact.claimed_by != batch.holder or contact.status not in ("sent", "unknown"):
            return "same"
        where = People(session)
        where.read([contact.person_id], [contact.loan_id])
        on = where.place(contact.person_id).day(at)
        close(session, contact, Report(outcome, by, at, on, PromisePolicy(), dates, batch=batch, notice=notice))
        bump_versions(session, people)
    return outcome
