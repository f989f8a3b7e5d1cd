"""Reading a few borrowers must not read the book: what a read costs follows from who is asked about."""

from typing import Any

import pytest
from sqlalchemy import Select, text
from sqlalchemy.dialects import postgresql, sqlite

from store.book_queries import Wanted, loan_query, other_queries, party_query
from store.db import Database
from tests.sweep_books import NOW

WANTED = Wanted(people=(1, 2), loans=(1, 2), accounts=(2,), long_spells=(1,))


def queries() -> dict[str, Select[Any]]:
    return {"loan": loan_query([1, 2]), "party": party_query([1, 2]), **other_queries(WANTED, NOW, 400)}


@pytest.mark.parametrize("name", [name for name in queries() if name != "feed"])
def test_no_table_is_read_whole(database: Database, name: str) -> None:
    """On either database an index leads to every row; the lists of ids themselves are read, and nothing else is."""
    dialect = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect}[database.dialect]
    sql = str(queries()[name].compile(dialect=dialect(), compile_kwargs={"literal_binds": True}))
    with database.session() as session:
        if database.dialect == "sqlite":
            plan = [row[3] for row in session.execute(text(f"explain query plan {_plain(sql)}"))]
            whole = [
                step for step in plan if step.startswith("SCAN") and "json_each" not in step and "anon" not in step
            ]
        else:
            # Of a book of no rows a scan is the best plan: asked for anything else, the planner shows whether there is one.
            session.execute(text("set local enable_seqscan = off"))
            plan = [row[0] for row in session.execute(text(f"explain {_plain(sql)}"))]
            whole = [step for step in plan if "Seq Scan" in step]
    assert whole == [], "\n".join(plan)


def _plain(sql: str) -> str:
    # A colon in a literal is no parameter.
    return sql.replace(":", "\\:")
