"""
From the book into the work file: the month's decisions, contacts with their histories, and what people had said.

Page by page, by the keys that the tables are read by fastest, all as of one moment. Contacts are taken from before the
month too, as far back as a limit can count. No name, number, address or text of a message is read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, func, literal_column, or_, select

from store.bulk_arrow import Reader, table_of
from store.ids import among, pages
from store.log_kinds import KINDS
from workflows.duties_by_hand import SETTLED
from workflows.review.period import Month

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PEOPLE_A_PAGE: Final = 5_000
DECISIONS_AT_ONCE: Final = 20_000
_LATE: Final = timedelta(days=62)
"""How far from the month something may be that is about a contact in it, or the other way round."""
_STATEMENT: Final = (
    "id", "person_id", "kind", "received_at", "recorded_at", "scope", "channels", "endpoint_id", "detail_json", "purposes",
    "given_to", "until_at", "how",
)  # fmt: skip
_HOLD: Final = ("id", "person_id", "loan_id", "kind", "blocks", "form", "starts_at", "ends_at", "recorded_at")
_NOTICE: Final = ("id", "loan_id", "kind", "sent_on", "effective_on", "voided_at")
_CONTACT: Final = (
    "id", "run_id", "loan_id", "person_id", "role", "endpoint_id", "channel", "direction", "purpose", "rule", "queue", "status",
    "outcome", "planned_at", "at", "misdirected", "by",
)  # fmt: skip
_OVERRIDE: Final = ("contact_id", "rule", "ground", "agent", "approved_by", "at")
_DUTY: Final = (
    "id", "rule", "subject", "what", "loan_id", "due_on", "owner", "status", "escalated_at", "lapsed_at", "recorded_at",
)  # fmt: skip

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Reach:
    """
    How far back contacts are read.

    Attributes:
        days: before the month.
        ever: purposes of which contacts count however old they are; None: all of them do.
    """

    days: int
    ever: frozenset[str] | None = frozenset()


def gather_runs(con: "DuckDBPyConnection", reader: Reader, month: Month) -> None:
    """The month's runs and its own bounds, which say what else is wanted."""
    _Loader(con, reader).add("run", _runs(month))
    start, end = month.span_us
    con.execute(f"create table month as select {start} as start_us, {end} as end_us")


def gather(
    con: "DuckDBPyConnection", reader: Reader, month: Month, reach: Reach, *, facts: bool, progress: Progress
) -> None:
    """
    Everything else. Needs what `gather_runs` brought.

    Args:
        facts: whether a rule in force asks about facts of the loan; they are read only then.
    """
    load = _Loader(con, reader)
    load.add("set_aside", _set_aside(month))
    load.add("duty", _duties(month))
    load.add("settled", _settled(month))
    load.add("endpoint", _endpoints())
    people = [*pages(reader, table_of("person").c.id, PEOPLE_A_PAGE)]
    batches = [*_batches(reader, [run for (run,) in con.execute("select id from run order by id").fetchall()])]
    total, done = len(people) + len(batches), 0
    for low, high in people or [(0, 0)]:
        for table, statement in _around_people(month, reach, low, high):
            load.add(table, statement)
        progress(done := done + 1, total)
    for batch in batches or [_Batch(())]:
        load.add("decision", _decisions(batch))
        load.traces(_traces(batch))
        progress(done := done + 1, total)
    if facts:
        for low, high in people:
            load.add("facts", _facts(month, low, high))
    else:
        con.execute("create table facts (contact_id varchar, facts_json varchar)")


class _Loader:
    """Adds columns to tables of the work file; the first page makes the table."""

    def __init__(self, con: "DuckDBPyConnection", reader: Reader) -> None:
        self._con, self._reader = con, reader
        self._made: set[str] = set()

    def add(self, table: str, statement: Select[Any]) -> None:
        rows = self._reader.read(statement)
        self._con.register("page", rows)
        into = f"insert into {table}" if table in self._made else f"create table {table} as"
        self._con.execute(f"{into} select * from page")
        self._con.unregister("page")
        self._made.add(table)

    def traces(self, statement: Select[Any]) -> None:
        """What the gate had against each decision, from its trace: one row a rule."""
        self._con.register("page", self._reader.read(statement))
        into = "insert into verdict" if "verdict" in self._made else "create table verdict as"
        self._con.execute(f"{into} {_VERDICTS}")
        self._con.unregister("page")
        self._made.add("verdict")


_VERDICTS: Final = """
with reason as (
    select run_id, loan_id, borrower_id, unnest(list_concat(
        json_extract(trace_json, '$.moves[*].verdict.reasons[*]'),
        json_extract(trace_json, '$.candidates[*].acts[*].verdict.reasons[*]'),
        json_extract(trace_json, '$.candidates[*].acts[*].delays[*]'),
        json_extract(trace_json, '$.by_hand.acts[*].verdict.reasons[*]')
    )) as said from page)
select distinct run_id, loan_id, borrower_id, said->>'$.rule' as rule, said->>'$.outcome' as outcome,
    said->>'$.citation' as citation from reason
"""


def _around_people(month: Month, reach: Reach, low: int, high: int) -> Iterator[tuple[str, Select[Any]]]:
    contact, touched, loan = table_of("contact"), table_of("contact_loan"), table_of("loan")
    status, person = table_of("contact_status"), table_of("person")
    mine = contact.c.person_id.between(low, high)
    wanted = and_(mine, _wanted(month, reach))
    yield "contact", select(*(contact.c[name] for name in _CONTACT)).where(wanted)
    yield "contact_loan", select(touched).join(contact, contact.c.id == touched.c.contact_id).where(wanted)
    leaf, key = _leaf("contact_status")
    # What history says of a contact beside its status is in the sentence for people, which stays where it is.
    told = (
        select(
            status.c.id,
            status.c.contact_id,
            status.c.status,
            status.c.at,
            _verdict_only(status.c.detail_json),
            leaf.c.position,
        )
        .select_from(status.join(contact, contact.c.id == status.c.contact_id).outerjoin(leaf, key))
        .where(mine, contact.c.at >= month.start - _LATE, contact.c.at < month.end + _LATE)
    )
    yield "status", told
    yield (
        "person",
        select(*(person.c[name] for name in ("id", "ref", "zones", "country", "region"))).where(
            person.c.id.between(low, high)
        ),
    )
    yield (
        "loan",
        select(loan.c.id, loan.c.ref, loan.c.borrower_id, loan.c.product, loan.c.episode_on).where(
            loan.c.borrower_id.between(low, high)
        ),
    )
    of = table_of("consent").c.person_id
    yield "consent", _with_entry("consent", _STATEMENT, of.between(low, high))
    notice = table_of("notice")
    # Only what was served on the borrower speaks for the loan.
    to_borrower = notice.join(loan, (loan.c.id == notice.c.loan_id) & (loan.c.borrower_id == notice.c.person_id))
    served = select(*(notice.c[name] for name in _NOTICE)).select_from(to_borrower)
    yield "notice", served.where(notice.c.person_id.between(low, high))
    hold = table_of("hold")
    yield "hold", select(*(hold.c[name] for name in _HOLD)).where(hold.c.person_id.between(low, high))


def _wanted(month: Month, reach: Reach) -> ColumnElement[bool]:
    contact = table_of("contact")
    near = and_(contact.c.at >= month.start - timedelta(days=reach.days), contact.c.at < month.end)
    if reach.ever is None:
        return contact.c.at < month.end
    return or_(near, and_(contact.c.purpose.in_(sorted(reach.ever)), contact.c.at < month.end)) if reach.ever else near


def _verdict_only(detail: ColumnElement[str]) -> ColumnElement[str]:
    return case((detail.contains('"reasons"'), detail), else_="").label("verdict_json")


def _runs(month: Month) -> Select[Any]:
    names = ("id", "kind", "now_at", "strategies_json", "gate_digest", "engine_version")
    return _with_entry("run", names, _in_month("run", "now_at", month))


def _set_aside(month: Month) -> Select[Any]:
    """Presumptions set aside; what was at the end of the month before may be about a contact that ended in this one."""
    at = table_of("override").c.at
    return _with_entry("override", _OVERRIDE, and_(at >= month.start - _LATE, at < month.end))


def _duties(month: Month) -> Select[Any]:
    duty = table_of("duty")
    news = (or_(and_(*_within(duty.c[name], month))) for name in ("lapsed_at", "escalated_at", "recorded_at"))
    return select(*(duty.c[name] for name in _DUTY)).where(or_(*news))


def _settled(month: Month) -> Select[Any]:
    """Findings of the match that somebody put aside by hand: of the log, for the book of duties can be changed."""
    mine = and_(_in_month("deed", "at", month), table_of("deed").c.kind == SETTLED)
    return _with_entry("deed", ("id", "at", "subject", "detail_json"), mine)


def _endpoints() -> Select[Any]:
    """
    Numbers and addresses by id. `same_as`: the lowest id with the same hash, so that a number that two people share, or that is listed
    as mobile and as landline, is known as one; the value itself stays in the database.
    """
    endpoint = table_of("endpoint")
    names = ("id", "person_id", "kind", "zone", "valid", "place", "marks", "learnt_marks", "basis", "basis_at")
    same = func.min(endpoint.c.id).over(partition_by=endpoint.c.value_hash).label("same_as")
    return select(*(endpoint.c[name] for name in names), same)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Decisions that are read at once: those of some runs, or of one run about loans from `low` to `high`."""

    runs: tuple[int, ...]
    low: int | None = None
    high: int = 0

    def where(self) -> ColumnElement[bool]:
        of = table_of("decision").c
        runs = among(of.run_id, self.runs)
        return runs if self.low is None else and_(runs, of.loan_id.between(self.low, self.high))


def _batches(reader: Reader, runs: list[int]) -> Iterator[_Batch]:
    """All decisions of these runs: small runs together, large ones in parts."""
    decision, together, decisions = table_of("decision"), list[int](), 0
    loans = [*pages(reader, table_of("loan").c.id, DECISIONS_AT_ONCE)]
    counted = select(decision.c.run_id, func.count().label("decisions")).where(among(decision.c.run_id, runs))
    for row in reader.read(counted.group_by(decision.c.run_id).order_by(decision.c.run_id)).to_pylist():
        if row["decisions"] > DECISIONS_AT_ONCE:
            yield from (_Batch((row["run_id"],), low, high) for low, high in loans)
            continue
        if decisions + row["decisions"] > DECISIONS_AT_ONCE:
            yield _Batch(tuple(together))
            together, decisions = [], 0
        together.append(row["run_id"])
        decisions += row["decisions"]
    if together:
        yield _Batch(tuple(together))


def _decisions(batch: _Batch) -> Select[Any]:
    names = ("run_id", "loan_id", "borrower_id", "now_at", "strategy", "strategy_digest", "outcome", "rule")
    return _with_entry("decision", names, batch.where())


def _traces(batch: _Batch) -> Select[Any]:
    decision = table_of("decision")
    columns = [decision.c[name] for name in ("run_id", "loan_id", "borrower_id", "trace_json")]
    return select(*columns).where(batch.where(), decision.c.reasons != "")


def _facts(month: Month, low: int, high: int) -> Select[Any]:
    contact, decision = table_of("contact"), table_of("decision")
    asked = (contact.c.run_id == decision.c.run_id) & (contact.c.loan_id == decision.c.loan_id)
    return (
        select(contact.c.id.label("contact_id"), decision.c.facts_json)
        .join(decision, asked)
        .where(contact.c.person_id.between(low, high), *_within(contact.c.at, month))
    )


def _with_entry(kind: str, names: tuple[str, ...], where: ColumnElement[bool]) -> Select[Any]:
    """Rows of a kind of the log with their positions; null where a row has none yet."""
    row = table_of(KINDS[kind].table)
    leaf, key = _leaf(kind)
    return select(*(row.c[name] for name in names), leaf.c.position).select_from(row.outerjoin(leaf, key)).where(where)


def _leaf(kind: str) -> tuple[Any, ColumnElement[bool]]:
    leaf = table_of("log_leaf")
    key = literal_column(KINDS[kind].key_sql(KINDS[kind].table), leaf.c.key.type)
    return leaf, and_(leaf.c.kind == kind, leaf.c.key == key)


def _in_month(table: str, column: str, month: Month) -> ColumnElement[bool]:
    return and_(*_within(table_of(table).c[column], month))


def _within(column: ColumnElement[datetime], month: Month) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return column >= month.start, column < month.end
