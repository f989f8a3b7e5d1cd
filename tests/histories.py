"""Random loans for property tests, and a recount of where they stand that shares nothing with `store`."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate

from hypothesis import strategies as st

from store.ledger import NewMovement
from store.ledger_checks import ENDS
from store.tables import Instalment, Movement

FIRST_ON = date(2027, 12, 20)  # the months that follow have 31, 29, 31 days
LAST_ON = FIRST_ON + timedelta(days=110)

Schedule = list[tuple[date, int]]


@dataclass(frozen=True, slots=True)
class History:
    """A loan's schedule and its movements, in the order they were made up in."""

    schedule: Schedule
    movements: tuple[NewMovement, ...]

    def instalments(self, loan_id: int = 1) -> list[Instalment]:
        """As rows."""
        totals = accumulate(amount for _, amount in self.schedule)
        return [
            Instalment(loan_id=loan_id, number=number, due_on=due_on, amount_minor=amount, due_total_minor=total)
            for number, ((due_on, amount), total) in enumerate(zip(self.schedule, totals, strict=True), start=1)
        ]

    def rows(self) -> list[Movement]:
        """The movements as rows, numbered from 1."""
        ids = {new.key: n for n, new in enumerate(self.movements, start=1)}
        return [
            Movement(
                id=ids[new.key],
                loan_id=new.loan_id,
                kind=new.kind,
                amount_minor=new.amount_minor,
                effective_on=new.effective_on,
                recorded_at=new.recorded_at,
                source=new.source,
                ref=new.ref,
                reverses_id=ids[new.ends] if new.ends else None,
            )
            for new in self.movements
        ]

    def of_loan(self, loan_id: int) -> list[NewMovement]:
        """The movements as that loan's own, under keys of their own."""
        source = f"feed of {loan_id}"
        return [
            replace(one, loan_id=loan_id, source=source, ends=(source, one.ends[1]) if one.ends else None)
            for one in self.movements
        ]

    def days(self) -> list[date]:
        """Every day on which something may look different, and the days around it."""
        marks = {FIRST_ON, LAST_ON, *(due_on for due_on, _ in self.schedule)}
        marks |= {new.effective_on for new in self.movements}
        return sorted({mark + timedelta(days=shift) for mark in marks for shift in (-1, 0, 1)})

    def instants(self) -> list[datetime]:
        """Before anything was known, and every instant at which something became known."""
        return [datetime(2027, 1, 1, tzinfo=UTC), *sorted({new.recorded_at for new in self.movements})]


@st.composite
def histories(draw: st.DrawFn, *, loan_id: int = 1, source: str = "feed") -> History:
    """
    Month-end schedules with part payments, over-payments, backdated and bounced ones, waivers and all other kinds.

    Amounts are small, so that "exactly paid" and "one cent short" happen all the time.
    """
    anchor = draw(st.integers(28, 31))
    months = draw(st.integers(0, 4))
    schedule = [(month_end(anchor, month), draw(st.integers(0, 4))) for month in range(months)]
    movements: list[NewMovement] = []
    ended: set[tuple[str, str]] = set()
    for n in range(draw(st.integers(0, 9))):
        endable = [
            old for old in movements if old.key not in ended and old.kind not in ("reversal", "pending_cancelled")
        ]
        target = draw(st.one_of(st.none(), st.sampled_from(endable))) if endable else None
        kinds = [kind for kind in ENDS if target and target.kind in ENDS[kind]] if target else sorted(ENDS["reversal"])
        kind = draw(st.sampled_from(kinds if target else [*kinds, "pending_debit", "payment", "payment"]))
        earliest_on = target.effective_on if target and kind == "reversal" else FIRST_ON
        effective_on = earliest_on + timedelta(days=draw(st.integers(0, (LAST_ON - earliest_on).days)))
        # From a day early (the lender's calendar is ahead) to three weeks late.
        recorded_on = effective_on + timedelta(days=draw(st.integers(-1, 21)))
        amount = draw(st.integers(1, target.amount_minor if target and kind == "reversal" else 6))
        if target and kind == "pending_cancelled":
            amount = target.amount_minor
        new = NewMovement(
            loan_id=loan_id,
            kind=kind,
            amount_minor=amount,
            effective_on=effective_on,
            recorded_at=datetime.combine(recorded_on, time(draw(st.integers(0, 23))), UTC),
            source=source,
            ref=str(n),
            ends=target.key if target else None,
        )
        if target:
            ended.add(target.key)
        movements.append(new)
    return History(schedule, tuple(movements))


def month_end(anchor: int, month: int) -> date:
    """The month-th due date with that anchor day, from December 2027; each clamped by itself."""
    year, index = divmod(2027 * 12 + 11 + month, 12)
    return date(year, index + 1, min(anchor, monthrange(year, index + 1)[1]))


@dataclass(frozen=True, slots=True)
class Count:
    """What the recount finds; the names are those of `store.arrears.Arrears`."""

    dpd: int
    overdue_minor: int
    instalments_overdue: int
    due_next_on: date | None
    due_next_minor: int
    fees_due_minor: int
    pending_minor: int
    balance_minor: int
    first_unpaid_on: date | None


def recount(schedule: Schedule, movements: Sequence[NewMovement], on: date, known_at: datetime) -> Count:
    """
    Where a loan stands, the slow way: hand out the money cent by cent, then count the late days one by one.

    Written from the definition alone; do not make it faster or share code with what it checks.
    """
    seen = {m.key: m for m in movements if m.recorded_at <= known_at and m.effective_on <= on}
    purse: dict[tuple[str, str], int] = {}
    fees: dict[tuple[str, str], int] = {}
    for key, m in seen.items():
        if m.kind in {"payment", "credit", "waiver", "forgiveness"}:
            purse[key] = m.amount_minor
        if m.kind == "fee":
            fees[key] = m.amount_minor
    for m in seen.values():
        if m.kind == "reversal" and m.ends in purse:
            purse[m.ends] -= m.amount_minor
        if m.kind == "reversal" and m.ends in fees:
            fees[m.ends] -= m.amount_minor

    owed = [amount for _, amount in schedule]
    fee = sum(fees.values())
    spare = 0
    for _ in range(sum(purse.values())):
        for place, left in enumerate(owed):
            if left:
                owed[place] -= 1
                break
        else:
            if fee:
                fee -= 1
            else:
                spare += 1

    late = [(due_on, left) for (due_on, _), left in zip(schedule, owed, strict=True) if left and due_on < on]
    ahead = [(due_on, left) for (due_on, _), left in zip(schedule, owed, strict=True) if left and due_on >= on]
    dpd, day = 0, FIRST_ON - timedelta(days=60)
    while day < on:
        day += timedelta(days=1)
        dpd += any(due_on < day for due_on, _ in late)
    pending = sum(
        m.amount_minor
        for m in movements
        if m.kind == "pending_debit"
        and m.recorded_at <= known_at
        and not any(other.ends == m.key for other in seen.values())
    )
    return Count(
        dpd=dpd,
        overdue_minor=sum(left for _, left in late),
        instalments_overdue=len(late),
        due_next_on=ahead[0][0] if ahead else None,
        due_next_minor=ahead[0][1] if ahead else 0,
        fees_due_minor=fee,
        pending_minor=pending,
        balance_minor=sum(owed) + fee - spare,
        first_unpaid_on=(late + ahead)[0][0] if late + ahead else None,
    )
