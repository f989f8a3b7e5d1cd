"""The benchmark of replay does its work on the book that it makes, and stops at a decision that comes out differently."""

import pytest
from sqlmodel import select

from benchmarks.book import write_book
from benchmarks.log_steps import replay
from benchmarks.sweep_steps import NOW, ON
from compliance import BulkGate
from store.db import Database
from store.tables import DecisionRow
from tests.replaying import few_packs, scalars, tampered
from workflows.deciding.sweep import sweep


def test_a_swept_book_is_derived_again(sqlite_database: Database) -> None:
    """Loans that its maker placed are no reason to stop; an altered decision is."""
    write_book(sqlite_database, 60, on=ON)
    workspace = few_packs()
    sweep(sqlite_database, workspace.rulebook, BulkGate(workspace.gate), now=NOW, loans_per_chunk=60)
    assert replay(sqlite_database)["decisions"] == len(scalars(sqlite_database, select(DecisionRow.loan_id)))
    tampered(sqlite_database, "update decision set outcome = 'wait'")
    with pytest.raises(AssertionError, match="what nobody touched"):
        replay(sqlite_database)
