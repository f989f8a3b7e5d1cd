"""
What decisions were made on, packed as it was read: the columns of some borrowers, from which everything can be taken anew.

A header line of JSON, then one Arrow stream for each table of `RawBook`, all of it pressed by zstd. Ids only: what
identifies a person is never read into a book.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import TypeAdapter
from sqlalchemy import select

from engine.gate import Ask
from store.book import RAW_TABLES, RawBook
from store.bulk_arrow import Reader, table_of
from store.columns import from_us, to_us
from store.grouping import among, is_among
from store.log import readable, unreadable
from store.situations import Happened
from store.tables import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

FORM: Final = 1
"""How it is packed. Grows with every change that a reader has to know of."""

OF_THE_RUN: Final = 0
"""First and last id of a snapshot that is about a whole run: it says how seats were given out, and holds no borrower."""

_ASKED: Final = TypeAdapter(list[Ask])
_BY_LOAN: Final = (
    "loan", "party", "position", "instalment", "movement", "account_snapshot", "fact_value", "notice", "promise",
    "stage_change",
)  # fmt: skip
_BY_PERSON: Final = ("person", "endpoint", "consent", "hold")


class Unreadable(Exception):  # noqa: N818 - it says what, as a sentence begins
    """A snapshot that is not as it was packed, or was packed by a Duecourse that is newer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What a snapshot holds.

    Attributes:
        at: the instant that was decided for; in microseconds it is what the gate was asked about.
        book: None of what is about the run, and of what a person asked for while only the questions to the gate were kept.
        asks: what the gate was asked about an act of a person, in the order of the decision's acts; None of all else.
        looks: what second looks saw beside the book, as `workflows.sending.look_log` writes it.
        seats: how the seats of limited queues were given out, as `workflows.deciding.seat_log` writes it; then there is no book.
    """

    at: datetime
    actor: str
    happened: Happened
    book: RawBook | None
    asks: tuple[Ask, ...] | None = None
    looks: tuple[Mapping[str, Any], ...] = ()
    seats: Mapping[str, Any] | None = None


def pack(
    book: RawBook,
    borrowers: Collection[int],
    *,
    now: datetime,
    actor: str,
    happened: Happened,
    looks: Sequence[Mapping[str, Any]] = (),
    asks: Sequence[Ask] | None = None,
) -> bytes:
    """
    The part of a book that decisions about these borrowers saw, or second looks at contacts with them.

    Args:
        looks: what each second look saw beside it; plain JSON.
        asks: the questions about an act of a person; None: nobody's.
    """
    part = part_of(book, borrowers)
    loans, people = set(part.loan["id"].to_pylist()), set(borrowers)
    told = {
        "by_person": _names(happened.by_person, people),
        "by_loan": _names(happened.by_loan, loans),
        "retry": _names(happened.retry, loans),
    }
    header: dict[str, Any] = {
        "form": FORM, "at": to_us(now), "actor": actor, "contact_days": book.contact_days, **told,
    }  # fmt: skip
    if looks:
        header["looks"] = list(looks)
    if asks is not None:
        header["asks"] = _ASKED.dump_python(list(asks), mode="json")
    return _pressed(header, [getattr(part, name) for name in RAW_TABLES])


def pack_seats(seats: Mapping[str, Any], *, at: datetime) -> bytes:
    """How the seats of limited queues were given out, in plain JSON; parts of it may be JSON already (`orjson.Fragment`)."""
    return _pressed({"form": FORM, "at": to_us(at), "actor": "", "seats": seats}, [])


def unpack(content: bytes, digest: str) -> Seen:
    """
    What was packed.

    Args:
        digest: as it was logged.
    Raises:
        Unreadable: it is not what was logged, or was not packed like this.
    """
    import pyarrow as pa

    if digest_of(content) != digest:
        raise Unreadable("its snapshot is not the one that was logged")

    try:
        head, _, rest = pa.CompressedInputStream(pa.BufferReader(content), "zstd").read().partition(b"\n")
        header = json.loads(head)
        if header["form"] != FORM:
            raise Unreadable(f"its snapshot is of form {header['form']}, and this Duecourse reads form {FORM}")
        at, actor = from_us(header["at"]), str(header["actor"])
        asks = tuple(_ASKED.validate_python(header["asks"])) if "asks" in header else None
        if asks is not None and "contact_days" not in header:
            # Of former versions: nothing but the questions.
            return Seen(at, actor, Happened(), None, asks)
        if "seats" in header:
            return Seen(at, actor, Happened(), None, seats=header["seats"])
        happened = Happened(*(_read_names(header[name]) for name in ("by_person", "by_loan", "retry")))
        stream = pa.BufferReader(rest)
        tables = {name: pa.ipc.open_stream(stream).read_all() for name in RAW_TABLES}
        if type(header["contact_days"]) is not int:
            raise Unreadable("its snapshot is not as it was packed")
        book = RawBook(**tables, contact_days=header["contact_days"])
        return Seen(at, actor, happened, book, asks, tuple(header.get("looks", ())))
    except (
        ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, OSError, pa.ArrowException,
    ) as error:  # fmt: skip
        raise Unreadable("its snapshot is not as it was packed") from error


def digest_of(content: bytes) -> str:
    """What a snapshot is known by in the log: SHA-256, in hex."""
    return hashlib.sha256(content).hexdigest()


def row(run: int, borrowers: Collection[int], content: bytes) -> Snapshot:
    """Its row."""
    return Snapshot(
        run_id=run, first_id=min(borrowers), last_id=max(borrowers), digest=digest_of(content), content=content
    )


def snapshots_of(reader: Reader, run: int, borrower: int | None = None) -> Iterator[Snapshot]:
    """
    The snapshots of a run, the newest first. One at a time is in memory.

    Args:
        borrower: only those that may hold them; `OF_THE_RUN`: those about the run; None: those that hold anybody.
    """
    snapshot = table_of("snapshot")
    wanted = select(snapshot.c.id).where(snapshot.c.run_id == run).order_by(snapshot.c.id.desc())
    if borrower is not None:
        wanted = wanted.where(snapshot.c.first_id <= borrower, snapshot.c.last_id >= borrower)
    else:
        wanted = wanted.where(snapshot.c.last_id != OF_THE_RUN)
    whole = select(snapshot)
    ends = select(snapshot.c.run_id, snapshot.c.first_id, snapshot.c.last_id)
    for one in reader.read(wanted)["id"].to_pylist():
        try:
            rows = reader.read(whole.where(snapshot.c.id == one)).to_pylist()
        except Exception as error:
            if not unreadable(error):
                raise
            # What cannot be read is no snapshot: its digest will not fit.
            found = readable(reader, lambda keys: ends.where(snapshot.c.id.in_(keys)), [one])
            rows = [{**row, "digest": "", "content": b""} for row in found]
        yield from (Snapshot(**row) for row in rows)


def part_of(book: RawBook, borrowers: Collection[int]) -> RawBook:
    """What of a book is about these borrowers and whoever stands around their loans."""
    import pyarrow.compute as pc

    if set(book.loan["borrower_id"].to_pylist()) <= set(borrowers):
        return book
    loan = among(book.loan, "borrower_id", borrowers)
    loans = loan["id"].to_pylist()
    party = among(book.party, "loan_id", loans)
    persons = {*borrowers, *party["person_id"].to_pylist()}
    contact = book.contact.filter(
        pc.or_(is_among(book.contact, "person_id", persons), is_among(book.contact, "loan_id", loans))
    )
    kept: dict[str, Any] = {
        name: among(getattr(book, name), "loan_id", loans) for name in _BY_LOAN if name not in ("loan", "party")
    }
    kept |= {
        name: among(getattr(book, name), "id" if name == "person" else "person_id", persons) for name in _BY_PERSON
    }
    about = among(book.contact_loan, "contact_id", contact["id"].to_pylist())
    return replace(book, loan=loan, party=party, contact=contact, contact_loan=about, **kept)


def _pressed(header: Mapping[str, object], tables: Sequence["pa.Table"]) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as pressed:
        pressed.write(orjson.dumps(header, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
        for table in tables:
            with pa.ipc.new_stream(pressed, table.schema) as stream:
                stream.write_table(table)
    made: bytes = sink.getvalue().to_pybytes()
    return made


def _names(told: Mapping[int, frozenset[str]], about: Collection[int]) -> dict[str, list[str]]:
    return {str(one): sorted(names) for one, names in sorted(told.items()) if one in about}


def _read_names(told: Mapping[str, Sequence[str]]) -> dict[int, frozenset[str]]:
    return {int(one): frozenset(names) for one, names in told.items()}
