"""Checkpoints of the log: signed, kept, and handed to witnesses."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import func
from sqlmodel import Session, col, select

from compliance.checkpoint import Checkpoint, Signer, signed_by
from engine.errors import DataError, DuecourseError, Problem, StoreError
from store import log as entries
from store.bulk import reading
from store.db import Database
from store.lock import sole
from store.log import Head, head_row
from store.settings import write_setting
from store.tables import LogCheckpoint, LogHandover
from workflows.log.clock import act, after, all_set_aside
from workflows.log.sequence import LOCK

log = logging.getLogger(__name__)

_WHAT: Final = "the log's sequencer"


class Witness(Protocol):
    """Somebody outside who keeps checkpoints: a later log that does not fit them has been rewritten."""

    @property
    def name(self) -> str:
        """Where it is, as the settings say."""
        ...

    def take(self, number: int, note: str) -> None:
        """
        Hand over a checkpoint.

        Raises:
            DuecourseError: it did not take it.
        """
        ...

    def holds(self, after: int) -> Mapping[int, str]:
        """The checkpoints above this number that it holds, where it can be asked; else none."""
        ...


def sign(database: Database, signer: Signer, *, now: datetime) -> LogCheckpoint | None:
    """
    The checkpoint of the log as it stands: a new one where it grew since the last, or the key was replaced.

    Returns:
        None: the log holds nothing yet.
    Raises:
        Busy: the sequencer is at work.
        StoreError: the clock went backwards and nobody set it aside, or the log does not hold together.
    """
    with sole(database, LOCK, what=_WHAT):
        with reading(database) as reader:
            tree, head, said = entries.growing_tree(reader), entries.read_head(reader), all_set_aside(reader)
        with database.write() as session:
            last = newest(session)
            count = last.number if last is not None else 0
            if head != (tree.size, count):
                what = "the log does not hold together: its end is missing"
                raise StoreError(Problem(what, "run `duecourse audit verify`"))
            if not tree.size:
                return None
            if last is not None and now < last.at and after(said, last.size) is None:
                what = (
                    f"the clock went backwards: it is {_minute(now)}, and the last checkpoint is of {_minute(last.at)}"
                )
                mend = (
                    "set the clock right; if it stood ahead then, `duecourse audit checkpoint --despite-clock` says so"
                )
                raise StoreError(Problem(what, mend))
            note = signer.sign(Checkpoint(signer.name, tree.size, tree.root(), now))
            if last is not None and last.size == tree.size and signed_by(last.note) == signed_by(note):
                return last
            made = LogCheckpoint(number=count + 1, size=tree.size, at=now, note=note)
            session.add(made)
            write_setting(session, **head_row(Head(tree.size, count + 1)))
            return made


def set_clock_aside(database: Database, *, by: str, because: str, now: datetime) -> None:
    """
    Say that the newest checkpoint was signed by a clock that stood ahead: the next one may be older.

    Args:
        by, because: in people's own words.
    Raises:
        DataError: it is not said by whom or why, or the newest checkpoint is no younger than `now`.
    """
    if not by.strip() or not because.strip():
        what = "it is not said who sets a checkpoint's clock aside, or why"
        raise DataError(Problem(what, "write `--by NAME --because TEXT`"))
    with database.write() as session:
        last = newest(session)
        if last is None or last.at <= now:
            of = f"the newest checkpoint is of {_minute(last.at)}" if last is not None else "there is no checkpoint"
            raise DataError(Problem(f"{of}, and it is {_minute(now)}", "leave out `--despite-clock`"))
        session.add(act(by=by, because=because, now=now))


def hand_over(database: Database, witnesses: Sequence[Witness], *, now: datetime) -> list[Problem]:
    """
    Hand every witness the newest checkpoint, unless it has it.

    A witness that cannot take it now is asked again next time: the newest one vouches for all before it.

    Returns:
        what went wrong, by witness; logged as alerts.
    """
    problems: list[Problem] = []
    for witness in witnesses:
        with database.session() as session:
            last, before = newest(session), _newest_of(session, witness.name)
            if last is None or session.get(LogHandover, (last.number, witness.name)) is not None:
                continue
        try:
            witness.take(last.number, last.note)
        except DuecourseError as error:
            log.warning(
                "a witness did not take a checkpoint",
                extra={"action": "alert", "checkpoint": last.number, "what": error.problems[0].what},
            )
            problems += error.problems
            continue
        # Also what it took when we were killed before we could write that down.
        taken = {**witness.holds(before), last.number: last.note}
        with database.write() as session:
            for number, note in sorted(taken.items()):
                kept = session.get(LogCheckpoint, number)
                known = session.get(LogHandover, (number, witness.name)) is not None
                if kept is not None and kept.note == note and not known:
                    # Another process may have signed since `now` was asked for.
                    session.add(LogHandover(number=number, witness=witness.name, at=max(now, kept.at)))
    return problems


def _newest_of(session: Session, witness: str) -> int:
    """The highest number that a witness took, as far as that is written down."""
    wanted = select(func.max(col(LogHandover.number))).where(col(LogHandover.witness) == witness)
    return session.exec(wanted).one() or 0


def checkpoints(session: Session) -> Sequence[LogCheckpoint]:
    """Every checkpoint, the first first."""
    return session.exec(select(LogCheckpoint).order_by(col(LogCheckpoint.number))).all()


def newest(session: Session) -> LogCheckpoint | None:
    """The newest checkpoint; None: there is none."""
    return session.exec(select(LogCheckpoint).order_by(col(LogCheckpoint.number).desc()).limit(1)).first()


def _minute(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="minutes")
