"""
Where a person stands in the book, table by table, and what becomes of it when they are erased.

What goes of a single record, when only that kind of record is kept long enough, is what goes of its row here, its name aside.

Rows that the log or others refer to stay, as ids. What people wrote in the log gives way to `erased:KIND:KEY`, and its
commitment to `log_erased`: the entry is hashed as before. What is left of numbers and addresses leads nowhere.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import Session, SQLModel, col, or_, select

from compliance.log_encoding import commitment, salt_of, value_element
from store.log_kinds import erased_text
from store.tables import (
    BatchItem,
    Consent,
    Contact,
    ContactStatus,
    DeedNote,
    Duty,
    Endpoint,
    Event,
    FactValue,
    Hold,
    MessageText,
    Notice,
    OverrideRow,
    Proof,
    StageChange,
    Visit,
)
from workflows.privacy.subject import Subject

_AT_ONCE: Final = 500


class Written(NamedTuple):
    """A text in the log: of which entry, in which field, and its row."""

    kind: str
    key: str
    field: str
    row: SQLModel

    def commitment(self, seal_key: bytes) -> str:
        """What the entry is made of in its place, in hex."""
        salt = salt_of(self.kind, self.key, self.field, seal_key)
        return commitment(salt, value_element(getattr(self.row, self.field))).decode()

    def erase(self) -> None:
        """Put in its place what nobody can read anything from."""
        setattr(self.row, self.field, erased_text(self.kind, self.key))


@dataclass(slots=True)
class Traces:
    """
    What is to go.

    Attributes:
        written: texts of the log. blanked: rows, and what their columns hold afterwards. deleted: rows that go whole.
    """

    written: list[Written] = field(default_factory=list)
    blanked: list[tuple[SQLModel, dict[str, Any]]] = field(default_factory=list)
    deleted: list[SQLModel] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by table, what the log holds under `log texts`."""
        found: dict[str, int] = {"log texts": len(self.written)} if self.written else {}
        # A row is one, however many of its columns are reached by different ways.
        rows = {id(row): row for row in (*(row for row, _ in self.blanked), *self.deleted)}
        for row in rows.values():
            name = str(row.__tablename__)
            found[name] = found.get(name, 0) + 1
        return found

    def add(self, other: "Traces") -> None:
        """Take another's in."""
        self.written += other.written
        self.blanked += other.blanked
        self.deleted += other.deleted

    @property
    def files(self) -> list[str]:
        """The SHA-256 of files kept elsewhere whose rows go, in hex."""
        return sorted({row.digest for row in self.deleted if isinstance(row, Proof)})


def traces(session: Session, subject: Subject, *, now: datetime) -> Traces:
    """Everything that could tell who this person is, or what was written about them."""
    found = Traces()
    found.blanked.append((subject.person, _nobody(subject.id, now)))
    for endpoint in session.exec(select(Endpoint).where(col(Endpoint.person_id) == subject.id)):
        found.blanked.append((endpoint, _nowhere(endpoint, now)))
    for table, column, of in _TEXTS:
        for row in _rows(session, table, of(subject)):
            _add(found, row, column)
    for table, values, of in _PLAIN:
        for row in _rows(session, table, of(subject)):
            after = values(row)
            if any(getattr(row, name) != value for name, value in after.items()):
                found.blanked.append((row, after))
    for table, of in _WHOLE:
        found.deleted += _rows(session, table, of(subject))
    return found


def add_words(found: Traces, row: SQLModel, *, but: Iterable[str] = ()) -> None:
    """
    Add what people wrote in one row; the row's own name stays, for what comes again is known by it.

    Args:
        but: columns that stay as well.
    """
    stays = {*_NAMES, *but}
    for table, column, _ in _TEXTS:
        if type(row) is table and column not in stays:
            _add(found, row, column)
    for table, values, _ in _PLAIN:
        if type(row) is table:
            after = {name: value for name, value in values(row).items() if name not in stays}
            if any(getattr(row, name) != value for name, value in after.items()):
                found.blanked.append((row, after))
            break
    if any(type(row) is table for table, _ in _WHOLE):
        found.deleted.append(row)


def _nobody(person: int, now: datetime) -> dict[str, Any]:
    return {
        "ref": f"erased-{person}",
        "name": "",
        "region": None,
        "zones": "",
        "preferred_channel": None,
        "erased_at": now,
    }


def _nowhere(endpoint: Endpoint, now: datetime) -> dict[str, Any]:
    return {
        "value": f"erased:{endpoint.id}", "zone": None, "place": None, "valid": False, "basis": "", "basis_at": None,
        "source": "", "marks": "", "learnt_marks": "", "area": "", "lost_at": now,
    }  # fmt: skip


Of = Callable[[Subject], Iterable[ColumnElement[bool]]]


def _contacts(column: Any, ids: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield column.in_(ids[start : start + _AT_ONCE])


def _person_or_loans(person: Any, loan: Any) -> Of:
    return lambda subject: [or_(person == subject.id, loan.in_(subject.loan_ids))]


_TEXTS: Final[tuple[tuple[type[SQLModel], str, Of], ...]] = (
    *(
        (Consent, column, lambda subject: [col(Consent.person_id) == subject.id])
        for column in ("how", "evidence", "source", "ref")
    ),
    (StageChange, "reason", lambda subject: [col(StageChange.loan_id).in_(subject.loan_ids)]),
    (ContactStatus, "why", lambda subject: _contacts(col(ContactStatus.contact_id), subject.about)),
    (OverrideRow, "evidence", lambda subject: _contacts(col(OverrideRow.contact_id), subject.about)),
)
"""What people wrote in the log: table, column, and which rows."""

_PLAIN: Final[tuple[tuple[type[SQLModel], Callable[[Any], dict[str, Any]], Of], ...]] = (
    (Contact, lambda _: {"why": "", "error": None}, lambda subject: _contacts(col(Contact.id), subject.about)),
    (
        Hold,
        lambda row: {"reason": "", "ref": f"erased:{row.id}"},
        lambda subject: [col(Hold.person_id) == subject.id],
    ),
    (Hold, lambda _: {"reason": ""}, lambda subject: [col(Hold.loan_id).in_(subject.own_loans)]),
    (
        Notice,
        lambda row: {"how": "", "ref": f"erased:{row.id}"},
        lambda subject: [col(Notice.person_id) == subject.id],
    ),
    (Duty, lambda _: {"evidence": ""}, _person_or_loans(col(Duty.person_id), col(Duty.loan_id))),
    (
        Event,
        lambda row: {"key": f"erased:{row.id}", "detail_json": "{}", "parked": None},
        lambda subject: [or_(col(Event.person_id) == subject.id, col(Event.loan_id).in_(subject.own_loans))],
    ),
    (Visit, lambda _: {"area": ""}, lambda subject: _contacts(col(Visit.contact_id), subject.theirs)),
    (
        BatchItem,
        lambda _: {"file": "", "result_json": "{}"},
        lambda subject: _contacts(col(BatchItem.contact_id), subject.theirs),
    ),
    (DeedNote, lambda _: {"because": ""}, lambda subject: [col(DeedNote.person_id) == subject.id]),
)
"""What stands beside the log: table, what its columns hold afterwards, and which rows."""

_WHOLE: Final[tuple[tuple[type[SQLModel], Of], ...]] = (
    (MessageText, lambda subject: _contacts(col(MessageText.contact_id), subject.theirs)),
    (Proof, lambda subject: _contacts(col(Proof.contact_id), subject.theirs)),
    (FactValue, lambda subject: [col(FactValue.loan_id).in_(subject.own_loans)]),
)
"""What nothing refers to."""

_NAMES: Final = ("ref", "key")


def _rows(session: Session, table: type[SQLModel], conditions: Iterable[ColumnElement[bool]]) -> list[Any]:
    return [row for condition in conditions for row in session.exec(select(table).where(condition))]


def _add(found: Traces, row: SQLModel, column: str) -> None:
    kind = str(row.__tablename__)
    key = str(getattr(row, "contact_id" if kind == "override" else "id"))
    if getattr(row, column) not in ("", erased_text(kind, key)):
        found.written.append(Written(kind, key, column, row))
