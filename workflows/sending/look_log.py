"""
The log of second looks: each whose answer is logged leaves what it was made on, so that it can be derived again.

One run and one snapshot for a whole round of them, in the transaction that writes what follows. The entry of a contact's
status says by which run, and what the answer was.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter
from sqlmodel import Session

from engine.gate import Verdict
from store.snapshots import row as snapshot_row
from workflows.deciding.chunk import Chunk
from workflows.deciding.run import begin_looks, end
from workflows.sending.door import Door
from workflows.sending.looking import Looked
from workflows.sending.second_look import Look, Seeing

RUN: Final = "look"
"""In the detail of an entry: by which run its look was made."""

_SEEING: Final = TypeAdapter(list[Seeing])


class LookLog:
    """Keeps the looks of one round, in the caller's write transaction."""

    def __init__(self, session: Session, door: Door, now: datetime) -> None:
        self._session = session
        self._door = door
        self._now = now
        self._run: int | None = None
        self._kept: defaultdict[int, list[Looked]] = defaultdict(list)
        self._chunks: dict[int, Chunk] = {}

    def detail(self, one: Looked) -> dict[str, Any] | None:
        """What the entry says that follows from this look; from now on the look is kept."""
        if one.chunk is None:
            return None
        if self._run is None:
            self._run = begin_looks(self._session, self._door.rulebook.strategies, self._door.gate, now=self._now).id
        self._chunks[id(one.chunk)] = one.chunk
        self._kept[id(one.chunk)].append(one)
        return {RUN: self._run, **answer_detail(one.look)}

    def write(self) -> None:
        """What the looks saw, after the last of them."""
        if self._run is None:
            return
        for key, looked in self._kept.items():
            pack, borrowers = self._chunks[key].snapshot, {one.borrower for one in looked}
            if pack is not None:
                content = pack(borrowers, looks=plain([one.seeing for one in looked]))
                self._session.add(snapshot_row(self._run, borrowers, content))
        counts = {"looks": sum(map(len, self._kept.values()))}
        end(self._session, self._run, now=self._now, counts=counts)


@contextmanager
def kept_looks(session: Session, door: Door, now: datetime) -> Iterator[LookLog]:
    """A log of the looks of one round; written where nothing goes wrong."""
    kept = LookLog(session, door, now)
    yield kept
    kept.write()


def answer_detail(look: Look) -> dict[str, Any]:
    """A look's answer as the entry keeps it: all that the gate said, and until when it waits."""
    said: dict[str, Any] = {"answer": look.answer}
    if look.until is not None:
        said["until"] = look.until.isoformat()
    return said | _verdict(look.verdict)


def _verdict(verdict: Verdict | None) -> dict[str, Any]:
    """A verdict as a contact's history keeps it."""
    if verdict is None:
        return {}
    reasons = [{"rule": r.rule, "outcome": r.outcome, "citation": r.citation} for r in verdict.reasons]
    return {"verdict": verdict.outcome, "reasons": reasons}


def plain(seeing: list[Seeing]) -> list[Mapping[str, Any]]:
    """What looks saw beside the book, as plain JSON for their snapshot."""
    said: list[Mapping[str, Any]] = _SEEING.dump_python(seeing, mode="json", exclude_defaults=True)
    return said


def read_plain(said: object) -> list[Seeing]:
    """
    The same, read again.

    Raises:
        ValueError: it is nothing that `plain` wrote.
    """
    return _SEEING.validate_python(said)
