"""
Second looks, derived again: the gate is asked once more, on what was read and kept for them.

What must follow from a look is its answer with every reason of the gate, and a status that the answer allows: a contact
that was to go may still be held back by something else; one that was not to go never goes.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import or_, select

from engine.difference import first_difference
from engine.explain_tree import ExplainNode
from engine.matching import Matcher
from engine.rulebook import Rulebook
from engine.situation import Situation
from store.bulk_arrow import Reader, table_of
from store.ids import among
from store.log import BATCH, readable
from store.log_kinds import erased_text
from store.snapshots import Seen, Unreadable, part_of, snapshots_of, unpack
from workflows.deciding.chunk import Chunk
from workflows.replay.findings import About, Chosen, Replayed, instant_of, odd
from workflows.replay.publications import Deciders
from workflows.sending.look_log import RUN, answer_detail, read_plain
from workflows.sending.second_look import Answer, Look, Seeing, second_look, unjudged

Row = dict[str, Any]

NO_ENTRY: Final = "it was made, and no entry says what came of it"
NOTHING_KEPT: Final = "nothing was kept of what it saw"
NO_SNAPSHOT: Final = "no snapshot holds what was seen of it"
NOT_IN_IT: Final = "its borrower is not in the snapshot"

_AT_ONCE: Final = 500
_FOLLOWS: Final[Mapping[Answer, tuple[str, ...]]] = {
    # Of a task, `sent` is its queue: it is noted there that somebody took it, or that it waits again.
    "go": ("sending", "sent", "cancelled", "unknown"),
    # One that an agent has seen does not wait again: whether it was made is in doubt.
    "delay": ("planned", "sent", "unknown"),
    "cancel": ("cancelled", "unknown"),
}
"""Answer -> the statuses that an entry may say followed, the usual one first."""


class LooksAgain:
    """
    Derives the second looks of one run after the other.

    Args:
        matched: makes situations again of what was kept, and says which rules match in them.
    """

    def __init__(
        self, reader: Reader, matched: Callable[[Rulebook, Seen], tuple[Chunk, Matcher]], replayed: Replayed
    ) -> None:
        self._reader = reader
        self._matched = matched
        self._replayed = replayed
        self._done: set[int] = set()
        self._lost: dict[int, str] = {}

    def run(self, run: Row, deciders: Deciders, loan: int | None, borrower: int | None) -> None:
        """The looks of one run; with a loan, those at its contacts."""
        self._replayed.rounds += 1
        for snapshot in snapshots_of(self._reader, run["id"], borrower):
            try:
                seen = unpack(snapshot.content, snapshot.digest)
                seeing = _read(seen)
                if loan is not None and seen.book is not None and borrower is not None:
                    seeing = [one for one in seeing if one.contact.loan == loan]
                    seen = _only(seen, borrower)
                chunk, matcher = self._matched(deciders.rulebook, seen)
            except Unreadable as error:
                self._lost[run["id"]] = str(error)
                continue
            situations = {one.id: found for found in chunk.situations for one in found.loans}
            entries = self._entries(run["id"], [one.contact.id for one in seeing])
            for one in seeing:
                situation = situations.get(one.contact.loan)
                look = _look(one, situation, deciders, matcher, seen.at) if situation is not None else None
                self._compare(run, one, look, entries.get(one.contact.id, []), deciders.doubt)

    def cannot(self, run: Row, why: str) -> None:
        """Nothing of a run can be derived."""
        self._lost[run["id"]] = why

    def rest(self, chosen: Chosen, lies: Mapping[int, str]) -> None:
        """
        The entries that tell of a look and followed from none that was kept.

        Args:
            lies: runs whose deciders are not what their digests say, and why: what they looked at came out differently.
        """
        told = 0
        for row in _telling(self._reader, chosen):
            of = _run_of(row)
            if row["id"] in self._done or not chosen.wants(of, row["at"]):
                continue
            about = About(of, row["loan_id"], instant_of(row["at"]), "second look", row["contact_id"])
            if of is not None and of in lies:
                tree = ExplainNode("looked at with something else", "no") if not told else None
                self._replayed.differs(about, lies[of], tree)
                told += 1
            elif of is None:
                self._replayed.unknown(about, NOTHING_KEPT)
            else:
                self._replayed.unknown(about, self._lost.get(of, NO_SNAPSHOT))

    def _entries(self, run: int, contacts: Sequence[str]) -> Mapping[str, list[Row]]:
        status = table_of("contact_status")
        found: defaultdict[str, list[Row]] = defaultdict(list)
        wanted = select(status).where(status.c.detail_json.contains(f'"{RUN}"')).order_by(status.c.id)
        for start in range(0, len(contacts), _AT_ONCE):
            some = contacts[start : start + _AT_ONCE]
            for row in readable(self._reader, lambda keys: wanted.where(status.c.contact_id.in_(keys)), some):
                if _run_of(row) == run:
                    found[row["contact_id"]].append(row)
        return found

    def _compare(self, run: Row, one: Seeing, look: Look | None, rows: Sequence[Row], doubt: str) -> None:
        about = About(run["id"], one.contact.loan, instant_of(run["now_at"]), "second look", one.contact.id)
        self._done.update(row["id"] for row in rows)
        if not rows:
            answer = look.answer if look is not None else "unknown"
            self._replayed.differs(about, NO_ENTRY, ExplainNode(f"answer {answer}", "no"))
            return
        for row in rows:
            if look is None:
                self._replayed.unknown(about, NOT_IN_IT)
                continue
            try:
                found = first_difference("the second look", _logged(row), _derived(row, look, run["now_at"]))
            except RecursionError:
                found = ExplainNode("what was logged is nested too deep to be compared", "no")
            if found is None and len(rows) == 1:
                self._replayed.same("second look")
            elif doubt:
                self._replayed.unknown(about, f"it comes out differently, and was {doubt}")
            else:
                why = "it comes out differently" if found is not None else f"{len(rows)} entries say what came of it"
                self._replayed.differs(about, why, found or ExplainNode("one look, several answers", "no"))


def runs_of_looks(reader: Reader, loan: int) -> list[int]:
    """The runs in which contacts about this loan were looked at, as their entries say."""
    return sorted({of for row in _telling(reader, Chosen(loan=loan)) if (of := _run_of(row)) is not None})


def _telling(reader: Reader, chosen: Chosen) -> Iterator[Row]:
    """Entries of contacts that tell of a second look, also one of before they were kept; those that can be read."""
    status, contact = table_of("contact_status"), table_of("contact")
    said = or_(status.c.detail_json.contains(f'"{RUN}"'), status.c.detail_json.contains('"verdict"'))
    mine = select(status.c.id).where(said).order_by(status.c.id)
    if chosen.loan is not None:
        mine = mine.join(contact, contact.c.id == status.c.contact_id).where(contact.c.loan_id == chosen.loan)
    ids = reader.read(chosen.narrowed(mine, None, status.c.at))["id"].to_pylist()
    columns = (status.c.id, status.c.contact_id, status.c.at, status.c.detail_json, contact.c.loan_id)
    wanted = select(*columns).join(contact, contact.c.id == status.c.contact_id).order_by(status.c.id)
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        yield from readable(reader, lambda keys: wanted.where(among(status.c.id, keys)), some)


def _read(seen: Seen) -> list[Seeing]:
    try:
        return read_plain(seen.looks)
    except ValueError as error:
        raise Unreadable("its snapshot is not as it was packed") from error


def _only(seen: Seen, borrower: int) -> Seen:
    try:
        return replace(seen, book=part_of(seen.book, [borrower])) if seen.book is not None else seen
    except Exception as error:
        raise Unreadable(odd("what its snapshot holds", error)) from error


def _look(seeing: Seeing, situation: Situation, deciders: Deciders, matcher: Matcher, at: datetime) -> Look:
    try:
        return second_look(seeing, situation, deciders.rulebook, deciders.gate, matcher, now=at)
    except Exception as error:  # noqa: BLE001 - what could not be judged then cannot be judged now
        return unjudged(error)


def _logged(row: Row) -> dict[str, Any]:
    detail = _detail(row)
    said: dict[str, Any] = {name: detail[name] for name in ("answer", "until", "verdict", "reasons") if name in detail}
    return {**said, "at": _instant(row["at"]), "status": row["status"], "why": row["why"]}


def _derived(row: Row, look: Look, at: int) -> dict[str, Any]:
    fitting = _FOLLOWS[look.answer]
    status = row["status"] if row["status"] in fitting else fitting[0]
    return {**answer_detail(look), "at": _instant(at), "status": status, "why": _why(row, look)}


def _why(row: Row, look: Look) -> str:
    """What the entry has to say; its own words where the answer leaves them open, or somebody's erasure took them out."""
    said: str = row["why"]
    its_own = look.answer == "go" and row["status"] != "sending"
    waits_again = look.answer == "delay" and said == f"back in its queue: {look.why}"
    return said if its_own or waits_again or said == erased_text("contact_status", str(row["id"])) else look.why


def _run_of(row: Row) -> int | None:
    of = _detail(row).get(RUN)
    return of if type(of) is int else None


def _detail(row: Row) -> dict[str, Any]:
    try:
        read = json.loads(row["detail_json"])
    except (ValueError, TypeError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _instant(at: int) -> str:
    found = instant_of(at)
    return found.isoformat() if found is not None else str(at)
