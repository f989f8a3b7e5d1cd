"""What people start and tell us of, in few words, for tests."""

from dataclasses import replace

from sqlmodel import col

from store.db import Database
from store.tables import DecisionRow, Loan
from tests.outgoing import DATES, NOW, TODAY, rows
from workflows.desk.asking import Wanted
from workflows.desk.by_hand import Done
from workflows.desk.reporting import Report, record_outcome


def ref(database: Database, loan: int) -> str:
    with database.session() as session:
        return session.get_one(Loan, loan).ref


def call(database: Database, loan: int, **changes: object) -> Wanted:
    return replace(Wanted(ref(database, loan), "call"), **changes)  # type: ignore[arg-type]


def told(database: Database, loan: int, done: Done) -> DecisionRow:
    """The row of the log."""
    (row,) = rows(database, DecisionRow, col(DecisionRow.run_id) == done.run, col(DecisionRow.loan_id) == loan)
    found: DecisionRow = row
    return found


def report(database: Database, contact: str, outcome: str, **changes: object) -> None:
    from engine.strategy import PromisePolicy

    given = {"agent": "mei", "at": NOW, "on": TODAY, "policy": PromisePolicy(), "dates": DATES}
    record_outcome(database, contact, Report(outcome, **(given | changes)))  # type: ignore[arg-type]
