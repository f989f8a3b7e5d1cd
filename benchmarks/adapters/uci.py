"""
The UCI credit-card default set as a loan book: `python -m benchmarks.adapters.uci SOURCE TARGET [--loans N]`.

What is real: each account's credit limit, bill and the six months of repayment status (months late at the
end of each month). What is ours: the schedule that carries those statuses, the dates within a month, every
person (names, numbers and addresses that cannot belong to anyone), the currencies, and the shift of the six
months from 2005 to the six that end where the demo starts.

Even client ids become instalment loans in CNY with a schedule and a payment history, odd ones card accounts
in USD known only by a core system's snapshot. Source: UCI Machine Learning Repository, data set 350, CC BY 4.0
(Yeh and Lien 2009, Expert Systems with Applications 36(2), 2473-2480).
"""

import argparse
import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from benchmarks.adapters.tables import Tables, write_tables

STATUS_MONTHS = ("PAY_6", "PAY_5", "PAY_4", "PAY_3", "PAY_2", "PAY_0")
"""Oldest first; the set has no PAY_1."""
BOOK_ON = date(2026, 3, 1)
"""The day the book is as of: the month after the last status month."""
_MONTHS_BEFORE = 9  # statuses reach 8 months late, so the schedule starts that far before the first status month
_TERM = 24
_NTD_PER_CNY, _NTD_PER_USD = 4, 30

_AREAS = ("212", "617", "305", "214", "303", "213", "206", "312")
"""555-0100 to 555-0199 are kept for fiction in every North American area code: real in form, nobody's ever."""
_REGIONS = (
    ("US-NY", "America/New_York"),
    ("US-MA", "America/New_York"),
    ("US-FL", "America/New_York"),
    ("US-TX", "America/Chicago"),
    ("US-CO", "America/Denver"),
    ("US-CA", "America/Los_Angeles"),
    ("US-WA", "America/Los_Angeles"),
    ("US-HI", "Pacific/Honolulu"),
)
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Client:
    """One row of the set, typed. `months_late` is oldest month first, never negative."""

    id: int
    limit: int
    bill: int
    age: int
    months_late: tuple[int, ...]


def read_clients(path: Path) -> Iterator[Client]:
    """Every client of the gzipped CSV, in file order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            late = tuple(max(0, int(row[name])) for name in STATUS_MONTHS)
            yield Client(int(row["ID"]), int(row["LIMIT_BAL"]), int(row["BILL_AMT1"]), int(row["AGE"]), late)


def month_start(months: int) -> date:
    """The first of the month that many months before (negative) or after `BOOK_ON`."""
    index = BOOK_ON.year * 12 + BOOK_ON.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def due_dates(day: int) -> list[date]:
    """24 monthly due dates on that day (1 to 31, clamped to each month's own end); the last status month is month -1."""
    first = -len(STATUS_MONTHS) - _MONTHS_BEFORE
    return [
        min(month_start(month) + timedelta(days=day - 1), month_start(month + 1) - timedelta(days=1))
        for month in range(first, first + _TERM)
    ]


def paid_counts(months_late: Sequence[int]) -> list[int]:
    """
    How many instalments are paid at the end of each status month.

    The set jumps from 0 to 2 months late within one month, which no schedule allows: what is paid stays paid.
    """
    counts: list[int] = []
    for index, late in enumerate(months_late):
        due = _MONTHS_BEFORE + index + 1
        counts.append(max(due - late, counts[-1] if counts else 0))
    return counts


def build(clients: Iterable[Client]) -> Tables:
    """The contract's tables for these clients; the same clients give the same book."""
    tables: Tables = {
        name: []
        for name in (
            "people",
            "endpoints",
            "loans",
            "parties",
            "instalments",
            "movements",
            "accounts",
            "facts",
            "consents",
        )
    }
    previous: str | None = None
    for client in clients:
        chance = Random(client.id)
        if client.id % 2:
            _card(tables, client, chance)
            continue
        # Every ninth instalment loan belongs to the borrower of the one before: several loans of one person.
        shared = previous if previous and client.id % 18 == 0 else None
        previous = _instalment_loan(tables, client, chance, shared)
    return tables


def _instalment_loan(tables: Tables, client: Client, chance: Random, shared: str | None) -> str:
    borrower, loan = shared or f"C{client.id}", f"CN-{client.id}"
    if not shared:
        _person(tables, borrower, "zh", "CN", chance.choice(("CN-SH", "CN-GD", "CN-SC", "CN-XJ")), "Asia/Shanghai")
        _phone(tables, borrower, "Asia/Shanghai", consented=True)
        if chance.random() < 0.7:
            _email(tables, borrower)
        _postal(tables, borrower)
    amount = Decimal(client.limit) / _NTD_PER_CNY / _TERM
    amount = amount.quantize(Decimal("0.01"))
    dues = due_dates(chance.randint(1, 31))
    tables["loans"].append(
        {
            "ref": loan,
            "borrower": borrower,
            "product": "personal",
            "currency": "CNY",
            "principal": client.limit // _NTD_PER_CNY,
            "opened_on": (dues[0] - timedelta(days=30)).isoformat(),
            "basis": "schedule",
            "autopay": str(chance.random() < 0.2).lower(),
        }
    )
    for number, due_on in enumerate(dues, 1):
        row = {"loan": loan, "number": number, "due_on": due_on.isoformat(), "amount": amount}
        tables["instalments"].append(row)
    _payments(tables, loan, amount, dues, client, chance)
    if chance.random() < 0.15:
        guarantor = f"G{client.id}"
        _person(tables, guarantor, "zh", "CN", "CN-SH", "Asia/Shanghai")
        _email(tables, guarantor)
        _postal(tables, guarantor)
        tables["parties"].append({"loan": loan, "person": guarantor, "role": "guarantor"})
    _facts(tables, loan, client)
    return borrower


def _payments(tables: Tables, loan: str, amount: Decimal, dues: list[date], client: Client, chance: Random) -> None:
    counts = paid_counts(client.months_late)
    done = 0
    for number in range(1, counts[0] + 1):
        if number <= _MONTHS_BEFORE:
            _payment(tables, loan, number, amount, dues[number - 1] - timedelta(days=chance.randint(0, 2)))
            done = number
    for index, count in enumerate(counts):
        month = index - len(STATUS_MONTHS)
        due_on = dues[_MONTHS_BEFORE + index]
        last = month_start(month + 1) - timedelta(days=1)
        on_time = client.months_late[index] == 0
        for number in range(done + 1, count + 1):
            spread = (last - due_on).days
            paid_on = due_on - timedelta(days=chance.randint(0, 3)) if on_time else due_on + timedelta(days=spread)
            # Within the month whose status it makes true, neither before nor after.
            _payment(tables, loan, number, amount, min(max(paid_on, month_start(month)), last))
        done = max(done, count)


def _payment(tables: Tables, loan: str, number: int, amount: Decimal, paid_on: date) -> None:
    at = datetime(paid_on.year, paid_on.month, paid_on.day, 10, tzinfo=ZoneInfo("Asia/Shanghai"))
    tables["movements"].append(
        {
            "ref": f"{loan}-P{number}",
            "loan": loan,
            "kind": "payment",
            "amount": amount,
            "effective_on": paid_on.isoformat(),
            "recorded_at": at.isoformat(),
        }
    )


def _card(tables: Tables, client: Client, chance: Random) -> None:
    borrower, loan = f"U{client.id}", f"US-{client.id}"
    region, zone = _REGIONS[client.id // 2 % len(_REGIONS)]
    _person(tables, borrower, "en", "US", region, zone)
    _phone(tables, borrower, zone, consented=chance.random() < 0.8)
    if chance.random() < 0.85:
        _email(tables, borrower)
    _postal(tables, borrower)
    balance = Decimal(max(client.bill, 3000)) / _NTD_PER_USD
    balance = balance.quantize(Decimal("0.01"))
    minimum = max(Decimal(25), (balance * Decimal("0.03")).quantize(Decimal("0.01")))
    late = client.months_late[-1]
    day = chance.randint(1, 28)
    next_due = month_start(0) + timedelta(days=day - 1)
    oldest_unpaid = month_start(-late) + timedelta(days=day - 1)
    tables["loans"].append(
        {
            "ref": loan,
            "borrower": borrower,
            "product": "card",
            "currency": "USD",
            "principal": client.limit // _NTD_PER_USD,
            "opened_on": month_start(-36).isoformat(),
            "basis": "account",
            "autopay": str(chance.random() < 0.25).lower(),
        }
    )
    tables["accounts"].append(
        {
            "loan": loan,
            "as_of_on": BOOK_ON.isoformat(),
            "dpd": max(0, (BOOK_ON - oldest_unpaid).days) if late else 0,
            "overdue": min(balance, minimum * late),
            "balance": balance,
            "min_payment": minimum,
            "next_due_on": next_due.isoformat(),
        }
    )
    _facts(tables, loan, client)


def _person(tables: Tables, ref: str, language: str, country: str, region: str, zone: str) -> None:
    name = f"示例客户 {ref}" if language == "zh" else f"Sample Client {ref}"
    row = {"ref": ref, "name": name, "language": language, "country": country, "region": region, "zones": zone}
    tables["people"].append(row)


def _phone(tables: Tables, person: str, zone: str, *, consented: bool) -> None:
    index = len(tables["people"])
    number = f"+1{_AREAS[index // 100 % len(_AREAS)]}55501{index % 100:02d}"
    row = {"person": person, "kind": "mobile", "value": number, "zone": zone, "rank": 1, "source": "contract"}
    tables["endpoints"].append(row)
    if consented:
        _consent(tables, person, "sms", number)


def _email(tables: Tables, person: str) -> None:
    value = f"{person.lower()}@example.com"
    row = {"person": person, "kind": "email", "value": value, "zone": "", "rank": 1, "source": "contract"}
    tables["endpoints"].append(row)
    _consent(tables, person, "email", value)


def _postal(tables: Tables, person: str) -> None:
    value = f"{person} Example Street 1"
    row = {"person": person, "kind": "postal", "value": value, "zone": "", "rank": 1, "source": "contract"}
    tables["endpoints"].append(row)


def _consent(tables: Tables, person: str, channel: str, value: str) -> None:
    tables["consents"].append(
        {
            "ref": f"{person}-{channel}",
            "person": person,
            "kind": "consent",
            "scope": "electronic",
            "channels": channel,
            "endpoint": value,
            "received_at": "2026-01-15T09:00:00+00:00",
            "how": "contract",
            "given_to": "lender",
        }
    )


def _facts(tables: Tables, loan: str, client: Client) -> None:
    # Five bands by the worst status of the six months: a rough score, and real input for one.
    band = "abcde"[min(4, max(client.months_late))]
    row = {"loan": loan, "name": "risk_band", "value": band, "as_of": "2026-03-01T00:00:00+00:00"}
    tables["facts"].append(row)


def sample(clients: Iterable[Client], loans: int) -> list[Client]:
    """The first clients of the file, half of them behind at the end, half not: a book worth collecting."""
    late: list[Client] = []
    fine: list[Client] = []
    for client in clients:
        (late if client.months_late[-1] else fine).append(client)
    half = loans // 2
    return sorted(late[:half] + fine[: loans - half], key=lambda client: client.id)


def main() -> None:
    """Write the contract files of a sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else "")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--loans", type=int, default=240)
    options = parser.parse_args()
    write_tables(build(sample(read_clients(options.source), options.loans)), options.target)


if __name__ == "__main__":
    main()
