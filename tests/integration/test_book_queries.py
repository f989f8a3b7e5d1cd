"""Reading a few borrowers must not read the book: what a read costs follows from who is asked about."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import select

from store.book import read_book
from store.book_queries import Wanted, loan_query, other_queries, party_query, position_query
from store.db import Database
from store.tables import Loan
from tests.factories import make_loan
from tests.sweep_books import NOW

if TYPE_CHECKING:
    import pyarrow as pa

WANTED = Wanted(people=(1, 2), loans=(1, 2), accounts=(2,), long_spells=(1,), behind=(1,))


def queries() -> dict[str, Select[Any]]:
    told = {"loan": loan_query([1, 2]), "party": party_query([1, 2]), "position": position_query([1, 2])}
    return {**told, **other_queries(WANTED, NOW, 400)}


@pytest.mark.parametrize("name", [name for name in queries() if name != "feed"])
def test_no_table_is_read_whole(database: Database, name: str) -> None:
    """On either database an index leads to every row; the lists of ids themselves are read, and nothing else is."""
    plan = plan_of(database, queries()[name])
    if database.dialect == "sqlite":
        whole = [step for step in plan if step.startswith("SCAN") and "json_each" not in step and "anon" not in step]
    else:
        whole = [step for step in plan if "Seq Scan" in step]
    assert whole == [], "\n".join(plan)


def test_recent_setbacks_are_found_among_themselves(database: Database) -> None:
    """Of each loan there are dozens of payments and hardly a reversal: whoever asks for these does not meet those."""
    assert any("ix_movement_setback" in step for step in plan_of(database, queries()["movement"]))


def test_of_who_is_not_behind_no_schedule_is_read(database: Database) -> None:
    """The next due date comes from the position: the schedule could be gone, and for who is behind it then is."""
    ahead, behind = (
        make_loan(database, instalments=[(NOW.date() + timedelta(days=days + 30 * n), 100 + n) for n in range(3)])
        for days in (5, -40)
    )
    with database.session() as session:
        borrowers = list(session.exec(select(Loan.borrower_id)).all())
    seen = read_book(database, borrowers, now=NOW).instalment
    assert [len(of_loan(seen, loan)) for loan in (ahead, behind)] == [1, 3]
    with database.write() as session:
        session.execute(text("delete from instalment"))
    (next_due,) = read_book(database, borrowers, now=NOW).instalment.to_pylist()
    assert next_due == {
        "loan_id": ahead, "number": 1, "due_on": NOW.date() + timedelta(days=5), "amount_minor": 100,
        "due_total_minor": 100,
    }  # fmt: skip


def of_loan(instalments: "pa.Table", loan: int) -> list[int]:
    """The numbers of a loan's instalments."""
    return [row["number"] for row in instalments.to_pylist() if row["loan_id"] == loan]


def plan_of(database: Database, query: Select[Any]) -> list[str]:
    """The steps by which the database would answer."""
    dialect = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect}[database.dialect]
    sql = _plain(str(query.compile(dialect=dialect(), compile_kwargs={"literal_binds": True})))
    with database.session() as session:
        if database.dialect == "sqlite":
            return [row[3] for row in session.execute(text(f"explain query plan {sql}"))]
        # Of a book of no rows a scan is the best plan: asked for anything else, the planner shows whether there is one.
        session.execute(text("set local enable_seqscan = off"))
        return [row[0] for row in session.execute(text(f"explain {sql}"))]


def _plain(sql: str) -> str:
    # A colon in a literal is no parameter.
    return sql.replace(":", "\\:")
