"""The checkpoints of the log that can be believed, and what is wrong with the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from compliance.checkpoint import Checkpoint, NotVouched, PublicKey, read_checkpoint
from store import log
from store.bulk_arrow import Reader, table_of
from store.columns import to_us
from workflows.log_findings import Verified, salvaged


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
    for row in rows:
        called = f"checkpoint {row['number']}"
        if row["number"] != next_number:
            found.find("missing", f"checkpoint {next_number}; the next is {row['number']}")
        next_number = row["number"] + 1
        checkpoint = read(called, row["note"], keys, found)
        if checkpoint is None:
            continue
        if (checkpoint.size, to_us(checkpoint.at)) != (row["size"], row["at"]):
            found.find("altered", f"{called}: its columns say another size or instant than its text")
        before = good[-1].checkpoint if good else checkpoint
        if checkpoint.at < before.at or checkpoint.size < before.size or checkpoint.origin != before.origin:
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


def of_files(witnessed: Mapping[str, str], keys: Sequence[PublicKey], found: Verified) -> list[Vouched]:
    """The checkpoints that others kept as files, as far as one of these keys signed them."""
    said = ((called, read(called, note, keys, found), note) for called, note in witnessed.items())
    return [Vouched(called, checkpoint, note) for called, checkpoint, note in said if checkpoint is not None]


def read(called: str, note: str, keys: Sequence[PublicKey], found: Verified) -> Checkpoint | None:
    """What a signed text says; None where it cannot be believed, which is found."""
    try:
        return read_checkpoint(note, keys)
    except NotVouched as answer:
        if answer.unknown:
            found.unknown.append(f"{called}: {answer.why}")
        else:
            found.find("not vouched for", f"{called}: {answer.why}")
        return None
