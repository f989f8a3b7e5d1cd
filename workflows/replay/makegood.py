"""
What would not have happened, had everything been known in time: contacts, stage moves and fees, with what to do about each.

Decisions are derived again on their snapshot with what is known today about the time before them, and compared with
what was logged. Nothing in the past is edited: what is found is for people to make good.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal

from sqlalchemy import select

from engine.decision import Decision, LoanDecision
from engine.judging import QUEUE_FULL
from engine.matching import InterpreterMatcher, Matcher
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Situation
from engine.stages import EDGE
from store.book import RawBook
from store.bulk import reading
from store.bulk_arrow import Reader, table_of
from store.columns import from_us
from store.db import Database
from store.hindsight import in_hindsight
from store.snapshots import Seen, Unreadable, part_of, snapshots_of, unpack
from workflows.deciding.chunk import ChunkReader
from workflows.replay.decisions import logged_trace, readable_rows
from workflows.replay.late_news import OTHER_RULES, late_fees, late_news
from workflows.replay.looks import NO_SNAPSHOT
from workflows.replay.makegood_by_hand import BOOK_NOT_KEPT, asked_by_now, let_then_not_now
from workflows.replay.publications import Deciders, NotAsKept, NotKept, Publications
from workflows.uncollected import uncollected

Progress = Callable[[int, int], None]
Row = dict[str, Any]

_MADE: Final = frozenset({"sent", "delivered", "failed", "unknown", "sending"})


@dataclass(frozen=True, slots=True)
class Amiss:
    """
    One thing that would not have happened.

    Attributes:
        subject: the contact's id, the move or the movement.
        because: what came to be known too late, or that the rules are others.
        remedy: what somebody may do about it.
    """

    kind: Literal["contact", "move", "fee"]
    loan: int
    at: datetime
    subject: str
    what: str
    because: tuple[str, ...]
    remedy: str


@dataclass(slots=True)
class MadeGood:
    """
    What was looked at, and what is amiss.

    Attributes:
        derived: decisions that were derived again.
        unknown: why some could not be -> how many borrowers.
    """

    derived: int = 0
    amiss: list[Amiss] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)


def make_good(
    database: Database,
    *,
    since: datetime,
    now: datetime,
    instead: Deciders | None = None,
    progress: Progress = lambda _done, _total: None,
) -> MadeGood:
    """
    Look for what would not have happened since an instant.

    Args:
        since: of the decisions.
        now: what is known by then counts.
        instead: strategies and gate to decide by; None: those of the time.
    Raises:
        StoreError: the database cannot be read.
    """
    found = MadeGood()
    with reading(database) as reader, ExitStack() as stack, uncollected():
        news = late_news(reader, since, now, everybody=instead is not None)
        publications, hindsight = Publications(reader), _Hindsight(reader, stack)
        for done, (run, about) in enumerate(sorted(news.items())):
            progress(done, len(news))
            (row,) = reader.read(_run(run)).to_pylist()
            try:
                deciders = instead or publications.of_run(
                    row["strategies_json"], row["gate_digest"], row["engine_version"]
                )
            except (NotKept, NotAsKept) as error:
                found.unknown[str(error)] += len(about)
                continue
            again = _Again(reader, hindsight, row, about, deciders, found)
            if row["kind"] == "by_hand":
                again.what_a_person_did()
            else:
                again.what_rules_asked_for()
    with database.session() as session:
        found.amiss += [
            Amiss(
                "fee",
                fee.loan,
                fee.at,
                f"movement:{fee.movement}",
                fee.what,
                fee.because,
                "reverse it, where it was charged",
            )
            for fee in late_fees(session, since, now)
        ]
    found.amiss.sort(key=lambda one: (one.at, one.loan, one.subject))
    return found


@dataclass(frozen=True, slots=True)
class _Hindsight:
    """What was read for decisions, as it should have been."""

    reader: Reader
    stack: ExitStack
    chunks: dict[tuple[int, str], ChunkReader] = field(default_factory=dict)

    def situations(
        self, deciders: Deciders, book: RawBook, seen: Seen, rows: Mapping[int, Row]
    ) -> tuple[Situation, ...]:
        """`rows` are the decisions about the book's loans."""
        key = id(deciders.rulebook), seen.actor
        if key not in self.chunks:
            self.chunks[key] = self.stack.enter_context(ChunkReader(deciders.rulebook, actor=seen.actor))
        on: dict[int, date] = {loan: row["on_on"] for loan, row in rows.items()}
        book = in_hindsight(self.reader, book, at=seen.at, on=on)
        return self.chunks[key].again(book, now=seen.at, happened=seen.happened).situations


@dataclass(frozen=True, slots=True)
class _Again:
    """
    One run, decided again.

    Attributes:
        about: borrower -> what came to be known too late.
        found: what is added to.
    """

    reader: Reader
    hindsight: _Hindsight
    run: Row
    about: Mapping[int, tuple[str, ...]]
    deciders: Deciders
    found: MadeGood

    def what_rules_asked_for(self) -> None:
        """The decisions of rules, whole."""
        reader, run, deciders, found = self.reader, self.run, self.deciders, self.found
        left = set(self.about)
        matcher = InterpreterMatcher(deciders.rulebook.strategies)
        why = NO_SNAPSHOT
        for snapshot in snapshots_of(reader, run["id"]):
            if not left:
                break
            try:
                seen = unpack(snapshot.content, snapshot.digest)
            except Unreadable as error:
                why = str(error)
                continue
            mine = left.intersection(seen.book.loan["borrower_id"].to_pylist()) if seen.book is not None else set()
            if seen.book is None or not mine:
                continue
            left -= mine
            part = part_of(seen.book, mine)
            rows = {row["loan_id"]: row for row in readable_rows(reader, run["id"], part.loan["id"].to_pylist())}
            for situation in self.hindsight.situations(deciders, part, seen, rows):
                logged = [rows[loan.id] for loan in situation.loans if loan.id in rows]
                closed = _closed_queues(deciders.rulebook, logged)
                anew = _decide(situation, deciders, matcher, seen.at, closed)
                found.derived += len(logged)
                found.amiss += _amiss(reader, run, logged, anew.loans, self.about[situation.borrower.id])
        if left:
            found.unknown[why] += len(left)

    def what_a_person_did(self) -> None:
        """No rule asked for it, so only the gate is asked about it again."""
        reader, run, found = self.reader, self.run, self.found
        decision = table_of("decision")
        loans = reader.read(select(decision.c.loan_id).where(decision.c.run_id == run["id"]))["loan_id"].to_pylist()
        for row in readable_rows(reader, run["id"], loans):
            logged = logged_trace(row)
            if logged is None or logged.by_hand is None:
                found.unknown["what was logged cannot be read"] += 1
                continue
            asked, because = logged.by_hand, self.about.get(row["borrower_id"], ())
            made = _contact(reader, asked.contact) if asked.contact is not None and asked.acts else None
            if made is None:
                # Nothing came of it, or they contacted us: there is nothing to take back.
                continue
            kept = next(snapshots_of(reader, run["id"]), None)
            try:
                seen = unpack(kept.content, kept.digest) if kept is not None else None
            except Unreadable as error:
                found.unknown[str(error)] += 1
                continue
            if seen is None or len(seen.asks or ()) != len(asked.acts):
                found.unknown[NO_SNAPSHOT] += 1
                continue
            situation = None
            if because != (OTHER_RULES,):
                if seen.book is None:
                    found.unknown[BOOK_NOT_KEPT] += 1
                    continue
                rows = {row["loan_id"]: row}
                (situation,) = self.hindsight.situations(self.deciders, seen.book, seen, rows)
            found.derived += 1
            remedy = _of_contact(made)
            if remedy and let_then_not_now(asked, made, seen, asked_by_now(seen, situation), self.deciders.gate):
                what = f"{asked.acts[0].channel} to {asked.acts[0].role} by hand, {made['status']}"
                found.amiss.append(
                    Amiss("contact", row["loan_id"], seen.at, f"contact:{made['id']}", what, because, remedy)
                )


def _closed_queues(rulebook: Rulebook, rows: Sequence[Row]) -> frozenset[str]:
    """
    The queues that had no room for the borrower of these decisions.

    Who got a seat depends on the whole book: nobody loses theirs by what was learnt about somebody else.
    """
    closed = set()
    for row in rows:
        if QUEUE_FULL not in row["trace_json"] or (logged := logged_trace(row)) is None:
            continue
        strategy = rulebook.strategies.get(logged.strategy or "")
        for candidate in logged.candidates:
            rule = strategy.rule(candidate.rule) if strategy is not None else None
            full = {act.channel for act in candidate.acts if act.note == QUEUE_FULL}
            closed |= {act.queue for act in (rule.acts if rule is not None else ()) if act.channel in full}
    return frozenset(queue for queue in closed if queue is not None)


def _decide(
    situation: Situation, deciders: Deciders, matcher: Matcher, at: datetime, closed: frozenset[str]
) -> Decision:
    return decide(
        situation, deciders.rulebook, deciders.gate, at, matcher, queue_open=lambda _loan, queue: queue not in closed
    )


def _amiss(
    reader: Reader, run: Row, rows: Sequence[Row], anew: Sequence[LoanDecision], because: tuple[str, ...]
) -> Iterator[Amiss]:
    # Whom we would have reached on that channel all the same, if by another rule, has no cause to complain.
    reached = {(contact.person, contact.channel) for loan in anew for contact in loan.contacts}
    stages = {loan.loan: loan.stage_after for loan in anew}
    for row in rows:
        logged = logged_trace(row)
        if logged is None:
            continue
        at, loan = from_us(row["now_at"]), row["loan_id"]
        if logged.stage_after != logged.stage_before and stages.get(loan) != logged.stage_after:
            edge = EDGE[logged.stage_before, logged.stage_after]
            if edge.direction == "forward":
                what = f"moved from {logged.stage_before} to {logged.stage_after}"
                remedy = _of_move(reader, loan, logged)
                yield Amiss("move", loan, at, f"stage_change of run {run['id']}", what, because, remedy)
        for number, contact in enumerate(logged.contacts):
            if (contact.person, contact.channel) not in reached:
                made = _contact(reader, f"{run['id']}-{loan}-{number}")
                if made is not None and (remedy := _of_contact(made)):
                    what = f"{contact.channel} to {contact.role} by rule {contact.rule}, {made['status']}"
                    yield Amiss("contact", loan, at, f"contact:{made['id']}", what, because, remedy)


def _contact(reader: Reader, contact_id: str) -> Row | None:
    contact = table_of("contact")
    columns = (contact.c.id, contact.c.status, contact.c.outcome, contact.c.endpoint_id, contact.c.at)
    return next(iter(reader.read(select(*columns).where(contact.c.id == contact_id)).to_pylist()), None)


def _of_contact(contact: Row) -> str:
    """What to do about a contact; empty where nothing came of it."""
    if contact["status"] in {"planned", "claimed"}:
        return "see that it is called off before it leaves"
    return "tell them it was a mistake, and take back what it cost them" if contact["status"] in _MADE else ""


def _of_move(reader: Reader, loan: int, logged: LoanDecision) -> str:
    book = table_of("loan")
    (row,) = reader.read(select(book.c.ref, book.c.stage).where(book.c.id == loan)).to_pylist()
    if row["stage"] == logged.stage_after:
        return f"put it back: `duecourse move {row['ref']} {logged.stage_before}`"
    return f"it is in {row['stage']} by now: see what the stage brought about"


def _run(run: int) -> Any:
    table = table_of("run")
    return select(table).where(table.c.id == run)
