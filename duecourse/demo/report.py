"""What a collections manager looks at: the book by stage and bucket, contacts, refusals, promises, cures, cost."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlmodel import Session, col, select

from duecourse.demo.behaviour import COST_MINOR
from duecourse.money import amount
from engine.stages import STAGES
from store.tables import Contact, DecisionRow, Loan, Movement, Promise, StageChange
from store.timeline import timeline

BUCKETS = ((0, 0), (1, 30), (31, 60), (61, 90), (91, 120), (121, 10_000))


@dataclass(frozen=True, slots=True)
class Book:
    """The book on one day: loans by (stage, bucket), overdue amounts by currency."""

    on: date
    loans: Mapping[tuple[str, int], int]
    overdue: Mapping[str, int]


@dataclass(slots=True)
class Summary:
    """Sixty days, counted."""

    contacts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    withheld: Counter[str] = field(default_factory=Counter)
    promises: Counter[str] = field(default_factory=Counter)
    collected: Counter[str] = field(default_factory=Counter)
    cost: Counter[str] = field(default_factory=Counter)
    cures: int = 0
    decisions: int = 0


def bucket(dpd: int) -> int:
    """Which bucket of `BUCKETS` that many days past due fall in."""
    return next(index for index, (low, high) in enumerate(BUCKETS) if low <= dpd <= high)


def take_stock(loans: Iterable[tuple[str, str, int, int]], on: date) -> Book:
    """The book from (stage, currency, days past due, overdue minor) of every loan."""
    counts: Counter[tuple[str, int]] = Counter()
    overdue: Counter[str] = Counter()
    for stage, currency, dpd, minor in loans:
        counts[stage, bucket(dpd)] += 1
        overdue[currency] += minor
    return Book(on, counts, overdue)


def summarise(session: Session, since: datetime) -> Summary:
    """Count what the log and the ledger hold from `since` on."""
    summary = Summary()
    currency = {loan.id: loan.currency for loan in session.exec(select(Loan))}
    for contact in session.exec(select(Contact).where(col(Contact.planned_at) >= since)):
        word = contact.outcome if contact.status in ("delivered", "sent") and contact.outcome else contact.status
        summary.contacts[contact.channel][word] += 1
        if contact.status in ("sent", "delivered", "failed", "unknown"):
            money = currency[contact.loan_id]
            summary.cost[money] += COST_MINOR[money][contact.channel]
    for reasons in session.exec(select(DecisionRow.reasons).where(col(DecisionRow.now_at) >= since)):
        summary.decisions += 1
        summary.withheld.update(reasons.split())
    for status in session.exec(select(Promise.status).where(col(Promise.made_at) >= since)):
        summary.promises[status] += 1
    for movement in session.exec(select(Movement).where(col(Movement.recorded_at) >= since)):
        sign = {"payment": 1, "reversal": -1}.get(movement.kind, 0)
        summary.collected[currency[movement.loan_id]] += sign * movement.amount_minor
    cures = select(StageChange).where(
        col(StageChange.at) >= since, col(StageChange.target) == "current", col(StageChange.source) != "current"
    )
    summary.cures = len(session.exec(cures).all())
    return summary


def draw(console: Console, start: Book, end: Book, summary: Summary) -> None:
    """Print the report."""
    console.print(f"\nThe book by stage and days past due, {start.on} -> {end.on}")
    console.print(_book_table(start, end))
    for money in sorted(start.overdue):
        before, after = amount(start.overdue[money], money), amount(end.overdue.get(money, 0), money)
        console.print(f"overdue {before} -> {after}", markup=False)
    console.print("\nContacts by channel and outcome")
    table = Table("channel", "contacts", "what came of them", box=None, pad_edge=False)
    for channel, outcomes in sorted(summary.contacts.items()):
        said = ", ".join(f"{name} {count}" for name, count in outcomes.most_common())
        table.add_row(channel, str(outcomes.total()), Text(said))
    console.print(table)
    console.print("\nWhat the gate withheld or put off, by rule")
    table = Table("rule", "times", box=None, pad_edge=False)
    for rule, count in summary.withheld.most_common(12):
        table.add_row(rule, str(count))
    console.print(table if summary.withheld else "nothing")
    made = summary.promises.total()
    kept, broken = summary.promises["kept"], summary.promises["broken"]
    console.print(
        f"\n{summary.decisions:,} decisions logged; {made} promises (kept {kept}, broken {broken}, open "
        f"{summary.promises['open']}); {summary.cures} cures"
    )
    for money, minor in sorted(summary.collected.items()):
        cost = summary.cost[money]
        console.print(f"collected {amount(minor, money)} at a cost of {amount(cost, money)}", markup=False)


def draw_story(console: Console, session: Session, since: datetime) -> None:
    """Print the timeline of the loan whose story has the most chapters."""
    loan = _richest(session, since)
    if loan is None:
        return
    console.print(f"\nOne loan's story: {loan.ref}, now in stage {loan.stage}")
    table = Table("when", "what", "amount", box=None, pad_edge=False)
    for line in timeline(session, loan):
        if line.at >= since:
            money = amount(line.amount_minor, loan.currency) if line.amount_minor is not None else ""
            table.add_row(f"{line.at:%m-%d %H:%M}Z", Text(line.what), money)
    console.print(table)


def _book_table(start: Book, end: Book) -> Table:
    names = [f"{low}" if low == high else f"{low}-{high}" if high < 10_000 else f"{low}+" for low, high in BUCKETS]
    table = Table("stage", *names, "all", box=None, pad_edge=False)
    for stage in STAGES:
        cells = [(start.loans.get((stage, i), 0), end.loans.get((stage, i), 0)) for i in range(len(BUCKETS))]
        cells.append((sum(a for a, _ in cells), sum(b for _, b in cells)))
        table.add_row(stage, *(f"{a} -> {b}" if a or b else "" for a, b in cells))
    return table


def _richest(session: Session, since: datetime) -> Loan | None:
    """The loan that went through the most different things and came back to `current`, by id where several did."""
    best: tuple[int, int] | None = None
    chapters: dict[int, set[str]] = defaultdict(set)
    cured: set[int] = set()
    for change in session.exec(select(StageChange).where(col(StageChange.at) >= since)):
        chapters[change.loan_id].add(f"stage {change.target}")
        if change.target == "current" != change.source:
            cured.add(change.loan_id)
    for contact in session.exec(select(Contact).where(col(Contact.planned_at) >= since)):
        chapters[contact.loan_id].add(f"{contact.channel} {contact.outcome}")
    for promise in session.exec(select(Promise).where(col(Promise.made_at) >= since)):
        chapters[promise.loan_id].add(f"promise {promise.status}")
    for loan_id, seen in sorted(chapters.items()):
        if loan_id in cured and (best is None or len(seen) > best[0]):
            best = (len(seen), loan_id)
    return session.get(Loan, best[1]) if best else None
