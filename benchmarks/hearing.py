"""
How many delivery reports a second the inbox is done with: `python -m benchmarks.hearing [--messages N] [--profile]`.

Each message is reported `sent` and then `delivered`, as a provider does, on SQLite and on PostgreSQL with the settings that it
comes with. Target: more than twice 300, since each of 300 texts a second is reported twice. Prints a line for each database.
"""

import argparse
import cProfile
import pstats
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from channels.reports import Delivery, StatusReport
from store.db import Database
from store.inbox import put
from store.tables import Arrival, Contact, ContactLoan, Loan
from tests.opening import open_database
from tests.outgoing import DATES, NOW, book
from tests.postgres import running_server
from workflows.inbox.arriving import arrival_of
from workflows.inbox.handling import Ears, take_in
from workflows.sending.fate import Evidence

_PEOPLE = 500


def unheard(arrival: Arrival) -> str:
    """Nobody says anything here."""
    raise AssertionError(arrival.kind)


EARS = Ears(unheard, unheard, Evidence(lambda _contact: None, DATES))


def fill(database: Database, messages: int) -> None:
    """Messages that have left, and their reports in the inbox, those of one message far apart."""
    loans = book(database, _PEOPLE)
    with database.write() as session:
        borrower = {loan: session.get_one(Loan, loan).borrower_id for loan in loans}
        for number in range(messages):
            loan = loans[number % len(loans)]
            session.add(
                Contact(
                    id=f"1-{number}-0", loan_id=loan, person_id=borrower[loan], channel="sms", slot=f"s{number}", status="sent",
                    outcome="sent", planned_at=NOW, not_before_at=NOW, expires_at=NOW, at=NOW, provider="twilio",
                    provider_ref=f"SM{number}", rule="text", attempts=1,
                )
            )  # fmt: skip
        session.flush()
        session.add_all(ContactLoan(contact_id=f"1-{n}-0", loan_id=loans[n % len(loans)]) for n in range(messages))
        words: tuple[Delivery, ...] = ("sent", "delivered")
        for word in words:
            reports = [StatusReport("twilio", f"1-{n}-0", f"SM{n}", word, "", "ok", "") for n in range(messages)]
            put(session, [arrival_of(report, nonce=lambda: "n") for report in reports], now=NOW)


@contextmanager
def books() -> Iterator[list[Database]]:
    """One book of each kind."""
    folder = Path(tempfile.mkdtemp(prefix="hearing-"))
    try:
        with running_server(durable=True) as server, server.database() as url:
            found = [open_database(f"sqlite:///{folder / 'book.db'}"), open_database(url)]
            for database in found:
                database.create(bucket_key="00")
            yield found
            for database in found:
                database.close()
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--profile", action="store_true", help="and where the time goes")
    given = parser.parse_args()
    with books() as found:
        for database in found:
            fill(database, given.messages)
            profile = cProfile.Profile() if given.profile else None
            began = time.perf_counter()
            with profile or nullcontext():
                done = take_in(database, EARS, lambda: NOW)
            seconds = time.perf_counter() - began
            if done.done != 2 * given.messages:
                raise RuntimeError(f"not all was heard: {done}")
            print(f"{database.dialect}: {done.done / seconds:,.0f} reports a second")
            if profile is not None:
                pstats.Stats(profile).sort_stats("cumulative").print_stats(35)


if __name__ == "__main__":
    main()
