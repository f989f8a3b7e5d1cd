"""
A synthetic loan book of any size: realistic shapes, no person behind any row.

Everything follows from a loan's number by a keyed digest, so that the same size and date give the same rows on every
machine and database. Of 1000 loans 80 are overdue, by one to seven instalments; each has 12 to 36 monthly instalments,
and every payment that was ever made stands in the ledger. Ten loans belong to seven people: three of them have two.
Every loan has been placed in a stage; overdue ones have four to sixteen calls and messages of the last thirty days behind them.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Final

from store.bulk import writing
from store.columns import from_us, to_us
from store.db import Database
from store.deeds import record
from store.log_kinds import KINDS
from store.outbox import IMPORTED

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_OVERDUE_PER_1000: Final = 80

_NUMBERED: Final = ("person", "endpoint", "consent", "loan", "movement", "feed")
"""Tables whose keys we give out ourselves, although the database could."""

_LOANS_PER_ROUND: Final = 10
"""After so many loans the pattern of people begins anew; a block is a whole number of rounds."""

# `h(n, salt, m)`: a number from 0 to m-1. By MD5, because DuckDB's own hash may differ from version to version.
_HASH: Final = "create or replace macro h(n, salt, m) as (md5_number_lower(n || ':' || salt) % m::uhugeint)::bigint"

_LOAN: Final = """
create or replace temp table base as
select n as id,
    (n - 1) // 10 * 7 + ((n - 1) % 10) % 7 + 1 as person,
    12 + h(n, 1, 25) as term,
    case when n <= {active} then 1 + h(n, 2, 28) else 10 + h(n, 2, 19) end as day,
    20000 + h(n, 3, 180000) as amount,
    n <= {active} and h(n, 4, 1000) < {overdue} as late,
    1 + least(h(n, 5, 7), h(n, 6, 7), h(n, 8, 7)) as behind,
    least(11 + h(n, 1, 25), 3 + h(n, 7, 30)) as age
from range({first}, {last} + 1) r(n)
"""
"""`age`: the number of the instalment that falls due in this month. `behind`: how many a late loan has missed."""

_DUE: Final = """
create or replace temp table due as
select id, number, amount,
    (date_trunc('month', date '{on}') - to_months((age - number)::int))::date + (day - 1)::int as due_on
from base, range(1, term + 1) t(number)
"""

# A late loan is short of its last instalments; the others have paid everything that fell due, each on its day.
_PAID: Final = """
create or replace temp table paid as
select id, count(*) - case when late then least(behind, count(*)) else 0 end as number
from base join due using (id) where due_on < date '{on}' group by id, late, behind
"""

_STATE: Final = """
create or replace temp table state as
select b.id, b.person, b.amount, b.term, coalesce(p.number, 0) as paid, o.due_on as open_on, l.due_on as paid_on,
    greatest(0, date_diff('day', o.due_on, date '{on}')) as dpd,
    case when dpd < 2 then 'current' when dpd < 9 then 'reminded' else 'phone' end as stage,
    case dpd when 0 then null else o.due_on + 1 end as episode_on,
    case stage when 'current' then null when 'reminded' then o.due_on + 1 else o.due_on + 8 end as stage_on
from base b left join paid p using (id)
left join due o on o.id = b.id and o.number = coalesce(p.number, 0) + 1
left join due l on l.id = b.id and l.number = p.number
"""

_QUERIES: Final = {
    "person": """
        select distinct person as id, 'P' || person as ref, 'Sample ' || person as name,
            case when h(person, 20, 2) = 0 then 'zh' else 'en' end as language,
            'CN' as country, 'CN-SH' as region, 'Asia/Shanghai' as zones, null::varchar as preferred_channel,
            h(person, 21, 10000) as bucket, 0::bigint as version, {known} as created_at
        from base""",
    # Country code 999 is assigned to nobody.
    "endpoint": """
        select distinct person * 2 - 1 as id, person as person_id, 'mobile' as kind,
            '+999' || lpad(person::varchar, 9, '0') as value, null::varchar as zone,
            null::varchar as place, true as valid, 1::bigint as rank, 'contract' as basis,
            {known} as basis_at, 'contract' as source, null::bigint as lost_at, {known} as recorded_at
        from base
        union all
        select distinct person * 2, person, 'email', 'p' || person || '@example.com', null, null, true, 1, 'contract',
            {known}, 'contract', null, {known}
        from base where h(person, 22, 10) < 7""",
    "consent": """
        select distinct person as id, person as person_id, person * 2 - 1 as endpoint_id, 'consent' as kind,
            'electronic' as scope, 'sms email' as channels, '' as purposes, 'lender' as given_to, 'contract' as how,
            '' as evidence, {known} as received_at, {known} as recorded_at, null::bigint as until_at, '{{}}' as detail_json,
            'core' as source, 'C' || person as ref
        from base""",
    "loan": """
        select s.id, 'L' || s.id as ref, person as borrower_id, 'personal' as product, 'CNY' as currency,
            s.amount * s.term as principal_minor, d.due_on - 30 as opened_on, 'schedule' as basis,
            'in_house' as custody, h(s.id, 30, 5) = 0 as autopay, false as accelerated,
            null::date as charged_off_on, null::date as limitation_on,
            stage, coalesce(stage_on, d.due_on - 30) as stage_on, 1::bigint as stage_entry,
            (stage <> 'current')::bigint as episode, case when stage <> 'current' then episode_on end as episode_on,
            null::bigint as feed_id
        from state s join due d on d.id = s.id and d.number = 1""",
    "stage_change": """
        select id as loan_id, 1::bigint as entry, 'current' as source, stage as target, stage_on as on_on,
            {known} as at, 'entry:synthetic' as cause, null::bigint as run_id, '' as reason
        from loan""",
    "instalment": """
        select id as loan_id, number, due_on, amount as amount_minor, amount * number as due_total_minor
        from due""",
    "movement": """
        select d.id * 100 + d.number as id, d.id as loan_id, 'payment' as kind, d.amount as amount_minor,
            d.due_on as effective_on, epoch_us(d.due_on::timestamp) as recorded_at, 'core' as source,
            printf('%010d', d.id * 100 + d.number) as ref, null::bigint as reverses_id, null::bigint as feed_id
        from due d join paid p on p.id = d.id and d.number <= p.number""",
    "position": """
        select id as loan_id, amount * term as due_minor, amount * paid as credit_minor, 0::bigint as fee_minor,
            0::bigint as pending_minor, case when paid < term then paid + 1 end as first_open_number,
            open_on as first_open_on, case when paid < term then amount end as first_open_minor,
            case when paid < term then amount * (paid + 1) end as first_open_total_minor,
            paid_on as last_payment_on, 0::bigint as reversals, 1::bigint as version
        from state""",
    # Between eight and six at the borrowers' place, on one of the last thirty days.
    "contact": """
        select '{imported}' || id || '-' || k as id, null::bigint as run_id, id as loan_id, person as person_id,
            'borrower' as role, person * 2 - 1 as endpoint_id, channel, 'out' as direction, 'collect' as purpose,
            null::varchar as rule, '' as name, null::varchar as queue, 0::bigint as stage_entry,
            id || '-' || k as slot, '{{}}' as period_json, 'delivered' as status,
            case when channel = 'sms' then 'delivered' when h(key, 41, 4) = 0 then 'conversation' else 'no_answer' end
                as outcome,
            moment as planned_at, moment as not_before_at, moment as expires_at, moment as at,
            null::varchar as claimed_by, null::bigint as claimed_until_at, 1::bigint as attempts,
            null::varchar as provider, null::varchar as provider_ref, null::varchar as error,
            '' as why, false as misdirected, 0::bigint as cost_minor, 'lender' as by
        from (
            select id, person, k, id * 100 + k as key,
                case when h(key, 40, 2) = 0 then 'call' else 'sms' end as channel,
                {known} - (1 + h(key, 42, 30)) * 86400000000 + h(key, 43, 36000) * 1000000 as moment
            from state, range(0, 16) t(k) where dpd > 0 and k < 4 + h(id, 44, 13)
        )""",
    "contact_loan": "select id as contact_id, loan_id from contact",
}
"""Table -> its rows. Written in this order, so that every reference finds its target."""


def write_book(database: Database, loans: int, *, on: date, idle: int = 0, loans_per_block: int = 100_000) -> int:
    """
    Fill an empty database with that many loans as they stand on that day; returns how many rows were written.

    A payment feed of that morning goes with it, so that dunning is not withheld.

    Args:
        idle: so many loans more, behind the others, which have paid everything and owe nothing before the tenth.
        loans_per_block: bounds memory; a multiple of ten. The rows do not depend on it.
    Raises:
        ValueError: a block would part a person's loans.
    """
    import duckdb
    import pyarrow as pa

    if loans_per_block % _LOANS_PER_ROUND:
        raise ValueError(f"{loans_per_block} loans a block would part a person's loans; name a multiple of ten")
    known_us = to_us(datetime.combine(on, time(), UTC))
    feed = {"id": 1, "kind": "movements", "file": "synthetic", "digest": "synthetic", "as_of_at": known_us,
            "imported_at": known_us, "rows": 0, "rejected": 0, "status": "done"}  # fmt: skip
    with writing(database) as transaction:
        transaction.append("feed", pa.Table.from_pylist([feed]))
    rows, contacts = 2, 0  # the feed, and the deed of the import
    _references(database, "disable")
    with duckdb.connect() as con:
        con.execute(_HASH)
        for first in range(1, loans + idle + 1, loans_per_block):
            last = min(loans + idle, first + loans_per_block - 1)
            with writing(database) as transaction:
                for table, columns in _block(con, first, last, loans, on, known_us):
                    transaction.append(table, columns)
                    rows += columns.num_rows
                    contacts += columns.num_rows if table == "contact" else 0
    with writing(database) as transaction:
        # As an import of earlier versions told of them.
        told = {"kind": "contacts", "rows": contacts, "rejected": 0}
        record(transaction, "import", "synthetic", told, now=from_us(known_us))
    _references(database, "enable")
    if database.dialect == "postgresql":
        with writing(database) as transaction:
            for table in _NUMBERED:
                # Whoever adds a row later goes on where we stopped; SQLite does so by itself.
                key = f"pg_get_serial_sequence('{table}', 'id')"
                transaction.execute(f"select setval({key}, max(id)) from {table}")
    return rows


def _references(database: Database, do: str) -> None:
    """PostgreSQL looks up every reference of every row; those of our making are right, and there are millions."""
    if database.dialect != "postgresql":
        return
    logged = {kind.table for kind in KINDS.values()}  # what a trigger of ours queues for the log
    with writing(database) as transaction:
        for table in _QUERIES:
            if table not in logged:
                transaction.execute(f"alter table {table} {do} trigger all")


def _block(
    con: "DuckDBPyConnection", first: int, last: int, active: int, on: date, known_us: int
) -> Iterator[tuple[str, "pa.Table"]]:
    names = {
        "first": first,
        "last": last,
        "active": active,
        "on": on.isoformat(),
        "overdue": _OVERDUE_PER_1000,
        "known": known_us,
        "imported": IMPORTED,
    }
    for statement in (_LOAN, _DUE, _PAID, _STATE):
        con.execute(statement.format(**names))
    for table, query in _QUERIES.items():
        con.execute(f"create or replace temp table {table} as {query.format(**names)}")
        # In key order, as a core system's own extract would be.
        yield table, con.sql(f"from {table} order by all").to_arrow_table()
