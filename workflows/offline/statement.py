"""What either engine is asked: a row for each borrower about whom there is something to say, with all that it takes to say it."""

from collections.abc import Iterable, Iterator
from typing import Final

from engine.facts import Catalogue
from engine.sql import column
from workflows.deciding.matching_sql import ANYTHING, MATCHED_COLUMNS, MOVED_COLUMNS, MatchingSql
from workflows.offline.layout import KEYS, PEOPLE_TABLES

INPUTS: Final = ("facts", "people", "retry")
"""Views over the Parquet files of these names are there before the first step is taken."""

STEPS: Final = ("retrying", "matched", "matched_moved", "busy", "asked", "moved", "wanted")
"""Each a view over those before it; the last is the answer: borrower_id, busy, loans, moved, and PEOPLE_TABLES."""


_ASKED: Final = """
select facts.borrower_id, list({loan}) as loans
from facts join matched on matched.loan_id = facts.loan_id left join busy on busy.borrower_id = facts.borrower_id
where busy.borrower_id is not null or facts.dpd > 0
group by facts.borrower_id
"""

_MOVED: Final = """
select matched.borrower_id, list({there}) as moved
from matched_moved join matched on matched.loan_id = matched_moved.loan_id
group by matched.borrower_id
"""

_WANTED: Final = """
select asked.borrower_id, busy.borrower_id is not null as busy, asked.loans, moved.moved{people}
from asked left join busy on busy.borrower_id = asked.borrower_id
left join moved on moved.borrower_id = busy.borrower_id
left join people on people.borrower_id = busy.borrower_id
"""


def steps(matching: MatchingSql, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """
    Name and text of each step, in DuckDB's tongue.

    In the answer `loans` is a list of rows with the facts and MATCHED_COLUMNS of all of the borrower's loans, `moved` a list with
    loan_id and MOVED_COLUMNS; it and the rows of PEOPLE_TABLES are null where nothing matches and only the log wants an entry.
    """
    loan = _row(("facts", (*KEYS, *catalogue.facts)), ("matched", MATCHED_COLUMNS))
    there = _row(("matched_moved", ("loan_id", *MOVED_COLUMNS)))
    people = "".join(f", people.{name}" for name in PEOPLE_TABLES)
    yield "retrying", "select distinct loan_id from retry"
    yield "matched", matching.matched
    yield "matched_moved", matching.moved
    yield "busy", f"select distinct borrower_id from matched where {ANYTHING}"
    yield "asked", _ASKED.format(loan=loan)
    yield "moved", _MOVED.format(there=there)
    yield "wanted", _WANTED.format(people=people)


def _row(*parts: tuple[str, Iterable[str]]) -> str:
    cells = (f"'{name}': {table}.{column(name)}" for table, names in parts for name in names)
    return f"{{{', '.join(cells)}}}"
