"""The log's own tables: what waits for a position, the entries' hashes, the tree over them, and the rows they were made from."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, func, select
from sqlmodel import Session

from compliance.merkle import HASH_BYTES, TILE, TILE_BITS, GrowingTree, Node, Subtree, subtree_hash
from engine.errors import Problem, StoreError
from store.bulk_arrow import BulkTransaction, Reader, table_of
from store.bulk_sqlite import SqliteTransaction
from store.ids import among
from store.log_kinds import Kind, erased_text
from store.sealing import Unopened
from store.settings import known_secret, secret_of

if TYPE_CHECKING:
    import pyarrow as pa

BATCH: Final = 20_000
"""Entries read, hashed and written at a time: bounds the memory, and how long SQLite's one writer is kept waiting."""

_SEAL_KEY: Final = "log.seal_key"
_HEAD: Final = "log.head"
_KEYS_AT_ONCE: Final = 5_000
_RUNS_AT_ONCE: Final = 200


class Waiting(NamedTuple):
    """Rows that have no position yet: their ids in the queue, ascending, their kinds and their keys."""

    ids: Sequence[int]
    kinds: Sequence[str]
    keys: Sequence[str]

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Kind and key of each."""
        return list(zip(self.kinds, self.keys, strict=True))

    def only(self, those: Sequence[object]) -> "Waiting":
        """Those for which something stands at their place."""
        ids, kinds, keys = self
        return Waiting(list(compress(ids, those)), list(compress(kinds, those)), list(compress(keys, those)))


class Leaf(NamedTuple):
    """One entry's place, its row, and what it hashed to."""

    position: int
    kind: str
    key: str
    hash: bytes


class Head(NamedTuple):
    """How long the log is, and how many checkpoints it has: written with every step, so that a lost end is noticed."""

    size: int
    checkpoints: int


def seal_key(session: Session) -> bytes | None:
    """What the salts of withheld fields come from; None where there is none, or what stands there is none."""
    try:
        found = known_secret(session, _SEAL_KEY)
        return bytes.fromhex(found) if found is not None else None
    except (Unopened, ValueError):
        return None


def made_seal_key(session: Session) -> bytes:
    """
    The same, made where there is none yet; needs a session that writes.

    Raises:
        StoreError: what stands there is none.
    """
    try:
        return bytes.fromhex(secret_of(session, _SEAL_KEY))
    except (Unopened, ValueError):
        raise StoreError(Problem(f"the setting `{_SEAL_KEY}` is no key", "restore it from a backup")) from None


def unreadable(error: Exception) -> bool:
    """
    Whether a row holds what its column cannot hold: as SQLite lets it, no date, no text; or what was not sealed for it.

    Anything else is a fault.
    """
    import pyarrow as pa

    odd = isinstance(error, pa.ArrowInvalid | pa.ArrowTypeError | OverflowError | Unopened)
    return odd or "Could not decode to UTF-8" in str(error)


def readable(
    reader: Reader, wanted: Callable[[Sequence[Any]], Select[Any]], keys: Sequence[Any]
) -> list[dict[str, Any]]:
    """
    The rows that these keys name, but for those that cannot be read.

    Args:
        wanted: asks for the rows of some keys.
    """
    if not keys:
        return []
    try:
        found: list[dict[str, Any]] = reader.read(wanted(keys)).to_pylist()
    except Exception as error:
        if not unreadable(error):
            raise
        half = len(keys) // 2
        return [row for some in (keys[:half], keys[half:]) for row in readable(reader, wanted, some)] if half else []
    return found


def read_head(reader: Reader) -> Head | None:
    """What the last step said of the log; None: nothing that can be read."""
    setting = table_of("setting")
    found = reader.read(select(setting.c.value).where(setting.c.name == _HEAD))["value"].to_pylist()
    try:
        head = Head(*json.loads(found[0])) if found else Head(0, 0)
    except (TypeError, ValueError):
        return None
    # In its one spelling: whatever else stands there, we did not write it.
    return head if not found or head_row(head)["value"] == found[0] else None


def head_row(head: Head) -> dict[str, str]:
    """The head as a setting: its name and its value."""
    return {"name": _HEAD, "value": json.dumps(head)}


def write_head(transaction: BulkTransaction, head: Head) -> None:
    """Note how long the log is now."""
    transaction.execute(
        "insert into setting (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value",
        head_row(head),
    )


def count_waiting(reader: Reader) -> int:
    """How many rows have no position yet."""
    waits = reader.read(select(func.count(table_of("log_queue").c.id).label("waits")))
    return int(waits["waits"][0].as_py())


def waiting(reader: Reader, *, after: int, limit: int = BATCH) -> Waiting:
    """Rows without a position, the first queued first."""
    queue = table_of("log_queue")
    wanted = select(queue.c.id, queue.c.kind, queue.c.key).where(queue.c.id > after).order_by(queue.c.id).limit(limit)
    return Waiting(*(column.to_pylist() for column in reader.read(wanted).columns))


def write_entries(
    transaction: BulkTransaction, taken: Waiting, hashes: Sequence[bytes], nodes: Sequence[Node], head: Head
) -> None:
    """
    Give entries the last positions of the log, in the caller's transaction: they leave the queue, and the tree grows.

    Args:
        hashes: of each.
        head: of the log with them.
    """
    import pyarrow as pa

    start, runs = head.size - len(hashes), list(_runs(taken.ids))
    if isinstance(transaction, SqliteTransaction):
        _copy_leaves(transaction, start, runs, hashes)
    else:
        positions = list(range(start, head.size))
        leaf = {"position": positions, "kind": taken.kinds, "key": taken.keys, "hash": hashes}
        transaction.append("log_leaf", pa.table(leaf))
    if nodes:
        level, number, hashed = (list(column) for column in zip(*nodes, strict=True))
        transaction.append("log_node", pa.table({"level": level, "number": number, "hash": hashed}))
    for at in range(0, len(runs), _RUNS_AT_ONCE):
        among = " or ".join(f"id between {first} and {last}" for first, last in runs[at : at + _RUNS_AT_ONCE])
        transaction.execute(f"delete from log_queue where {among}")
    write_head(transaction, head)


def _copy_leaves(
    transaction: SqliteTransaction, start: int, runs: Sequence[tuple[int, int]], hashes: Sequence[bytes]
) -> None:
    """The queue's rows as leaves, copied within the database: what would go row by row through Python does not."""
    portions = []
    at = 0
    for first, last in runs:
        end = at + last - first + 1
        portions.append((start + at, first, b"".join(hashes[at:end]), first, first, last))
        at = end
    copied = transaction.execute_each(_COPY, portions)
    if copied != len(hashes):
        # Somebody else has given them positions, who should have waited for this process's lock.
        what = "rows that waited for a position in the log were taken meanwhile"
        raise StoreError(Problem(what, "run `duecourse audit sequence` again when no other runs"))


_COPY: Final = f"""
    insert into log_leaf (position, kind, key, hash)
    select ? + id - ?, kind, key, substr(?, (id - ?) * {HASH_BYTES} + 1, {HASH_BYTES})
    from log_queue where id between ? and ? order by id"""


def _runs(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending ids as the first and last of each unbroken run: most come from one statement, and follow each other."""
    first = last = ids[0]
    for one in ids[1:]:
        if one != last + 1:
            yield first, last
            first = one
        last = one
    yield first, last


def rows_of(reader: Reader, kind: Kind, keys: Sequence[str]) -> "pa.Table":
    """The rows of a kind that these keys name, as far as they are there; with the kind's own columns."""
    import pyarrow as pa

    table = table_of(kind.table)
    columns = [table.c[name] for name in kind.fields]
    found = [reader.read(wanted) for wanted in wanted_rows(kind, keys, columns)]
    return pa.concat_tables(found) if found else reader.read(select(*columns).limit(0))


def wanted_rows(kind: Kind, keys: Sequence[str], columns: Sequence[ColumnElement[Any]]) -> Iterator[Select[Any]]:
    """Statements that together ask for the rows of a kind that these keys name."""
    table = table_of(kind.table)
    if kind.name == "decision":
        by_run: defaultdict[int, list[int]] = defaultdict(list)
        for key in keys:
            run, _, loan = key.partition("-")
            if run.isdecimal() and loan.isdecimal():
                by_run[int(run)].append(int(loan))
        for of, loans in by_run.items():
            yield select(*columns).where(table.c.run_id == of, among(table.c.loan_id, loans))
    elif isinstance(table.c[kind.key[0]].type, Integer):
        ids = [int(key) for key in keys if key.isdecimal()]
        yield select(*columns).where(among(table.c[kind.key[0]], ids))
    else:
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = list(keys[start : start + _KEYS_AT_ONCE])
            yield select(*columns).where(table.c[kind.key[0]].in_(some))


def erased(reader: Reader, kind: Kind, rows: "pa.Table") -> dict[tuple[str, str], str]:
    """Key and field -> the commitment to what was erased of these rows, where a field says that it was."""
    gone = table_of("log_erased")
    said = {one for name in kind.withheld for one in _erasures(kind, rows[name])}
    found: dict[tuple[str, str], str] = {}
    keys = sorted(said)
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        wanted = select(gone.c.key, gone.c.field, gone.c.commitment)
        for key, field, made in _rows(reader.read(wanted.where(gone.c.kind == kind.name, gone.c.key.in_(some)))):
            found[key, field] = made
    return found


def _erasures(kind: Kind, column: "pa.ChunkedArray") -> Iterator[str]:
    import pyarrow.compute as pc

    begins = erased_text(kind.name, "")
    said = column.filter(pc.starts_with(column, begins))
    yield from (text.removeprefix(begins) for text in said.to_pylist())


def erased_digest(rows: Iterable[Mapping[str, str]]) -> str:
    """What an erasure's deed says of its commitments: SHA-256 in hex over `KIND:KEY FIELD COMMITMENT` lines, in order."""
    lines = sorted(f"{row['kind']}:{row['key']} {row['field']} {row['commitment']}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def leaves(reader: Reader, start: int, end: int) -> list[Leaf]:
    """The leaves at these positions, in order; those that are there."""
    leaf = table_of("log_leaf")
    at = leaf.c.position
    wanted = select(at, leaf.c.kind, leaf.c.key, leaf.c.hash).where(at >= start, at < end).order_by(at)
    return [Leaf(*row) for row in _rows(reader.read(wanted))]


def leaves_of(reader: Reader, kind: str, keys: Sequence[str]) -> list[Leaf]:
    """The leaves of these entries, in the order of their positions."""
    leaf = table_of("log_leaf")
    columns = select(leaf.c.position, leaf.c.kind, leaf.c.key, leaf.c.hash)
    found: list[Leaf] = []
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = list(keys[start : start + _KEYS_AT_ONCE])
        found += [Leaf(*row) for row in _rows(reader.read(columns.where(leaf.c.kind == kind, leaf.c.key.in_(some))))]
    return sorted(found)


def end_of_log(reader: Reader) -> int:
    """One past the last position that is there."""
    leaf = table_of("log_leaf")
    last = reader.read(select(func.max(leaf.c.position).label("position")))["position"][0].as_py()
    return 0 if last is None else int(last) + 1


def nodes(reader: Reader, level: int, start: int, end: int) -> list[tuple[int, bytes]]:
    """The stored nodes of a level, number and hash, in order; those that are there."""
    node = table_of("log_node")
    wanted = select(node.c.number, node.c.hash).where(
        node.c.level == level, node.c.number >= start, node.c.number < end
    )
    return [(number, hashed) for number, hashed in _rows(reader.read(wanted.order_by(node.c.number)))]


def growing_tree(reader: Reader) -> GrowingTree:
    """The tree as it stands, ready to grow."""
    size = end_of_log(reader)
    pending: list[list[bytes]] = []
    level, there = 0, size
    while there:
        start = there - there % TILE
        pending.append(_hashes(reader, level, start, there))
        level, there = level + 1, there // TILE
    return GrowingTree(size, pending)


def subtrees(reader: Reader) -> Subtree:
    """What proofs are made from: the hash of any complete subtree; each tile is read once."""
    tiles: dict[tuple[int, int], list[bytes]] = {}

    def subtree(height: int, number: int) -> bytes:
        level, bits = divmod(height, TILE_BITS)
        start = number << bits
        tile = start // TILE
        if (level, tile) not in tiles:
            tiles[level, tile] = _hashes(reader, level, tile * TILE, (tile + 1) * TILE)
        at = start - tile * TILE
        return subtree_hash(tiles[level, tile][at : at + (1 << bits)])

    return subtree


def _hashes(reader: Reader, level: int, start: int, end: int) -> list[bytes]:
    if level == 0:
        return [leaf.hash for leaf in leaves(reader, start, end)]
    return [hashed for _, hashed in nodes(reader, level, start, end)]


def _rows(table: "pa.Table") -> Iterator[tuple[Any, ...]]:
    yield from zip(*(column.to_pylist() for column in table.columns), strict=True)
