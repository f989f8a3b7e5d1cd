"""The benchmarks' synthetic book holds together like one that was imported, and is the same everywhere."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, text
from sqlmodel import Session, SQLModel, col, select

from benchmarks.book import write_book
from store.arrears import arrears_from_position, read_arrears
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.projection import position_statements
from store.tables import Contact, Instalment, Loan, Person, Position, StageChange

LOANS = 2000
ON = date(2026, 3, 2)
OF_ITSELF = {"setting", "log_queue"}
"""What the database says of itself, and what its triggers queue."""
FILLED = (
    "person", "endpoint", "consent", "loan", "stage_change", "instalment", "movement", "position", "contact",
    "contact_loan", "feed", "deed",
)  # fmt: skip


def rows(database: Database, table: str) -> list[tuple[Any, ...]]:
    """Every row as columns carry it, but for keys that the database gives out itself, and hashes by its own secret."""
    own = (("stage_change", "id"), ("endpoint", "value_hash"))
    columns = [column for column in table_of(table).columns if (table, column.name) not in own]
    with reading(database) as source:
        found = source.read(select(*columns)).to_pydict()
    return sorted(zip(*found.values(), strict=True), key=repr)


def positions(session: Session) -> list[tuple[Any, ...]]:
    columns = (column for column in Position.__table__.columns if column.name != "version")  # type: ignore[attr-defined]
    return [tuple(row) for row in session.execute(select(*columns).order_by(Position.loan_id))]


def test_the_positions_are_the_ledger_folded(database: Database) -> None:
    """Folding the ledger anew changes no position: what the sweep reads is what the history says."""
    write_book(database, LOANS, on=ON)
    with database.write() as session:
        before = positions(session)
        fold, _ = position_statements("select id from loan")
        session.execute(text(fold))
        assert positions(session) == before
    assert len(before) == LOANS


def test_both_databases_and_any_blocks_give_the_same_rows(
    sqlite_database: Database, postgres_database: Database
) -> None:
    """Size and date decide the book, not the database and not how much of it is made at a time."""
    write_book(sqlite_database, 300, on=ON)
    write_book(postgres_database, 300, on=ON, loans_per_block=70)
    for table in FILLED:
        assert rows(sqlite_database, table) == rows(postgres_database, table), table


def test_the_book_can_be_added_to(database: Database) -> None:
    """The keys of the rows that come later do not collide with those of the book."""
    write_book(database, 20, on=ON)
    with database.write() as session:
        known = session.exec(select(func.max(Person.id))).one()
        person = Person(
            ref="new", name="New", language="en", country="CN", bucket=1, created_at=datetime(2026, 3, 2, tzinfo=UTC)
        )
        session.add(person)
        session.flush()
        assert person.id == (known or 0) + 1


def test_a_block_never_parts_the_loans_of_a_person(sqlite_database: Database) -> None:
    """A size that would do so is refused."""
    with pytest.raises(ValueError, match="multiple of ten"):
        write_book(sqlite_database, 300, on=ON, loans_per_block=75)


def test_nothing_but_what_it_says_is_filled(sqlite_database: Database) -> None:
    """The tables that are left empty are known, and every reference finds its target."""
    written = write_book(sqlite_database, LOANS, on=ON)
    with sqlite_database.session() as session:
        counts = {name: _count(session, name) for name in SQLModel.metadata.tables if name not in OF_ITSELF}
        assert session.execute(text("pragma foreign_key_check")).all() == []
    assert {name for name, count in counts.items() if count} == set(FILLED)
    assert sum(counts.values()) == written


def test_the_book_has_the_shape_it_promises(sqlite_database: Database) -> None:
    """8 % overdue, 12 to 36 instalments, ten loans to seven people, thirty days of history of the overdue alone."""
    write_book(sqlite_database, LOANS, on=ON)
    with sqlite_database.session() as session:
        loans = session.exec(select(Loan)).all()
        terms = [n for _, n in session.exec(select(Instalment.loan_id, func.count()).group_by(col(Instalment.loan_id)))]
        contacts = session.exec(select(Contact)).all()
        overdue = {
            row.loan_id for row in session.exec(select(Position)) if row.first_open_on and row.first_open_on < ON
        }
        assert session.exec(select(func.count()).select_from(Person)).one() == LOANS * 7 // 10
    assert 0.07 < len(overdue) / LOANS < 0.09
    assert (min(terms), max(terms)) == (12, 36)
    assert Counter(Counter(loan.borrower_id for loan in loans).values()) == {1: LOANS * 4 // 10, 2: LOANS * 3 // 10}
    assert {contact.loan_id for contact in contacts} == overdue
    per_loan = Counter(contact.loan_id for contact in contacts).values()
    assert (min(per_loan), max(per_loan)) == (4, 16)
    midnight = datetime(ON.year, ON.month, ON.day, tzinfo=UTC)
    assert all(midnight - timedelta(days=30) <= contact.at < midnight for contact in contacts)


def test_every_loan_stands_where_its_arrears_would_have_brought_it(sqlite_database: Database) -> None:
    """The stage fits the days past due, which are the same from the history and from the position."""
    write_book(sqlite_database, 300, on=ON)
    seen: Counter[str] = Counter()
    with sqlite_database.session() as session:
        placed = {one.loan_id: (one.entry, one.target, one.on_on) for one in session.exec(select(StageChange))}
    with sqlite_database.session() as session:
        for loan in session.exec(select(Loan)):
            known = read_arrears(session, loan, on=ON, known_at=datetime(2026, 3, 2, 12, tzinfo=UTC))
            schedule: Sequence[Instalment] = session.exec(select(Instalment).where(Instalment.loan_id == loan.id)).all()
            position = session.get_one(Position, loan.id)
            assert arrears_from_position(position, schedule, on=ON) == known
            stage = "current" if known.dpd < 2 else "reminded" if known.dpd < 9 else "phone"
            assert (loan.stage, loan.stage_on <= ON, loan.episode_on is None) == (stage, True, stage == "current")
            assert placed[loan.id or 0] == (loan.stage_entry, loan.stage, loan.stage_on)
            seen[stage] += 1
    assert set(seen) == {"current", "reminded", "phone"}


def _count(session: Session, table: str) -> int:
    return int(session.execute(select(func.count()).select_from(table_of(table))).scalar_one())
