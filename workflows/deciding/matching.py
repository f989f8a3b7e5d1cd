"""
The sweep's target: every condition of every strategy over a whole chunk in one SQL statement, nested by strategy and stage.

What comes back is a `SweepMatcher`: the same questions as any other matcher, answered from columns.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from engine.facts import Catalogue
from engine.rulebook import Rulebook
from engine.situation import Loan
from engine.stages import Stage
from engine.strategy import Strategy
from engine.tree import FactValue
from workflows.deciding.matching_sql import ANYTHING, Matched, MatchingSql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

_NOTHING: Final[frozenset[str]] = frozenset()


class SweepMatcher:
    """A matcher that looks up what one statement found out for the whole chunk."""

    def __init__(self, matched: Mapping[int, Matched]) -> None:
        self._matched = matched

    def strategies(self, loan: Loan) -> tuple[str, ...]:
        """Ids of the strategies that apply."""
        return self._matched[loan.id].strategies

    def moves(self, strategy: Strategy, loan: Loan) -> frozenset[str]:
        """Ids of the matching moves from the loan's stage."""
        del strategy
        return self._matched[loan.id].moves

    def rules(self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]) -> frozenset[str]:
        """Ids of the matching rules of the stage, on the facts as the statement took them anew for that stage."""
        del strategy, facts
        return self._matched[loan.id].rules.get(stage, _NOTHING)


@dataclass(frozen=True, slots=True)
class Quiet:
    """An overdue loan of a borrower about whom nothing is to be decided: it gets its log entry, and that is all."""

    loan: int
    borrower: int
    on: date
    stage: Stage
    arm: str | None
    strategy: str | None
    feed_age: int | None
    facts_json: str


class SweepStatement:
    """The statements of one rulebook, generated when first needed and run for every chunk."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._sql = MatchingSql(rulebook.strategies.values())
        self._facts_text = facts_text(rulebook.catalogue)
        self._statements: list[Statement] = []

    def match(self, duckdb: "DuckDBPyConnection", retry: Iterable[int]) -> None:
        """
        Match the loans of the temporary table `facts`; leaves the temporary tables `matched` and `matched_moved`.

        Args:
            retry: loans for which rules that listen to an event are asked about as well.
        """
        with _registered(duckdb, "retrying", "loan_id", retry):
            for statement in self._parsed(duckdb):
                duckdb.execute(statement)

    def busy(self, duckdb: "DuckDBPyConnection", leave_out: Iterable[int] = ()) -> dict[int, Matched]:
        """
        What matches each loan of every borrower of whom anything does.

        Args:
            leave_out: borrowers who are decided already.
        """
        with _registered(duckdb, "done", "borrower_id", leave_out):
            rows = duckdb.execute(
                "select loan_id, borrower_id, stage, strategies, moves, rules, retries from matched"
                " anti join done using (borrower_id) where borrower_id in ("
                f"select borrower_id from matched where {ANYTHING})"
            ).fetchall()
        return self._sql.read(rows, duckdb.execute("from matched_moved").fetchall())

    def everybody(self, duckdb: "DuckDBPyConnection") -> SweepMatcher:
        """What matches each loan in the stage it is in; not in those that it may come to be in."""
        rows = duckdb.execute("select loan_id, borrower_id, stage, strategies, moves, rules, retries from matched")
        return SweepMatcher(self._sql.read(rows.fetchall(), ()))

    def facts_json(self, duckdb: "DuckDBPyConnection", loans: Sequence[int]) -> dict[int, str]:
        """The facts of these loans as canonical JSON: keys sorted, missing facts left out."""
        with _registered(duckdb, "wanted", "loan_id", loans):
            rows = duckdb.execute(f"select loan_id, {self._facts_text} from facts semi join wanted using (loan_id)")
            return dict(rows.fetchall())

    def quiet(self, duckdb: "DuckDBPyConnection", busy: Iterable[int]) -> Iterator[Quiet]:
        """The overdue loans of everybody but these borrowers, by loan id."""
        with _registered(duckdb, "busy", "borrower_id", busy):
            rows = duckdb.execute(
                f"select loan_id, borrower_id, on_on, stage, arm, strategies, feed_age, {self._facts_text}"
                " from facts join (select loan_id, strategies from matched) using (loan_id)"
                " anti join busy using (borrower_id)"
                " where dpd > 0 order by loan_id"
            ).fetchall()
        for loan, borrower, on, stage, arm, strategies, feed_age, text in rows:
            (strategy,) = self._sql.names(strategies) or (None,)
            yield Quiet(loan, borrower, on, stage, arm, strategy, feed_age, text)

    def _parsed(self, duckdb: "DuckDBPyConnection") -> "list[Statement]":
        if not self._statements:
            # Parsing takes as long as matching a small book.
            self._statements = duckdb.extract_statements(
                f"create or replace temp table matched as {self._sql.matched};\n"
                f"create or replace temp table matched_moved as {self._sql.moved}"
            )
        return self._statements


def facts_text(catalogue: Catalogue) -> str:
    """An expression that writes a row of `facts` as canonical JSON, so that what is logged is what was decided on."""
    pairs = []
    for name in sorted(catalogue.facts):
        value = f'to_json("{name}")' if catalogue.facts[name].type == "text" else f'"{name}"'
        pairs.append(f"'\"{name}\":' || {value}")
    return f"'{{' || concat_ws(',', {', '.join(pairs)}) || '}}'"


@contextmanager
def _registered(duckdb: "DuckDBPyConnection", name: str, column: str, ids: Iterable[int]) -> Iterator[None]:
    import pyarrow as pa

    duckdb.register(name, pa.table({column: pa.array(sorted(ids), pa.int64())}))
    try:
        yield
    finally:
        duckdb.unregister(name)
