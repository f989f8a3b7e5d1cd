"""What was done with the book and stands in no other table of the log: imports, exports, keys, purges."""

from collections.abc import Mapping
from datetime import datetime

from store.bulk_arrow import BulkTransaction
from store.decisions import canonical_json


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
