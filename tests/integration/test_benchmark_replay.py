"""The benchmarks of the log do their work on the book that they make, and stop where it is not what they made."""

import pytest
from sqlmodel import col, select

from benchmarks.book import write_book
from benchmarks.log_steps import grow, replay, sequence, verify
from benchmarks.sweep_steps import NOW, ON
from compliance import BulkGate
from store.db import Database
from store.tables import Contact, DecisionRow
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


def test_a_log_that_was_made_to_grow_is_verified(database: Database) -> None:
    """Its rows are the sweep's own again, contacts and all, so that what takes the time is what takes it elsewhere."""
    write_book(database, 60, on=ON)
    workspace = few_packs()
    sweep(database, workspace.rulebook, BulkGate(workspace.gate), now=NOW, loans_per_chunk=60)
    before = sequence(database)["entries"]
    grown = grow(database, str(before + 40))
    assert grown["rows"] >= 40
    assert sequence(database)["entries"] == grown["rows"]
    assert verify(database)["entries"] == before + grown["rows"]
    contact = scalars(database, select(Contact.id).where(col(Contact.run_id) == 2))[0]
    tampered(database, f"update contact set outcome = 'met' where id = '{contact}'")
    with pytest.raises(AssertionError, match="that nobody touched"):
        verify(database)
