"""What was done with the book and stands in no other table of the log: imports, exports, keys, purges, erasures."""

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session

from store.bulk_arrow import BulkTransaction
from store.decisions import canonical_json
from store.tables import Deed, DeedNote


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
