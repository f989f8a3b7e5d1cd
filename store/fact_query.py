"""
The one definition of every fact, as one SQL statement: for a whole book and for a single loan alike.

What is filtered is what was read (`store.book`), never the statement. It stays inside the SQL that means the same in
DuckDB and Spark: `date_diff`, `filter`, `qualify`, whole-number division, no lists, no time zones.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from textwrap import indent
from typing import TYPE_CHECKING, Final

from engine.facts import Catalogue, Fact
from engine.tree import FactValue
from store.book import CONTACT_DAYS, RAW_TABLES, RawBook
from store.columns import to_us
from store.fact_sql import PIECES, Piece
from store.fact_sql.clock import BORROWED, clock_tables
from store.fact_sql.contacts import counter_pieces
from store.fact_sql.imported import imported_piece
from store.fact_sql.loan import PERSON
from store.fact_sql.piece import texts

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

BUCKETS: Final = 10_000
"""People are dealt into this many buckets; an arm is a run of them."""

KEYS: Final = ("loan_id", "borrower_id", "on_on")
"""The columns beside the facts."""
_SQL_TYPES: Final = {"int": "bigint", "money": "bigint", "bool": "boolean", "text": "varchar"}


@dataclass(frozen=True, slots=True)
class Arms:
    """
    How a strategy deals its people.

    Attributes:
        applies_to: the strategy's own condition as SQL over facts.
        shares: arm -> share, in the order of the file; empty deals nobody.
    """

    applies_to: str
    shares: Mapping[str, int]


class FactStatement:
    """The statement of one catalogue on one connection: parsed once, which takes as long as running it for a person."""

    def __init__(
        self,
        con: "DuckDBPyConnection",
        catalogue: Catalogue,
        arms: Sequence[Arms] = (),
        *,
        only: frozenset[str] | None = None,
    ) -> None:
        """
        Args:
            arms: how each strategy deals its people; the first that applies to a loan gives the fact `arm`.
            only: the facts that are wanted; None: all of the catalogue.
        """
        self._con = con
        self._contact_days = contact_days(catalogue) if only is None else 0
        sql = fact_sql(catalogue, arms, only=only)
        (self._parsed,) = con.extract_statements(f"create or replace temp table facts as\n{sql}")

    def compute(self, book: RawBook, *, now: datetime) -> None:
        """
        Compute every fact of the catalogue for every loan of the book, into the temporary table `facts`.

        One row per loan: loan_id, borrower_id, on_on (today at the borrower's place), and one column per fact, null
        where it is unknown. An earlier `facts` table of the connection is replaced.

        Args:
            now: the moment; aware. Facts of the past are not computed here: what was read is what is known now.
        Raises:
            ValueError: the book was read less far back than a counter of the catalogue looks.
        """
        raw = raw_tables(book, now, contact_days=self._contact_days)
        try:
            for name, table in raw.items():
                self._con.register(name, table)
            self._con.execute(self._parsed)
        finally:
            for name in raw:
                self._con.unregister(name)


def raw_tables(book: RawBook, now: datetime, *, contact_days: int) -> dict[str, "pa.Table"]:
    """
    What the statement reads, by name: the book, the clocks at everybody's place, and the moment.

    Args:
        contact_days: how far back the statement's counters look.
    Raises:
        ValueError: the book was read less far back than that.
    """
    import pyarrow as pa

    if contact_days > book.contact_days:
        seen = book.contact_days
        raise ValueError(f"a counter looks back {contact_days} days, contacts were read for {seen}")
    clocks = clock_tables([*_distinct(book.person, "zones"), *_distinct(book.endpoint, "zone")], now)
    raw: dict[str, pa.Table] = {name: getattr(book, name) for name in RAW_TABLES}
    raw |= {"clock": clocks.clock, "zones_clock": clocks.zones_clock, "clock_span": clocks.clock_span}
    raw["moment"] = pa.table({"now_us": pa.array([to_us(now)], pa.int64())})
    return raw


def facts_of(con: "DuckDBPyConnection", loan_ids: Collection[int]) -> dict[int, dict[str, FactValue]]:
    """The facts of some loans as plain values; unknown ones are left out. A loan that was not computed is absent."""
    import pyarrow as pa

    con.register("wanted", pa.table({"loan_id": pa.array(list(loan_ids), pa.int64())}))
    try:
        rows = con.execute("select facts.* from facts semi join wanted using (loan_id)")
        names = [column[0] for column in rows.description or ()]
        found = rows.fetchall()
    finally:
        con.unregister("wanted")
    loan, rest = names.index("loan_id"), [(i, name) for i, name in enumerate(names) if name not in KEYS]
    return {row[loan]: {name: row[i] for i, name in rest if row[i] is not None} for row in found}


def contact_days(catalogue: Catalogue) -> int:
    """How far back contacts must be read for the counters of this catalogue, and a day more for the edges of zones."""
    return max([CONTACT_DAYS, *(counter.days + 1 for counter in catalogue.counters.values())])


def days_of(con: "DuckDBPyConnection") -> dict[int, date]:
    """Borrower id -> today at their place, of everyone whose facts were computed."""
    return dict(con.execute("select distinct borrower_id, on_on from facts").fetchall())


def suppliers(catalogue: Catalogue) -> dict[str, str]:
    """Fact -> its SQL expression, of every fact the pieces supply; `arm` is dealt by the statement itself."""
    return {fact: sql for piece in _pieces(catalogue) for fact, sql in piece.facts.items()}


def fact_sql(catalogue: Catalogue, arms: Sequence[Arms] = (), *, only: frozenset[str] | None = None) -> str:
    """
    The statement, over the tables of a `RawBook` and those of `clock_tables`.

    Args:
        only: the facts that are wanted; None: all of the catalogue.

    Raises:
        KeyError: a fact of the catalogue that no piece supplies.
    """
    wanted = frozenset(catalogue.facts) if only is None else only
    pieces = [piece for piece in _pieces(catalogue) if _has_part(piece, wanted)]
    expressions = suppliers(catalogue)
    told = [fact for fact in catalogue.facts.values() if fact.name != "arm" and fact.name in wanted]
    columns = ",\n".join(f"    {_expression(fact, expressions[fact.name])} as {fact.name}" for fact in told)
    joins = "\n".join(
        f"left join {piece.name} on {piece.name}.{piece.key} = borrowed.{piece.key}" for piece in pieces if piece.facts
    )
    limited = ",\n".join(f"    {_limited(fact)} as {fact.name}" for fact in told)
    steps = [
        *((piece.name, piece.sql) for piece in (BORROWED, *pieces)),
        (
            "measured",
            f"select\n    {', '.join(f'borrowed.{key}' for key in KEYS)}, borrower.bucket,\n{columns}\nfrom borrowed\n{joins}",
        ),
        ("known", f"select\n    loan_id, borrower_id, on_on, bucket,\n{limited}\nfrom measured"),
    ]
    subqueries = ",\n".join(f"{name} as (\n{indent(sql.strip(), '    ')}\n)" for name, sql in steps)
    names = "".join(f", {fact.name}" for fact in told)
    arm = f",\n    {_arm(arms)} as arm" if "arm" in catalogue.facts and "arm" in wanted else ""
    return f"with\n{subqueries}\nselect loan_id, borrower_id, on_on{names}{arm}\nfrom known\n"


def _has_part(piece: Piece, wanted: frozenset[str]) -> bool:
    """Whether a piece supplies something wanted, is a step for others, or holds the bucket that deals the arms."""
    return not piece.facts or piece is PERSON or not wanted.isdisjoint(piece.facts)


def _pieces(catalogue: Catalogue) -> tuple[Piece, ...]:
    """Every piece of this catalogue: the fixed ones, its counters, and its imported facts, which win over a fixed one."""
    imported = [fact for fact in catalogue.facts.values() if fact.supplier == "imported"]
    last = (imported_piece(imported),) if imported else ()
    return (*PIECES, *counter_pieces(catalogue.counters.values()), *last)


def _expression(fact: Fact, sql: str) -> str:
    never = "null" if fact.never is None else str(fact.never)
    value = " ".join(sql.split()).replace(":never", never)
    return f"cast({value} as {_SQL_TYPES[fact.type]})"


def _limited(fact: Fact) -> str:
    """Nothing leaves the range that the checker and the prover believe in; a text nobody declared is unknown."""
    if fact.type == "text":
        return f"case when {fact.name} in ({texts(fact.values)}) then {fact.name} end" if fact.values else fact.name
    limits = [f"when {fact.name} > {fact.high} then {fact.high}"] if fact.high is not None else []
    limits += [f"when {fact.name} < {fact.low} then {fact.low}"] if fact.low is not None else []
    return f"case {' '.join(limits)} else {fact.name} end" if limits else fact.name


def _arm(arms: Sequence[Arms]) -> str:
    branches = []
    for dealt in arms:
        total, upto = sum(dealt.shares.values()), 0
        ends = []
        for arm, share in dealt.shares.items():
            upto += share
            ends.append(f"when bucket < {upto * BUCKETS // total} then {texts([arm])}")
        dealing = f"case {' '.join(ends)} end" if ends else "null"
        branches.append(f"when {dealt.applies_to} then {dealing}")
    return f"cast(case {' '.join(branches)} end as varchar)" if branches else "cast(null as varchar)"


def _distinct(table: "pa.Table", column: str) -> list[str]:
    return [text for text in table[column].unique().to_pylist() if text]
