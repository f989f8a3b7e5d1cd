"""What was done with the book and stands in no other table of the log: imports, exports, keys, purges, erasures."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from sqlmodel import Session

from store.bulk_arrow import BulkTransaction
from store.columns import to_us
from store.decisions import canonical_json
from store.tables import Deed, DeedNote, Hold, Notice

STATED: Final[Mapping[str, tuple[str, ...]]] = {
    "hold": (
        "person_id", "loan_id", "kind", "blocks", "form", "review_on", "starts_at", "ends_at", "recorded_at",
    ),
    "notice": ("loan_id", "person_id", "kind", "sent_on", "effective_on", "contact_id", "voided_at", "recorded_at"),
}  # fmt: skip
"""Rows that change and that the law goes by: a deed called after their table says how each stands. No free text, no name."""
NEW: Final = "new"
"""In the first deed of a row, written with it."""


def state(session: Session, row: Hold | Notice, *, now: datetime) -> None:
    """Write a hold or a notice, new or changed, and the deed that says how it stands, in the caller's transaction."""
    new = row.id is None
    session.add(row)
    session.flush()
    session.add(deed_of(row, new=new, now=now))


def deed_of(row: Hold | Notice, *, new: bool, now: datetime) -> Deed:
    """The deed that says how a row stands."""
    name = "hold" if isinstance(row, Hold) else "notice"
    said: dict[str, object] = {one: _plain(getattr(row, one)) for one in STATED[name]}
    if new:
        said[NEW] = True
    return Deed(at=now, kind=name, subject=f"{name}:{row.id}", detail_json=canonical_json(said))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return to_us(value)
    return value.isoformat() if isinstance(value, date) else value


def record(
    transaction: BulkTransaction, kind: str, subject: str, detail: Mapping[str, object], *, now: datetime
) -> None:
    """
    Write a deed down, in the caller's transaction.

    Args:
        kind: import, export, key, purge.
        subject: a hash, a public key or a table, never a name.
        detail: counts, instants and hashes.
    """
    transaction.execute(
        "insert into deed (at, kind, subject, detail_json) values (:at, :kind, :subject, :detail)",
        {"at": now, "kind": kind, "subject": subject, "detail": canonical_json(detail)},
    )


def record_about(
    session: Session,
    kind: str,
    subject: str,
    detail: Mapping[str, object],
    *,
    person: int,
    by: str,
    because: str,
    now: datetime,
) -> int:
    """
    A deed about one person, in the caller's transaction, and beside it who did it and why; its id.

    Args:
        kind: export, reveal, evidence, erasure.
        by, because: in people's own words; they stay out of the log.
    """
    deed = Deed(at=now, kind=kind, subject=subject, detail_json=canonical_json(detail))
    session.add(deed)
    session.flush()
    if deed.id is None:
        raise AssertionError("a row that was written has a key")
    session.add(DeedNote(deed_id=deed.id, person_id=person, by=by, because=because))
    session.flush()
    return deed.id
