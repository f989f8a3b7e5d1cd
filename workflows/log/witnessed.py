"""
What witnesses hold, next to what the table of handovers says that they took.

The table is in the database, so whoever can write there can make it say anything: a witness that can be asked is
believed instead. What one that cannot be asked took is told as what it is, the database's own word.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import select

from compliance.checkpoint import Checkpoint, PublicKey
from store import log
from store.bulk_arrow import Reader, table_of
from store.ids import among
from workflows.log.findings import Verified
from workflows.log.vouched import Vouched, read

Handovers = Mapping[str, AbstractSet[int]]
"""By witness: the numbers of the checkpoints that it took, as the table says."""

_Rows = Mapping[int, tuple[str, int]]
"""The text and the instant, in microseconds, of checkpoints by their number."""

_UNREAD: Final = "what the table `log_handover` holds: it cannot be read"


@dataclass(frozen=True, slots=True)
class Note:
    """
    A text that a witness holds, and what to call it.

    Attributes:
        number: of the checkpoint that it should be; None: it is not named like one.
    """

    called: str
    number: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A witness of the settings, and which checkpoints it says that it holds.

    Attributes:
        name: as the settings and `log_handover` call it.
        answer: `here`, or `away`: it should answer, and does not. `never`: it only takes.
    """

    name: str
    answer: Literal["here", "away", "never"]
    notes: Sequence[Note] = ()


def of_witnesses(
    reader: Reader, asked: Sequence[Asked], vouched: Sequence[Vouched], keys: Sequence[PublicKey], found: Verified
) -> list[Vouched]:
    """
    The checkpoints that witnesses hold, as far as one of these keys signed them; what does not fit the handovers is found.

    Args:
        vouched: the database's own checkpoints that can be believed.
    """
    kept = {one.note: one.checkpoint for one in vouched}
    rows = _checkpoints(reader)
    handed = _handovers(reader, rows, found)
    gone = {name: taken for name, taken in handed.items() if name not in {one.name for one in asked}}
    good: list[Vouched] = []
    for one in asked:
        taken = handed.get(one.name, set())
        if one.answer == "away":
            found.unknown.append(f"witness {one.name}: it cannot be read")
        elif one.answer == "never":
            about = f"about {_named(taken)}" if taken else "what it holds; no handover says that it took any"
            found.told.append(f"witness {one.name}: it cannot be asked {about}")
        elif one.answer == "here":
            good += _held(one, taken, gone, rows, kept, keys, found)
    for name, taken in gone.items():
        found.told.append(f"witness {name}: it is not in the settings any more, and not asked about {_named(taken)}")
    return good


def _held(
    one: Asked,
    taken: AbstractSet[int],
    gone: Handovers,
    rows: _Rows,
    kept: Mapping[str, Checkpoint],
    keys: Sequence[PublicKey],
    found: Verified,
) -> Iterator[Vouched]:
    """What one that answers holds."""
    if rows and not one.notes and not taken:
        found.told.append(f"witness {one.name}: it holds no checkpoint")
    first = min(taken, default=None)
    for note in one.notes:
        checkpoint = kept.get(note.text) or read(note.called, note.text, keys, found)
        if checkpoint is None:
            continue
        yield Vouched(note.called, checkpoint, note.text)
        if note.number is None:
            continue
        if note.number not in rows:
            found.find("missing", f"checkpoint {note.number}: witness {one.name} holds it")
        elif note.text != rows[note.number][0]:
            found.find("altered", f"{note.called}: it is not checkpoint {note.number} as the database has it")
        elif note.number not in taken:
            # The same folder was called otherwise once: whoever took it then took it here.
            before = first is None or note.number < first
            if not (before and any(note.number in theirs for theirs in gone.values())):
                found.find("missing", f"handover of checkpoint {note.number} to witness {one.name}, which holds it")
    holds = {note.number for note in one.notes}
    for number in sorted(taken - holds):
        found.find("missing", f"checkpoint {number} at witness {one.name}, which took it, as its handover says")


def _handovers(reader: Reader, rows: _Rows, found: Verified) -> Handovers:
    """The table, and what is wrong in it without asking anybody."""
    table = table_of("log_handover")
    wanted = select(table.c.number, table.c.witness, table.c.at).order_by(table.c.witness, table.c.number)
    handed: dict[str, set[int]] = {}
    try:
        said = reader.read(wanted).to_pylist()
    except Exception as error:
        if not log.unreadable(error):
            raise
        found.find("altered", _UNREAD)
        return handed
    for row in said:
        number, witness = row["number"], row["witness"]
        called = f"handover of checkpoint {number} to witness {witness}"
        taken = handed.setdefault(witness, set())
        if number in taken:
            found.find("inserted", f"{called}: it stands there twice")
        taken.add(number)
        if number not in rows:
            found.find("missing", f"checkpoint {number}: there is a handover of it to witness {witness}")
        elif row["at"] < rows[number][1]:
            found.find("altered", f"{called}: it is older than the checkpoint")
    return handed


def _checkpoints(reader: Reader) -> dict[int, tuple[str, int]]:
    """Every checkpoint that can be read."""
    kept = table_of("log_checkpoint")
    numbers = reader.read(select(kept.c.number).order_by(kept.c.number))["number"].to_pylist()
    wanted = select(kept.c.number, kept.c.note, kept.c.at)
    rows = log.readable(reader, lambda some: wanted.where(among(kept.c.number, some)), numbers)
    return {row["number"]: (row["note"], row["at"]) for row in rows}


def _named(numbers: AbstractSet[int]) -> str:
    """These numbers in words, unbroken ones together: `checkpoints 1 to 4 and 7`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    said = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs]
    return f"checkpoint{'s' if len(numbers) > 1 else ''} {', '.join(said)}"
