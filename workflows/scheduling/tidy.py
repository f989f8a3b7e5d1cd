"""
What the inbox need not keep: things from outside that were handled long ago.

What they led to stands in tables of its own, for as long as the law asks: a contact's history, a statement, a movement.
What waits, is parked, or was closed by a person stays.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from store.bulk import writing
from store.db import Database
from store.deeds import record

_BATCH: Final = 10_000
"""Rows of one transaction: nobody who writes waits longer than a moment."""

# Handled after it was due: so the index of what is due finds it.
_PURGE: Final = f"""
delete from arrival where id in (
    select id from arrival where state = 'done' and due_at < :before and ended_at < :before order by due_at limit {_BATCH}
)
"""


def tidy_inbox(
    database: Database, *, keep: timedelta, now: datetime, stop: Callable[[], bool] = lambda: False
) -> dict[str, int]:
    """
    Delete what was handled more than `keep` ago; the log keeps how much that was, and up to when.

    The same thing, should it come once more, is handled once more and changes nothing: what it led to is known by its name.

    Returns:
        `purged`: how many.
    """
    before, purged = now - keep, 0
    while not stop():
        with writing(database) as transaction:
            count = transaction.execute(_PURGE, {"before": before})
            if count:
                detail = {"arrivals": count, "handled_before": before.isoformat()}
                record(transaction, "purge", "arrival", detail, now=now)
        purged += count
        if count < _BATCH:
            break
    return {"purged": purged}
