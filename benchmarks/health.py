"""
How long it takes to say how a big book stands: `python -m benchmarks.health [--contacts 1000000]`, on SQLite and PostgreSQL.

The book is made of rows that no rule decided: what counts here is how many there are. A tenth of a year's contacts wait,
the rest is over; every one has its history; the log has its queue.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from store.db import Database
from tests.factories import make_loan, make_person
from tests.opening import open_database
from tests.postgres import running_server
from workflows.scheduling.jobs import JOBS, Entry
from workflows.scheduling.status import status

NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
ENTRIES = {name: Entry(name, "*/5 * * * *", "UTC") for name in JOBS}

_CONTACTS = """
with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})
insert into contact (id, loan_id, person_id, role, channel, direction, purpose, rule, name, stage_entry, slot, period_json,
    status, outcome, planned_at, not_before_at, expires_at, at, attempts, why, misdirected, cost_minor, by, provider, error)
select 'c' || i, {loan}, {person}, 'borrower', case i % 3 when 0 then 'sms' when 1 then 'email' else 'call' end, 'out', 'collect',
    'r', 'n', 1, 's' || i, '{{}}',
    case when i % 10 = 0 then 'planned' when i % 100 = 1 then 'failed' when i % 10000 = 3 then 'unknown' else 'delivered' end, '',
    {at}, {at}, {at_end}, {at}, 1, '', false, 0, 'lender', 'twilio', case when i % 100 = 1 then '3000' || i % 7 end from n
"""
_HISTORY = """
insert into contact_status (contact_id, status, at, why, detail_json)
select id, status, at, '', '{}' from contact union all select id, 'sending', at, '', '{}' from contact
"""
_ARRIVALS = """
with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})
insert into arrival (source, key, kind, detail_json, state, why, recorded_at, due_at)
select 't', 'k' || i, 'report', '{{}}', case when i % 100000 = 0 then 'parked' else 'done' end, '', {at}, {at} from n
"""


def fill(database: Database, count: int) -> None:
    """So many contacts of the past year, two lines of history each, and as many arrivals."""
    person = make_person(database)
    loan = make_loan(database, borrower_id=person)
    now_us, hour_us = int(NOW.timestamp()) * 1_000_000, 3_600_000_000
    at, end = f"({now_us} - i % 8760 * {hour_us})", f"({now_us} + {hour_us})"
    if database.dialect == "postgresql":
        at, end = f"to_timestamp({at} / 1000000)", f"to_timestamp({end} / 1000000)"
    with database.write() as session:
        for sql in (_CONTACTS, _HISTORY, _ARRIVALS):
            known = sql.format(count=count, loan=loan, person=person, at=at, at_end=end) if "{at}" in sql else sql
            session.execute(text(known))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("analyze"))


@contextmanager
def books(count: int) -> Iterator[list[Database]]:
    """One book of each kind."""
    folder = Path(tempfile.mkdtemp(prefix="health-"))
    try:
        with running_server(durable=True) as server, server.database() as url:
            found = [open_database(f"sqlite:///{folder / 'book.db'}"), open_database(url)]
            for database in found:
                database.create(bucket_key="00")
                began = time.perf_counter()
                fill(database, count)
                print(f"{database.dialect}: {count:,} contacts made in {time.perf_counter() - began:.0f} s")
            yield found
            for database in found:
                database.close()
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Print the median of several looks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    given = parser.parse_args()
    with books(given.contacts) as found:
        for database in found:
            took = []
            for _ in range(7):
                began = time.perf_counter()
                stands = status(database, ENTRIES, owner="operations", now=NOW)
                took.append(time.perf_counter() - began)
            print(
                f"{database.dialect}: {sorted(took)[3] * 1000:,.0f} ms, the first {took[0] * 1000:,.0f} ms "
                f"({sum(one.due for one in stands.backlog):,} due, {len(stands.doubts):,} in doubt, "
                f"{stands.log.unsequenced:,} entries queued)"
            )


if __name__ == "__main__":
    main()
