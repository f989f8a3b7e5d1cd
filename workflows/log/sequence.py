"""
The sequencer: gives every committed row of evidence its position in the log, without a gap and without a miss.

Triggers queue a row in the transaction that writes it, so that what is committed is in the queue and what was rolled
back is not. PostgreSQL lets transactions commit in another order than they took their numbers in: therefore nothing is
remembered of how far the queue was read. What is taken is taken off it, row by row, in the transaction that gives the
positions; a row that becomes visible later, whatever its number, is still there and comes next time.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from compliance.merkle import leaf_hashes
from engine.errors import Problem, StoreError
from store import log, log_strung
from store.bulk import reading, writing
from store.bulk_arrow import Reader
from store.db import Database, open_database
from store.lock import sole
from store.log_kinds import KINDS, Kind
from store.log_sql import Encoder
from store.sealing import Key, Keyring
from workflows.crew import Crew, alone, processes, threads
from workflows.uncollected import uncollected

if TYPE_CHECKING:
    import pyarrow as pa

LOCK: Final = "log"
"""Held by whoever gives positions or signs: one process at a time."""

ENTRIES_PER_PROCESS: Final = 100_000
"""Of fewer entries it takes longer to begin another process than to read and hash its share."""
_THREADS: Final = 2
_PROCESSES_MAX: Final = 4
"""One process writes what these read and hash, which is a quarter of the work."""
_BROKEN: Final = Problem(
    "a process of the log's sequencer was killed, perhaps because memory ran out",
    "run `duecourse audit sequence` again: it goes on where it stopped",
)

Progress = Callable[[int, int], None]
Seen = Callable[[str, "pa.Table"], None]
"""Told of rows as they are read, with their kind."""
Stop = Callable[[], bool]


def _unseen(_kind: str, _rows: "pa.Table") -> None:
    """Nobody asks for the rows."""


@dataclass(frozen=True, slots=True)
class Sequenced:
    """
    What a run of the sequencer did.

    Attributes:
        entries: how many got a position.
        size: how many the log holds now.
        lost: queued rows that are not there any more, or cannot be read; they stay queued, and verification reports them.
    """

    entries: int
    size: int
    lost: int


def sequence(
    database: Database,
    *,
    progress: Progress = lambda _done, _total: None,
    stop: Stop = lambda: False,
) -> Sequenced:
    """
    Give a position to every row of evidence that was committed before this began.

    Killed at any moment it has done whole batches, and the next run goes on.

    Raises:
        Busy: another process is at it.
        StoreError: the database cannot be read or written, or its log does not hold together.
    """
    with ExitStack() as stack:
        stack.enter_context(sole(database, LOCK, what="the log's sequencer"))
        stack.enter_context(uncollected())
        with reading(database) as reader:
            tree = log.growing_tree(reader)
            head = log.read_head(reader)
        if head is None or tree.size != head.size:
            raise _torn(tree.size, head)
        before, lost = tree.size, 0

        for batch, digests in _crew(database, stack)(_batches(database)):
            if stop():
                break
            there = [digest for digest in digests if digest]
            queued = batch if len(there) == len(digests) else batch.only(digests)
            lost += len(digests) - len(there)
            if there:
                nodes = list(tree.add(there))
                with writing(database) as transaction:
                    # A second sequencer, after this one lost its lock, fails here: positions are unique.
                    log.write_entries(transaction, queued, there, nodes, log.Head(tree.size, head.checkpoints))
            progress(tree.size - before, tree.size - before)
        return Sequenced(tree.size - before, tree.size, lost)


def _crew(database: Database, stack: ExitStack) -> Crew[log.Waiting, list[bytes | None]]:
    """Whoever reads and hashes batches, while this thread gives what was hashed before its positions."""
    seal_key = _seal_key(database)
    # Closed after the threads that use them.
    encoders = stack.enter_context(ExitStack())

    def hasher() -> _Hasher:
        return _Hasher(database, encoders.enter_context(Encoder(seal_key)))

    if database.dialect == "postgresql":
        # The server reads meanwhile. SQLite reads in this process, where two threads stand in each other's way.
        return stack.enter_context(threads(hasher, _THREADS))
    with reading(database) as reader:
        waits = log.count_waiting(reader)
    workers = min(os.cpu_count() or 1, _PROCESSES_MAX, waits // ENTRIES_PER_PROCESS)
    if workers > 1:
        begin = partial(_begin, database.address, database.sealing.at_hand, seal_key)
        return stack.enter_context(processes(begin, workers, broken=_BROKEN))
    return alone(hasher())


@dataclass(frozen=True, slots=True)
class _Hasher:
    """Reads batches and hashes them."""

    database: Database
    encoder: Encoder

    def __call__(self, queued: log.Waiting) -> list[bytes | None]:
        with uncollected(), reading(self.database) as reader:
            return first_hashes(reader, self.encoder, queued.entries)


def _begin(address: str, keys: tuple[Key, ...], seal_key: bytes) -> _Hasher:
    """The same in a process of its own; a key that is made meanwhile opens what it sealed in the next run."""
    return _Hasher(open_database(address, keys=Keyring(lambda: keys) if keys else None), Encoder(seal_key))


def _batches(database: Database) -> Iterator[log.Waiting]:
    """What waits, the first queued first; read as it is asked for."""
    after = 0
    while True:
        with reading(database) as reader:
            queued = log.waiting(reader, after=after)
        if not queued.ids:
            return
        yield queued
        after = queued.ids[-1]


def first_hashes(reader: Reader, encoder: Encoder, entries: Sequence[tuple[str, str]]) -> list[bytes | None]:
    """The same as `hashes`, by the shorter way where the database has one."""
    made: list[bytes | None] = [None] * len(entries)
    for kind, places in _by_kind(entries):
        keys = [entries[place][1] for place in places]
        found = _strung(reader, KINDS[kind], keys) or hashes(reader, encoder, [(kind, key) for key in keys])
        for place, digest in zip(places, found, strict=True):
            made[place] = digest
    return made


def _strung(reader: Reader, kind: Kind, keys: Sequence[str]) -> list[bytes | None] | None:
    try:
        return log_strung.hashes(reader, kind, keys)
    except Exception as error:
        if not log.unreadable(error):
            raise
        return None


def hashes(
    reader: Reader, encoder: Encoder, entries: Sequence[tuple[str, str]], seen: Seen = _unseen
) -> list[bytes | None]:
    """The leaf hashes of these entries, kind and key, as their rows stand now; None or empty as `read_entries` says."""
    return leaf_hashes(read_entries(reader, encoder, entries, seen))


def read_entries(
    reader: Reader, encoder: Encoder, entries: Sequence[tuple[str, str]], seen: Seen = _unseen
) -> list[bytes | None]:
    """
    These entries, kind and key, from their rows as they stand now.

    Returns:
        None where there is no row or no such kind; empty where the row cannot be read.
    """
    made: list[bytes | None] = [None] * len(entries)
    for kind, places in _by_kind(entries):
        keys = [entries[place][1] for place in places]
        for place, entry in zip(places, _encoded(reader, encoder, KINDS[kind], keys, seen), strict=True):
            made[place] = entry
    return made


def _encoded(reader: Reader, encoder: Encoder, kind: Kind, keys: Sequence[str], seen: Seen) -> list[bytes | None]:
    try:
        rows = log.rows_of(reader, kind, keys)
        made = encoder.encode(kind, keys, rows, log.erased(reader, kind, rows))
    except Exception as error:
        if not log.unreadable(error):
            raise
        if len(keys) == 1:
            return [b""]
    else:
        seen(kind.name, rows)
        return made
    # One row cannot be read, and the others can: find it.
    half = len(keys) // 2
    return [*_encoded(reader, encoder, kind, keys[:half], seen), *_encoded(reader, encoder, kind, keys[half:], seen)]


def _by_kind(entries: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[int]]]:
    kinds = [kind for kind, _ in entries]
    for kind in dict.fromkeys(kinds):
        if kind in KINDS:
            yield kind, [place for place, one in enumerate(kinds) if one == kind]


def _seal_key(database: Database) -> bytes:
    with database.session() as session:
        key = log.seal_key(session)
    if key is None:
        with database.write() as session:
            key = log.made_seal_key(session)
    return key


def _torn(size: int, head: log.Head | None) -> StoreError:
    said = f"{head.size:,}" if head is not None else "an unknown number of"
    what = f"the log holds {size:,} entries, and should hold {said}"
    return StoreError(Problem(what, "run `duecourse audit verify`, and restore what is missing from a backup"))
