"""
The tree over the log's entries, as RFC 9162 (2.1) draws it: what it hashes to, and the two proofs that it gives.

The tree is kept in tiles of 256: beside the entries' own hashes only those of every 256, 65,536, ... entries are stored.
That is one hash in 255, and a proof reads a few runs of at most 256 hashes, however long the log is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
"""SHA-256's."""
TILE: Final = 256
TILE_BITS: Final = 8

Subtree = Callable[[int, int], bytes]
"""(height, number) -> the hash of the `number`th complete subtree with 2 ** height leaves."""

Node = tuple[int, int, bytes]
"""(level, number, hash) of what is stored: at level L, the `number`th run of 256 ** L leaves."""

EMPTY: Final = sha256(b"").digest()
"""What a tree without leaves hashes to."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry as a leaf."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes | None]) -> list[bytes | None]:
    """The same of many; what is empty or none stays what it is."""
    # Written out, as below: a call costs as much as the hash.
    return [sha256(b"\x00" + entry).digest() if entry else entry for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of what two subtrees make together."""
    return sha256(b"\x01" + left + right).digest()


def subtree_hash(hashes: Sequence[bytes]) -> bytes:
    """What a power of two of neighbouring hashes make together."""
    row = list(hashes)
    while len(row) > 1:
        # This is done once for every entry of the log.
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


class GrowingTree:
    """
    A tree that leaves are added to at its end; holds no more than 256 hashes of each level.

    Args:
        size: how many leaves it has.
        pending: by level, the hashes of the runs that have not made a whole tile yet.
    """

    def __init__(self, size: int = 0, pending: Iterable[Sequence[bytes]] = ()) -> None:
        self.size = size
        self._pending = [list(level) for level in pending] or [[]]

    def add(self, leaves: Sequence[bytes]) -> Iterator[Node]:
        """Add leaves' hashes; gives the nodes that they complete. To be run to its end."""
        at = 0
        while at < len(leaves):
            room = TILE - len(self._pending[0])
            taken = leaves[at : at + room]
            self._pending[0] += taken
            at += len(taken)
            self.size += len(taken)
            yield from self._complete()

    def _complete(self) -> Iterator[Node]:
        level = 0
        while len(self._pending[level]) == TILE:
            hashed = subtree_hash(self._pending[level])
            self._pending[level].clear()
            level += 1
            if level == len(self._pending):
                self._pending.append([])
            yield level, (self.size >> TILE_BITS * level) - 1, hashed
            self._pending[level].append(hashed)

    def root(self, more: Sequence[bytes] = ()) -> bytes:
        """What the tree hashes to; `more` is leaves that only look as if they had been added, not enough for a tile."""
        levels = [[*self._pending[0], *more], *self._pending[1:]]
        if len(levels[0]) > TILE:
            raise ValueError("more than fits into a tile")
        whole: bytes | None = None
        for hashes in levels:
            # From the right, the largest runs that are complete: one for each bit of their number.
            end = len(hashes)
            while end:
                run = end & -end
                hashed = subtree_hash(hashes[end - run : end])
                whole = hashed if whole is None else node_hash(hashed, whole)
                end -= run
        return EMPTY if whole is None else whole


def root(size: int, subtree: Subtree) -> bytes:
    """What the first `size` leaves hash to."""
    return _range(0, size, subtree) if size else EMPTY


def inclusion(position: int, size: int, subtree: Subtree) -> list[bytes]:
    """The proof that a leaf is in the tree of that size (RFC 9162, 2.1.3.1), from the leaf's side up."""
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if position < middle:
            path.append(_range(middle, end, subtree))
            end = middle
        else:
            path.append(_range(start, middle, subtree))
            start = middle
    return path[::-1]


def consistency(old: int, size: int, subtree: Subtree) -> list[bytes]:
    """The proof that the tree of that size begins with the old one (RFC 9162, 2.1.4.1); `0 < old <= size`."""
    path: list[bytes] = []
    start, end, whole = 0, size, True
    while old < end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range(middle, end, subtree))
            end = middle
        else:
            path.append(_range(start, middle, subtree))
            start, whole = middle, False
    if not whole:
        path.append(_range(start, end, subtree))
    return path[::-1]


def beside(start: int, end: int, size: int, subtree: Subtree) -> list[bytes]:
    """
    What a stretch of leaves needs to be tied to the root: the hashes of the largest runs that lie wholly beside it, from left to right.

    Args:
        start, end: its positions, `0 <= start < end <= size`.
    """

    def walk(low: int, high: int) -> Iterator[bytes]:
        if start <= low and high <= end:
            return
        if high <= start or end <= low:
            yield _range(low, high, subtree)
            return
        middle = low + _split(high - low)
        yield from walk(low, middle)
        yield from walk(middle, high)

    return list(walk(0, size))


def root_by(leaf: bytes, position: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """What the tree hashes to by an inclusion proof (RFC 9162, 2.1.3.2); None: no tree of that size has such a proof."""
    if not 0 <= position < size:
        return None
    at, last, hashed = position, size - 1, leaf
    for other in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            hashed = node_hash(other, hashed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hashed = node_hash(hashed, other)
        at, last = at >> 1, last >> 1
    return hashed if last == 0 else None


def _split(leaves: int) -> int:
    """The largest power of two below that number: how many are in the left half."""
    return 1 << (leaves - 1).bit_length() - 1


def _range(start: int, end: int, subtree: Subtree) -> bytes:
    """What the leaves from start to before end hash to; start is a multiple of a power of two not below their number."""
    leaves = end - start
    if leaves & (leaves - 1) == 0:
        height = leaves.bit_length() - 1
        return subtree(height, start >> height)
    middle = start + _split(leaves)
    return node_hash(_range(start, middle, subtree), _range(middle, end, subtree))
