"""The ledger by brute force: what is owed on a day, counted anew from every instalment and movement each time."""

from collections.abc import Collection, Iterator
from datetime import date

from tests.simulation.records import Records, Row, Violation, stamp

_CREDITS = {"payment", "credit", "waiver", "forgiveness"}


def credit(known: Collection[Row]) -> int:
    """Cleared credit in minor units: what came in, less what was taken back."""
    came = {row["id"]: row["amount_minor"] for row in known if row["kind"] in _CREDITS}
    back = sum(row["amount_minor"] for row in known if row["kind"] == "reversal" and row["reverses_id"] in came)
    return sum(came.values()) - back


def overdue(records: Records, loan: int, on: date, until: int) -> tuple[int, int] | None:
    """
    Days past due and overdue minor units on a day at the borrower's place, as committed by a moment; None where nothing says.

    A payment that is recorded counts whatever its value date: nobody is dunned for what has been paid.
    """
    if records.loans[loan]["basis"] == "account":
        return _account(records, loan, on, until)
    schedule = records.instalments.get(loan)
    if not schedule:
        return None
    covered = credit(_known(records, loan, until))
    late = [row for row in schedule if row["due_on"] < on]
    left = sum(row["amount_minor"] for row in late) - covered
    if left <= 0:
        return 0, 0
    total = 0
    for row in late:
        total += row["amount_minor"]
        if total > covered:
            return (on - row["due_on"]).days, left
    raise AssertionError("something is left, so some instalment is open")


def _known(records: Records, loan: int, until: int) -> list[Row]:
    return [row for row in records.movements.get(loan, ()) if records.moment("movement", row) <= until]


def _account(records: Records, loan: int, on: date, until: int) -> tuple[int, int] | None:
    known = [row for row in records.snapshots.get(loan, ()) if records.moment("account_snapshot", row) <= until]
    if not known:
        return None
    last = max(known, key=lambda row: (row["as_of_on"], row["recorded_at"]))
    later = [row for row in _known(records, loan, until) if row["effective_on"] > last["as_of_on"]]
    left = max(0, last["overdue_minor"] - credit(later))
    # Where it is still yesterday when the core system says how today ends, nobody is late by less than no day.
    return (max(0, last["dpd"] + (on - last["as_of_on"]).days) if left else 0), left


def positions(records: Records) -> Iterator[Violation]:
    """DESIGN.md 5: the projection equals the ledger."""
    found = {row["loan_id"]: row for row in records["position"]}
    for loan in records.loans:
        want = _fold(records, loan)
        have = found.get(loan)
        if have is None:
            if any(want.values()):
                yield Violation("ledger", f"loan {loan}", f"has no position, the ledger says {want}")
            continue
        for name, value in want.items():
            if have[name] != value:
                yield Violation("ledger", f"loan {loan}", f"position says {name} {have[name]}, the ledger {value}")


def _fold(records: Records, loan: int) -> dict[str, object]:
    movements = records.movements.get(loan, [])
    schedule = records.instalments.get(loan, [])
    ended = {row["reverses_id"]: row for row in movements if row["reverses_id"] is not None}
    covered = credit(movements)
    total, opened = 0, None
    for row in schedule:
        total += row["amount_minor"]
        if opened is None and total > covered:
            opened = row
    fees = {row["id"] for row in movements if row["kind"] == "fee"}
    return {
        "due_minor": total,
        "credit_minor": covered,
        "fee_minor": sum(
            row["amount_minor"] * (1 if row["kind"] == "fee" else -1)
            for row in movements
            if row["kind"] == "fee" or (row["kind"] == "reversal" and row["reverses_id"] in fees)
        ),
        "pending_minor": sum(
            row["amount_minor"] for row in movements if row["kind"] == "pending_debit" and row["id"] not in ended
        ),
        "first_open_number": opened["number"] if opened else None,
        "first_open_on": opened["due_on"] if opened else None,
        "first_open_minor": opened["amount_minor"] if opened else None,
        "first_open_total_minor": opened["due_total_minor"] if opened else None,
    }


def totals(records: Records) -> Iterator[Violation]:
    """The schedule's running totals and the ledger's own books: every end names something of the same loan, once."""
    for loan, schedule in records.instalments.items():
        total = 0
        for row in schedule:
            total += row["amount_minor"]
            if row["due_total_minor"] != total:
                what = f"instalment {row['number']} says {row['due_total_minor']} in all, the sum is {total}"
                yield Violation("ledger", f"loan {loan}", what)
    by_id = {row["id"]: row for row in records["movement"]}
    for row in records["movement"]:
        ends = row["reverses_id"]
        if ends is None:
            continue
        if ends not in by_id or by_id[ends]["loan_id"] != row["loan_id"]:
            yield Violation("ledger", f"movement {row['id']}", f"ends {ends}, which is no movement of its loan")
        elif by_id[ends]["recorded_at"] > row["recorded_at"] + records.apart:
            when = stamp(row["recorded_at"])
            yield Violation("ledger", f"movement {row['id']}", f"ends {ends} at {when}, before that was recorded")
