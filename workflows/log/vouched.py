"""The checkpoints of the log that can be believed, and what is wrong with the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import select

from compliance.checkpoint import Checkpoint, NotVouched, PublicKey, read_checkpoint
from store import log
from store.bulk_arrow import Reader, table_of
from store.columns import to_us
from workflows.log.clock import SetAside, after, all_set_aside
from workflows.log.findings import Verified, salvaged

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Vouched:
    """A checkpoint whose signature is good, what to call it, and its text."""

    called: str
    checkpoint: Checkpoint
    note: str


def checkpoints(reader: Reader, keys: Sequence[PublicKey], found: Verified) -> list[Vouched]:
    """The checkpoints that are kept and signed by one of these keys, in their order; the rest is found."""
    kept = table_of("log_checkpoint")
    wanted = select(kept.c.number, kept.c.size, kept.c.at, kept.c.note).order_by(kept.c.number)
    numbers = reader.read(select(kept.c.number).order_by(kept.c.number))["number"].to_pylist()
    rows: list[dict[str, Any]] = []
    if numbers:
        rows = salvaged(
            lambda start, end: reader.read(wanted.where(kept.c.number >= start, kept.c.number < end)).to_pylist(),
            numbers[0],
            numbers[-1] + 1,
            lambda number: found.find("altered", f"checkpoint {number}: it cannot be read"),
        )
    good: list[Vouched] = []
    next_number = 1
    wrong = _wrong_clocks(reader, rows)
    for row in rows:
        called = f"checkpoint {row['number']}"
        if row["number"] != next_number:
            found.find("missing", f"checkpoint {next_number}; the next is {row['number']}")
        next_number = row["number"] + 1
        known = wrong.get(row["number"])
        since = good[-1].checkpoint.at if good else _LONG_AGO
        checkpoint = read(called, row["note"], keys, found, signed=(since, known.at) if known is not None else None)
        if checkpoint is None:
            continue
        if known is not None:
            found.told.append(
                f"{called}: its clock stood ahead, at {checkpoint.at:%Y-%m-%d %H:%M}Z, and was set aside by `{known.entry}`"
            )
        if (checkpoint.size, to_us(checkpoint.at)) != (row["size"], row["at"]):
            found.find("altered", f"{called}: its columns say another size or instant than its text")
        before = good[-1].checkpoint if good else checkpoint
        older = checkpoint.at < before.at and row["number"] - 1 not in wrong
        if older or checkpoint.size < before.size or checkpoint.origin != before.origin:
            found.find("swapped", f"{called}: it is older or smaller than the one before it, or of another log")
        good.append(Vouched(called, checkpoint, row["note"]))
    head = log.read_head(reader)
    if head is None:
        found.find("altered", "setting `log.head`: nobody can read it")
    elif head.checkpoints != next_number - 1:
        found.find("missing", f"checkpoints: there are {next_number - 1}, and {head.checkpoints} were signed")
    if head is not None and head.size != found.size:
        found.find("altered", f"length of the log: {found.size:,} entries, and it was {head.size:,}")
    return good


def _wrong_clocks(reader: Reader, rows: Sequence[dict[str, Any]]) -> dict[int, SetAside]:
    """Checkpoints that are younger than the next, by number, where an entry that the next one covers says why."""
    said = all_set_aside(reader)
    pairs = [(row, later) for row, later in pairwise(rows) if said and later["at"] < row["at"]]
    found = ((row["number"], after(said, row["size"], later["size"])) for row, later in pairs)
    return {number: aside for number, aside in found if aside is not None}


def of_files(
    witnessed: Mapping[str, str], ours: Mapping[str, Checkpoint], keys: Sequence[PublicKey], found: Verified
) -> list[Vouched]:
    """
    The checkpoints that others kept as files, as far as one of these keys signed them.

    Args:
        ours: those that are believed already, by their text.
    """
    said = ((called, ours.get(note) or read(called, note, keys, found), note) for called, note in witnessed.items())
    return [Vouched(called, checkpoint, note) for called, checkpoint, note in said if checkpoint is not None]


def read(
    called: str,
    note: str,
    keys: Sequence[PublicKey],
    found: Verified,
    *,
    signed: tuple[datetime, datetime] | None = None,
) -> Checkpoint | None:
    """What a signed text says; None where it cannot be believed, which is found."""
    try:
        return read_checkpoint(note, keys, signed=signed)
    except NotVouched as answer:
        if answer.unknown:
            found.unknown.append(f"{called}: {answer.why}")
        else:
            found.find("not vouched for", f"{called}: {answer.why}")
        return None
