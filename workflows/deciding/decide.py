"""
Decide one borrower, or a micro-batch of them, because something happened: on fresh facts, under the lock that keeps them fresh.

The same facts statement as the sweep's, with a filter. Events only say "look again": what is decided follows
from the book, never from an event's payload.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from engine.decision import Decision
from engine.gate import Gate
from engine.matching import Matcher
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Situation
from store.bulk import reading, writing
from store.bulk_arrow import BulkTransaction, Reader
from store.db import Database
from store.situations import Happened
from store.snapshots import OF_THE_RUN
from workflows.deciding.allotment import OpenSeats, Queue, limited, seats_taken
from workflows.deciding.chunk import Chunk, ChunkReader, Fresh
from workflows.deciding.recording import Recorder, locked_versions
from workflows.deciding.run import begin_events, end
from workflows.deciding.seat_log import packed_round

Decided = list[tuple[Decision, Situation]]
_NOTHING_HAPPENED = Happened()


class _Lists(NamedTuple):
    """The work queues, and where the lender works."""

    queues: Mapping[str, Queue]
    zone: ZoneInfo

    def read(self, source: Reader, now: datetime) -> OpenSeats:
        names = sorted(limited(self.queues))
        taken = seats_taken(source, names, now=now, zone=self.zone) if names else {}
        return OpenSeats(self.queues, taken, now=now, zone=self.zone)


class HandledMeanwhile(Exception):  # noqa: N818 - it is no error: somebody else was faster
    """Another process handled one of these events first; nothing was written."""


def decide_borrowers(
    database: Database,
    rulebook: Rulebook,
    gate: Gate,
    *,
    borrower_ids: Sequence[int],
    now: datetime,
    matcher: Matcher,
    happened: Happened = _NOTHING_HAPPENED,
    event_ids: Sequence[int] = (),
    queues: Mapping[str, Queue] | None = None,
    zone: str = "UTC",
    actor: str = "first_party",
    write: bool = True,
    reader: ChunkReader | None = None,
) -> Decided:
    """
    Decide these borrowers now.

    Args:
        matcher: usually the live one; the wiring keeps one for the life of the process.
        happened: what is being handled; nothing means "as a sweep would".
        event_ids: rows of the inbox that this settles: they are marked with the run in the same transaction.
        queues: limited ones take what still has a seat today, in the order of the borrowers' ids.
        write: False only looks: nothing is locked or written.
        reader: one that is at hand, to save its making.
    Returns:
        decision and situation of each borrower who has loans, by id.
    Raises:
        HandledMeanwhile: another process was faster with one of the events.
        StoreError: the database cannot be read or written.
    """
    lists = _Lists(queues or {}, ZoneInfo(zone))
    own = reader or ChunkReader(rulebook, actor=actor)
    try:
        if not write:
            with reading(database) as source:
                seats = lists.read(source, now)
                chunk = own.look(source, borrower_ids, now=now, happened=happened)
            return _decide(chunk, rulebook, gate, now, matcher, seats)
        return _decide_and_write(database, rulebook, gate, own, borrower_ids, now, matcher, happened, event_ids, lists)
    finally:
        if reader is None:
            own.close()


def fresh_situations(
    database: Database, reader: ChunkReader, borrower_ids: Sequence[int], now: datetime
) -> dict[int, Fresh]:
    """What dispatch looks at again before it sends, by borrower id."""
    chunk = reader.look(database, borrower_ids, now=now, happened=_NOTHING_HAPPENED)
    found = {}
    for situation in chunk.situations:
        people = (situation.borrower.id, *situation.others)
        versions = {person: chunk.versions[person] for person in people}
        found[situation.borrower.id] = Fresh(situation, versions, chunk)
    return found


def _decide_and_write(
    database: Database,
    rulebook: Rulebook,
    gate: Gate,
    reader: ChunkReader,
    borrower_ids: Sequence[int],
    now: datetime,
    matcher: Matcher,
    happened: Happened,
    event_ids: Sequence[int],
    lists: "_Lists",
) -> Decided:
    with database.write() as session:
        frozen = begin_events(session, rulebook.strategies, gate, now=now)
    status = "stopped"
    recorder = Recorder(frozen, all_loans=True)
    try:
        with writing(database) as transaction:
            # Locked first, read second: what is read here is still true when it is written.
            locked_versions(database, transaction, borrower_ids)
            seats = lists.read(transaction, now)
            chunk = reader.look(transaction, borrower_ids, now=now, happened=happened)
            decided = _decide(chunk, rulebook, gate, now, matcher, seats)
            for decision, _ in decided:
                recorder.add(decision, chunk.before)
            chunk.kept_by(recorder.rows)
            if seats.asked:
                kept = packed_round(lists.queues, lists.zone, seats.before, (), at=now)
                recorder.rows.add_snapshot([OF_THE_RUN], kept)
            recorder.rows.write(transaction)
            _settle_events(transaction, event_ids, frozen.id)
            _tell(transaction, [decision for decision, _ in decided if _changes(decision)])
        status = "done"
    finally:
        with database.write() as session:
            end(session, frozen.id, now=now, counts=recorder.counts if status == "done" else {}, status=status)
    return decided


def _decide(chunk: Chunk, rulebook: Rulebook, gate: Gate, now: datetime, matcher: Matcher, seats: OpenSeats) -> Decided:
    decided = []
    for situation in chunk.situations:
        decision = decide(situation, rulebook, gate, now, matcher, queue_open=seats.open)
        seats.take(decision)
        decided.append((decision, situation))
    return decided


def _changes(decision: Decision) -> bool:
    return any(loan.contacts or loan.stage_after != loan.stage_before for loan in decision.loans)


def _tell(transaction: BulkTransaction, decisions: Sequence[Decision]) -> None:
    """A sweep that read these borrowers before now must look at them again."""
    if decisions:
        people = ", ".join(str(decision.borrower) for decision in decisions)
        transaction.execute(f"update person set version = version + 1 where id in ({people})")


def _settle_events(transaction: BulkTransaction, event_ids: Sequence[int], run_id: int) -> None:
    if event_ids:
        events = ", ".join(map(str, event_ids))
        sql = f"update event set run_id = :run where run_id is null and id in ({events})"
        if transaction.execute(sql, {"run": run_id}) != len(event_ids):
            raise HandledMeanwhile(f"some of the events {events}")
