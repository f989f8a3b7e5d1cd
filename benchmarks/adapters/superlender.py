"""
SuperLender's short loans as a loan book: `python -m benchmarks.adapters.superlender SOURCE TARGET`.

What is real: each loan's amount, sum due, term, first due date, first repayment and closing date. What is ours: how the sum
splits. A loan of 15 or 30 days is one instalment; one of 60 or 90 days is two or three equal ones, thirty days
apart from the first due date. Where a loan was closed on a later day than its first repayment, half was paid on
each. Times carry no zone: they are taken as Lagos time. Every person is made up. For use inside only: never copy a row into the repository.
"""

import argparse
import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks.adapters.tables import Tables, write_tables

LAGOS = ZoneInfo("Africa/Lagos")
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Advance:
    """One loan of the set, typed."""

    customer: int
    loan: int
    amount: Decimal
    due: Decimal
    term_days: int
    approved_at: datetime
    first_due_on: date
    first_repaid_at: datetime
    closed_at: datetime


def read_advances(path: Path) -> Iterator[Advance]:
    """Every loan of the gzipped CSV, in file order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Advance(
                customer=int(row["customerid"]),
                loan=int(row["systemloanid"]),
                amount=Decimal(row["loanamount"]),
                due=Decimal(row["totaldue"]),
                term_days=int(row["termdays"]),
                approved_at=_at(row["approveddate"]),
                first_due_on=date.fromisoformat(row["firstduedate"]),
                first_repaid_at=_at(row["firstrepaiddate"]),
                closed_at=_at(row["closeddate"]),
            )


def build(advances: Iterable[Advance]) -> Tables:
    """The contract's tables."""
    tables: Tables = {name: [] for name in ("people", "loans", "instalments", "movements")}
    known: set[int] = set()
    for advance in advances:
        person, loan = f"SL-{advance.customer}", f"SL-{advance.loan}"
        if advance.customer not in known:
            known.add(advance.customer)
            name = f"Sample Client {advance.customer}"
            row = {"ref": person, "name": name, "language": "en", "country": "NG", "zones": LAGOS.key}
            tables["people"].append(row)
        tables["loans"].append(
            {
                "ref": loan,
                "borrower": person,
                "product": "payday",
                "currency": "NGN",
                "principal": advance.amount,
                "opened_on": advance.approved_at.date(),
            }
        )
        for number, amount in enumerate(_parts(advance.due, max(1, advance.term_days // 30)), start=1):
            due_on = advance.first_due_on + timedelta(days=30 * (number - 1))
            tables["instalments"].append({"loan": loan, "number": number, "due_on": due_on, "amount": amount})
        paid_at = [advance.first_repaid_at]
        if advance.closed_at.date() > advance.first_repaid_at.date():
            paid_at.append(advance.closed_at)
        for n, (at, amount) in enumerate(zip(paid_at, _parts(advance.due, len(paid_at)), strict=True), start=1):
            tables["movements"].append(
                {
                    "ref": f"{loan}-{n}",
                    "loan": loan,
                    "kind": "payment",
                    "amount": amount,
                    "effective_on": at.date(),
                    "recorded_at": at.isoformat(),
                }
            )
    return tables


def _parts(total: Decimal, count: int) -> list[Decimal]:
    """Equal parts in whole kobo; the last takes what is left."""
    part = (total / count).quantize(_CENT, ROUND_DOWN)
    return [part] * (count - 1) + [total - part * (count - 1)]


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LAGOS)


def main() -> None:
    """Write the contract files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else "")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    write_tables(build(read_advances(options.source)), options.target)


if __name__ == "__main__":
    main()
