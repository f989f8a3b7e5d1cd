"""The pieces of the one SQL statement that computes every fact, in the order in which they build on each other."""

from typing import Final

from store.fact_sql.arrears import ACCOUNTS, AFTER_SNAPSHOT, ARREARS, DEBITS, FALLEN_DUE, PAYMENTS, SCHEDULES
from store.fact_sql.contacts import LAST_CONTACTS, TOLD
from store.fact_sql.feeds import FEEDS
from store.fact_sql.loan import ENDPOINTS, LOAN, PARTIES, PERSON, SPELLS
from store.fact_sql.piece import Piece
from store.fact_sql.promises import LATEST_PROMISE, PROMISES
from store.fact_sql.standing import CONSENTS, HOLDS, NOTICES

__all__ = ["PIECES", "Piece"]

PIECES: Final = (
    LOAN, PERSON, ENDPOINTS, PARTIES, SPELLS, FALLEN_DUE, AFTER_SNAPSHOT, ACCOUNTS, SCHEDULES, ARREARS, PAYMENTS, DEBITS, PROMISES, LATEST_PROMISE,
    HOLDS, *CONSENTS, NOTICES, TOLD, LAST_CONTACTS, FEEDS,
)  # fmt: skip
