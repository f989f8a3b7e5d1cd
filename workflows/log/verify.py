"""
Does the log stand as it was signed? Everything is computed again from the rows, and nothing that is stored is believed.

One pass over the positions: rows against entries' hashes, these against the tree's nodes, both against every
checkpoint on the way. That is more than a proof of consistency between any two checkpoints: both are made from one
list. Memory is bounded by the batch, however long the log is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import exists, func, literal_column, select

from compliance.checkpoint import PublicKey
from compliance.merkle import TILE_BITS, GrowingTree, Node
from store import log
from store.bulk import reading
from store.bulk_arrow import Reader, table_of
from store.db import Database
from store.duck import work_file
from store.ids import FIRST, first_from
from store.log_kinds import KINDS, Kind
from store.log_sql import Encoder
from store.settings import read_setting
from store.snapshots import digest_of
from workflows.log.contacts import Contacts
from workflows.log.dated import Dated
from workflows.log.findings import FINDINGS_MAX, Verified, salvaged
from workflows.log.sequence import Seen, hashes
from workflows.log.stated import Stated
from workflows.log.vouched import Vouched, checkpoints, of_files
from workflows.log.witnessed import Asked, of_witnesses

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[int, int], None]


class _Watch(NamedTuple):
    """Who else is told of entries as they are hashed: of their places first, then of their rows."""

    batch: Callable[[Sequence[log.Leaf]], None]
    seen: Seen


def verify(
    database: Database,
    keys: Sequence[PublicKey],
    *,
    witnessed: Mapping[str, str] | None = None,
    asked: Sequence[Asked] = (),
    progress: Progress = lambda _done, _total: None,
) -> Verified:
    """
    Check the whole log: rows, entries, tree, checkpoints, and what is not in it.

    Args:
        keys: by which checkpoints are believed.
        witnessed: checkpoints that somebody else kept, by what to call them.
        asked: the witnesses of the settings, and what they hold.
    Raises:
        StoreError: the database cannot be read.
    """
    found = Verified()
    with database.session() as session:
        seal_key = log.seal_key(session)
        production = read_setting(session, "environment") == "production"
    # One moment for all of it: the log may grow meanwhile.
    with reading(database) as reader:
        found.size = log.end_of_log(reader)
        vouched = checkpoints(reader, keys, found)
        vouched += of_witnesses(reader, asked, vouched, keys, found)
        ours = {one.note: one.checkpoint for one in vouched}
        vouched += of_files(witnessed or {}, ours, keys, found)
        if seal_key is None and found.size:
            found.find("missing", "setting `log.seal_key`: it is gone or no key, and rows cannot be checked without it")
        with work_file("the verification") as con, Encoder(seal_key or b"") as encoder:
            contacts, stated, dated = Contacts(con), Stated(con), Dated(con, vouched)

            def seen(kind: str, rows: "pa.Table") -> None:
                contacts.see(kind, rows)
                stated.see(kind, rows)
                dated.see(kind, rows)

            watch = _Watch(dated.batch, seen)
            _walk(reader, encoder if seal_key is not None else None, vouched, watch, found, progress)
            _queue(reader, encoder, watch, found)
            if seal_key is not None:
                contacts.check(reader, found)
                stated.check(reader, found)
                dated.check(found, rehearsal=not production)
        for kind in KINDS.values():
            _inserted(reader, kind, found)
        _snapshots(reader, found)
        _erasures(reader, found)
        keyed = bool(_keys_made(reader))
    if not found.signed and not found.findings:
        # Also of an empty log: emptied by somebody, it looks like one that never held anything.
        gone = "; a key was made for it, so if it was ever signed, its checkpoints are gone" if keyed else ""
        found.unknown.append(f"no checkpoint vouches for any of it{gone}")
    return found


def _keys_made(reader: Reader) -> int:
    deed = table_of("deed")
    return int(reader.read(select(func.count().label("id")).where(deed.c.kind == "key"))["id"][0].as_py())


def _walk(
    reader: Reader,
    encoder: Encoder | None,
    vouched: Sequence[Vouched],
    watch: "_Watch",
    found: Verified,
    progress: Progress,
) -> None:
    """Once over all positions."""
    checks = sorted(vouched, key=lambda one: one.checkpoint.size)
    tree, nodes = GrowingTree(), _Nodes(reader, found)
    agreed, at, whole = 0, 0, not log.leaves(reader, FIRST, 0)
    if not whole:
        found.find("inserted", "positions before 0 of the log")
    end, places = 0, table_of("log_leaf").c.position
    # Over what is there, and not over what is not: one position far away would be a walk of years.
    while end < found.size and (start := first_from(reader, places, end)) is not None:
        end = min(start + log.BATCH, found.size)
        batch = salvaged(
            lambda first, end: log.leaves(reader, first, end),
            start,
            end,
            lambda position: found.find(
                "altered", f"{_positions(position, position + 1)} of the log: it cannot be read"
            ),
        )
        # A leaf that is gone leaves a gap; what comes after it cannot be hashed to any checkpoint, but can be to its row.
        for leaf in batch:
            if leaf.position != at:
                twice = leaf.position < at
                found.find("inserted" if twice else "missing", f"{_positions(*sorted((at, leaf.position)))} of the log")
                whole = False
            at = leaf.position + 1
        if encoder is not None:
            _rows(reader, encoder, batch, watch, found)
        if whole:
            agreed = _grow(tree, batch, checks, nodes, agreed, found)
        progress(end, found.size)
    for one in checks:
        if one.checkpoint.size > tree.size:
            why = "the log is shorter now" if whole else "the log has a gap before it"
            found.find("truncated", f"{one.called} vouches for {one.checkpoint.size:,} entries; {why}")
    if whole:
        nodes.end(tree.size)
    found.signed = agreed


def _rows(reader: Reader, encoder: Encoder, batch: Sequence[log.Leaf], watch: _Watch, found: Verified) -> None:
    if batch:
        watch.batch(batch)
    now = hashes(reader, encoder, [(leaf.kind, leaf.key) for leaf in batch], watch.seen)
    for leaf, hashed in zip(batch, now, strict=True):
        # Empty, where the row cannot be read, is no hash.
        if hashed is None:
            what = "deleted" if leaf.kind in KINDS else "altered"
            found.find(what, f"`{leaf.kind}:{leaf.key}`, position {leaf.position:,}")
        elif hashed != leaf.hash:
            unread = "" if hashed else _unread(reader, KINDS[leaf.kind], leaf.key)
            found.find("altered", f"`{leaf.kind}:{leaf.key}`, position {leaf.position:,}{unread}")


def _unread(reader: Reader, kind: Kind, key: str) -> str:
    """Which fields of a row it is that cannot be read."""
    names = []
    for name in kind.fields:
        try:
            log.rows_of(reader, replace(kind, fields=(name,)), [key])
        except Exception as error:
            if not log.unreadable(error):
                raise
            names.append(f"`{name}`")
    return f": what stands in {', '.join(names)} cannot be read" if names else ""


def _grow(
    tree: GrowingTree,
    batch: Sequence[log.Leaf],
    checks: Sequence[Vouched],
    nodes: "_Nodes",
    agreed: int,
    found: Verified,
) -> int:
    """Add a batch to the tree, and compare with what was signed on the way; up to which size that was the same."""
    hashed = [leaf.hash for leaf in batch]
    start, done, same = tree.size, 0, True
    for one in checks:
        size = one.checkpoint.size
        if not start < size <= start + len(hashed):
            continue
        nodes.compare(tree.add(hashed[done : size - start]))
        done = size - start
        if tree.root() == one.checkpoint.root:
            agreed, same = size, True
        elif same:
            # Whatever comes after it differs as well; the first says where.
            found.find("altered", f"{_positions(agreed, size)} of the log: they are not what {one.called} vouches for")
            same = False
    nodes.compare(tree.add(hashed[done:]))
    return agreed


class _Nodes:
    """Compares the nodes that are stored with those that follow from the leaves."""

    def __init__(self, reader: Reader, found: Verified) -> None:
        self._reader, self._found = reader, found
        self._stored: dict[int, dict[int, bytes]] = {}
        self._read_to: dict[int, int] = {}

    def compare(self, made: Iterator[Node]) -> None:
        """Compare these with what is stored."""
        for level, number, hashed in made:
            if number >= self._read_to.get(level, 0):
                self._read_to[level] = number + log.BATCH
                self._stored[level] = dict(log.nodes(self._reader, level, number, number + log.BATCH))
            kept = self._stored[level].pop(number, None)
            if kept != hashed:
                what = "missing" if kept is None else "altered"
                self._found.find(what, f"tree node {level}/{number}, over {_span(level, number)}")

    def end(self, size: int) -> None:
        """Whatever is stored beyond the leaves does not belong there."""
        node = table_of("log_node")
        for row in self._reader.read(
            select(node.c.level, func.count().label("number")).group_by(node.c.level)
        ).to_pylist():
            there, right = row["number"], size >> TILE_BITS * row["level"] if row["level"] > 0 else 0
            if there > right:
                self._found.find(
                    "inserted", f"tree nodes of level {row['level']}: {there - right} more than the log has"
                )


def _queue(reader: Reader, encoder: Encoder, watch: _Watch, found: Verified) -> None:
    """Rows that wait for a position must be there."""
    after = 0
    while entries := (queued := log.waiting(reader, after=after)).entries:
        after = queued.ids[-1]
        watch.batch([log.Leaf(found.size, kind, key, b"") for kind, key in entries])
        made = hashes(reader, encoder, entries, watch.seen)
        for (kind, key), hashed in zip(entries, made, strict=True):
            if not hashed:
                what = "deleted" if hashed is None else "altered"
                unread = "" if hashed is None else _unread(reader, KINDS[kind], key)
                found.find(what, f"`{kind}:{key}`, before it had a position{unread}")
            else:
                found.waiting += 1


def _inserted(reader: Reader, kind: Kind, found: Verified) -> None:
    """Rows that are neither in the log nor queued for it: written past the database's own triggers."""
    row, leaf, queue = table_of(kind.table), table_of("log_leaf"), table_of("log_queue")
    key = literal_column(kind.key_sql(kind.table), leaf.c.key.type)
    missing = (
        select(key.label("key"))
        .select_from(row)
        .where(~exists().where(leaf.c.kind == kind.name, leaf.c.key == key))
        .where(~exists().where(queue.c.kind == kind.name, queue.c.key == key))
        .limit(FINDINGS_MAX)
    )
    for name in reader.read(missing)["key"].to_pylist():
        found.find("inserted", f"`{kind.name}:{name}`: it never went through the log")


def _snapshots(reader: Reader, found: Verified) -> None:
    """The entries hold the digests of the snapshots: what they were made of must be what stands there."""
    snapshot = table_of("snapshot")
    for one in reader.read(select(snapshot.c.id).order_by(snapshot.c.id))["id"].to_pylist():
        try:
            kept = reader.read(select(snapshot.c.digest, snapshot.c.content).where(snapshot.c.id == one)).to_pylist()
        except Exception as error:
            if not log.unreadable(error):
                raise
            kept = [{"digest": "", "content": b""}]
        if any(not isinstance(row["content"], bytes) or digest_of(row["content"]) != row["digest"] for row in kept):
            found.find("altered", f"what `snapshot:{one}` holds")


def _erasures(reader: Reader, found: Verified) -> None:
    """Whatever was erased was erased by a deed that says so, and no more than it says."""
    try:
        _erased_by_deeds(reader, found)
    except Exception as error:
        if not log.unreadable(error):
            raise
        found.find("altered", "what the table `log_erased` holds: it cannot be read")


def _erased_by_deeds(reader: Reader, found: Verified) -> None:
    gone, deed = table_of("log_erased"), table_of("deed")
    for one in reader.read(select(gone.c.deed_id).distinct().order_by(gone.c.deed_id))["deed_id"].to_pylist():
        wanted = select(gone.c.kind, gone.c.key, gone.c.field, gone.c.commitment).where(gone.c.deed_id == one)
        said = select(deed.c.detail_json).where(deed.c.id == one, deed.c.kind == "erasure")
        detail = reader.read(said)["detail_json"].to_pylist()
        if not detail or log.erased_digest(reader.read(wanted).to_pylist()) not in detail[0]:
            found.find("altered", f"what `deed:{one}` erased: it is not what the deed says")


def _positions(start: int, end: int) -> str:
    """Positions from start to before end."""
    return f"position {start:,}" if end - start == 1 else f"positions {start:,} to {end - 1:,}"


def _span(level: int, number: int) -> str:
    run = 1 << TILE_BITS * level
    return _positions(number * run, (number + 1) * run)
