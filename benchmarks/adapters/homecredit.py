"""
Home Credit's instalments and payments as a loan book: `python -m benchmarks.adapters.homecredit SOURCE TARGET`.

What is real: each loan's due dates and amounts, and each payment with its day and amount, in days before the
application. What is ours: the day of the application (`APPLIED_ON`), the currency (amounts have three decimals, so one
that has three too: nothing is rounded), and every person.

Quirks: a payment row repeats the instalment it was for, so that two payments of one instalment are two rows; a changed
schedule shows as several versions of one number, each with a part of the amount, and all of them fall due. The
1k extract is thinned: the instalments that are missing were never in it. A row without a payment was never paid, a
payment of 0 is none. For use inside only: never copy a row into the repository.
"""

import argparse
import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from benchmarks.adapters.tables import Tables, write_tables

APPLIED_ON = date(2026, 3, 1)
CURRENCY = "TND"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the set, typed: an instalment, and a payment made for it (None where there was none)."""

    loan: int
    client: int
    version: int
    number: int
    due_on: date
    amount: Decimal
    paid_on: date | None
    paid: Decimal


def read_lines(path: Path) -> Iterator[Line]:
    """Every row of the gzipped CSV, in file order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            paid_day = row["DAYS_ENTRY_PAYMENT"]
            yield Line(
                loan=int(row["SK_ID_PREV"]),
                client=int(row["SK_ID_CURR"]),
                version=int(float(row["NUM_INSTALMENT_VERSION"])),
                number=int(row["NUM_INSTALMENT_NUMBER"]),
                due_on=_day(row["DAYS_INSTALMENT"]),
                amount=Decimal(row["AMT_INSTALMENT"]),
                paid_on=_day(paid_day) if paid_day else None,
                paid=Decimal(row["AMT_PAYMENT"] or "0"),
            )


def build(lines: Iterable[Line]) -> Tables:
    """The contract's tables."""
    loans: defaultdict[tuple[int, int], list[Line]] = defaultdict(list)
    for line in lines:
        loans[line.client, line.loan].append(line)
    tables: Tables = {name: [] for name in ("people", "loans", "instalments", "movements")}
    for client in sorted({client for client, _ in loans}):
        tables["people"].append(
            {"ref": f"HC-{client}", "name": f"Sample Client {client}", "language": "en", "country": "TN"}
        )
    for (client, loan), rows in sorted(loans.items()):
        schedule = sorted({(row.due_on, row.number, row.version, row.amount) for row in rows})
        tables["loans"].append(
            {
                "ref": f"HC-{loan}",
                "borrower": f"HC-{client}",
                "product": "instalment",
                "currency": CURRENCY,
                "principal": sum(amount for *_, amount in schedule),
                "opened_on": min(row.due_on for row in rows) - timedelta(days=30),
            }
        )
        for number, (due_on, _, _, amount) in enumerate(schedule, start=1):
            row = {"loan": f"HC-{loan}", "number": number, "due_on": due_on, "amount": amount}
            tables["instalments"].append(row)
        paid = sorted((row.paid_on, row.number, row.version, row.paid) for row in rows if row.paid_on and row.paid > 0)
        tables["movements"] += [
            {
                "ref": f"HC-{loan}-{n}",
                "loan": f"HC-{loan}",
                "kind": "payment",
                "amount": amount,
                "effective_on": paid_on,
                "recorded_at": f"{paid_on}T12:00:00Z",
            }
            for n, (paid_on, _, _, amount) in enumerate(paid, start=1)
        ]
    return tables


def _day(days: str) -> date:
    return APPLIED_ON + timedelta(days=int(float(days)))


def main() -> None:
    """Write the contract files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else "")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    write_tables(build(read_lines(options.source)), options.target)


if __name__ == "__main__":
    main()
