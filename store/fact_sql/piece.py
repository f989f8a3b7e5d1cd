"""A piece of the facts statement: one named subquery, and the facts that are read from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Piece:
    """
    One subquery with at most one row per loan or borrower, and the expressions of the facts it supplies.

    Attributes:
        name: of the subquery; its columns are written `name.column` in `facts`.
        key: what its rows are about; the statement joins it to each loan by this column.
        sql: the subquery over the raw tables, `moment` (now), `borrowed` (one row per loan, see `clock`) and earlier pieces.
        facts: fact -> expression, null where it is unknown. `:never` stands for the fact's own never-value.
            None: the piece is a step for later ones, and may have many rows per loan.
    """

    name: str
    key: Literal["loan_id", "borrower_id"]
    sql: str
    facts: Mapping[str, str]


def texts(words: Iterable[str]) -> str:
    """The words as a list of SQL literals: `'a', 'b'`."""
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)
