"""
The decision log and what a decision brings about, as rows: written together or not at all, and read back.

Written column-wise, because a sweep writes thousands at a time. Nothing here updates or deletes a decision.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlmodel import Session, col, select

from engine.decision import LoanDecision, PlannedContact
from engine.explain import trace_json
from engine.gate import STRICTNESS
from engine.tree import FactValue
from store.bulk_arrow import BulkTransaction, Reader, arrow_schema, table_of
from store.columns import to_us
from store.snapshots import digest_of
from store.tables import DecisionRow

if TYPE_CHECKING:
    import pyarrow as pa

Rows = dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]
"""Table -> the names of its columns, and its rows."""


@dataclass(frozen=True, slots=True)
class LoanBefore:
    """What a loan was before a decision, as far as its rows need to know; `facts_json` by `facts_text`."""

    facts_json: str
    stage_entry: int
    episode: int
    episode_on: date | None
    periods: Mapping[str, str] = field(default_factory=dict)
    dpd: FactValue = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A loan's stage columns after a move."""

    stage: str
    stage_on: date
    stage_entry: int
    episode: int
    episode_on: date | None


def canonical_json(value: object) -> str:
    """
    The one spelling of a value: keys sorted, no spaces, texts as they are.

    Raises:
        TypeError: a name that is no text, or a whole number beyond 64 bits.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


class DecisionRows:
    """The rows of many decisions of one run, gathered column by column and written in one transaction."""

    def __init__(self, run_id: int, now: datetime, digests: Mapping[str, str]) -> None:
        self._run_id = run_id
        self._now_us = to_us(now)
        self._digests = digests
        self.rows: Rows = {}

    def add_loan(
        self,
        borrower: int,
        on: date,
        decided: LoanDecision,
        before: LoanBefore,
        *,
        after: Placed | None = None,
        leaves: Mapping[str, datetime] | None = None,
    ) -> None:
        """
        One loan's decision, with its contacts and its move.

        Args:
            after: the loan's stage columns after the move; given exactly when the stage changed.
            leaves: slot -> when the contact is due, where that is later than it may go.
        """
        self._add(
            "decision",
            run_id=self._run_id,
            loan_id=decided.loan,
            borrower_id=borrower,
            now_at=self._now_us,
            on_on=on,
            **columns_of(decided, self._digests),
            facts_json=before.facts_json,
            trace_json=trace_json(decided),
        )
        entry, periods = before.stage_entry, dict(before.periods)
        if after is not None:
            entry, periods["episode"] = after.stage_entry, str(after.episode)
            self._move(decided, on, after)
        for n, contact in enumerate(decided.contacts):
            at = (leaves or {}).get(contact.slot, contact.not_before)
            self._contact(contact, f"{self._run_id}-{decided.loan}-{n}", canonical_json(periods), entry, at)

    def _move(self, decided: LoanDecision, on: date, after: Placed) -> None:
        cause = next(move.rule for move in decided.moves if move.taken)
        self.add_move(decided.loan, decided.stage_before, on, after, cause=f"move:{cause}")

    def add_move(self, loan: int, source: str, on: date, after: Placed, *, cause: str, reason: str = "") -> None:
        """A loan's new stage with its history entry."""
        self._add(
            "stage_change",
            loan_id=loan,
            entry=after.stage_entry,
            source=source,
            target=after.stage,
            on_on=on,
            at=self._now_us,
            cause=cause,
            run_id=self._run_id,
            reason=reason,
        )
        self._add(
            "loan",
            id=loan,
            stage=after.stage,
            stage_on=after.stage_on,
            stage_entry=after.stage_entry,
            episode=after.episode,
            episode_on=after.episode_on,
        )

    def _contact(self, contact: PlannedContact, contact_id: str, period_json: str, entry: int, due: datetime) -> None:
        if contact.stage_entry != entry:
            raise AssertionError(f"contact {contact_id} is of stage entry {contact.stage_entry}, the loan of {entry}")
        at = to_us(due)
        self._add(
            "contact",
            id=contact_id,
            run_id=self._run_id,
            loan_id=contact.loan,
            person_id=contact.person,
            role=contact.role,
            endpoint_id=contact.endpoint,
            channel=contact.channel,
            direction="out",
            purpose=contact.purpose,
            rule=contact.rule,
            name=contact.name,
            queue=contact.queue,
            stage_entry=contact.stage_entry,
            slot=contact.slot,
            period_json=period_json,
            status="planned",
            outcome="",
            planned_at=self._now_us,
            not_before_at=at,
            expires_at=to_us(contact.expires),
            at=at,
            attempts=0,
            why="",
            misdirected=False,
            cost_minor=0,
            by="lender",
        )
        self._add(
            "contact_status",
            contact_id=contact_id,
            status="planned",
            at=self._now_us,
            why=f"rule {contact.rule}",
            detail_json="{}",
        )
        for loan in (contact.loan, *contact.covers):
            self._add("contact_loan", contact_id=contact_id, loan_id=loan)

    def _add(self, table: str, **values: object) -> None:
        gathered = self.rows.get(table)
        if gathered is None:
            gathered = self.rows[table] = (tuple(values), [])
        gathered[1].append(tuple(values.values()))

    def add_snapshot(self, borrowers: Collection[int], content: bytes) -> None:
        """What the decisions about these borrowers were made on, as `store.snapshots` packs it."""
        self._add(
            "snapshot",
            run_id=self._run_id,
            first_id=min(borrowers),
            last_id=max(borrowers),
            digest=digest_of(content),
            content=content,
        )

    def take(self, rows: Rows) -> None:
        """Add what was gathered elsewhere for the same run."""
        for table, (columns, more) in rows.items():
            self.rows.setdefault(table, (columns, []))[1].extend(more)

    def table(self, name: str) -> "pa.Table":
        """The rows gathered for a table so far."""
        import pyarrow as pa

        names, rows = self.rows[name]
        schema = arrow_schema(name, names)
        columns = (
            pa.array(values, column.type) for values, column in zip(zip(*rows, strict=True), schema, strict=True)
        )
        return pa.table(list(columns), schema=schema)

    def write(self, transaction: BulkTransaction) -> None:
        """Everything into the database, in the caller's transaction: each row after those it points to."""
        for name in ("snapshot", "decision", "contact", "contact_status", "contact_loan", "stage_change"):
            if name in self.rows:
                transaction.append(name, self.table(name))
        if "loan" in self.rows:
            transaction.update("loan", ("id",), self.table("loan"))


def columns_of(decided: LoanDecision, digests: Mapping[str, str]) -> dict[str, Any]:
    """
    What of a loan's decision stands in columns of its own, instants in microseconds.

    Args:
        digests: of the strategies that decided, by id.
    """
    return {
        "strategy": decided.strategy,
        "strategy_digest": digests.get(decided.strategy or ""),
        "arm": decided.arm,
        "stage_before": decided.stage_before,
        "stage_after": decided.stage_after,
        "outcome": decided.outcome,
        "rule": decided.rule,
        "covered_by": decided.covered_by,
        "next_look_at": to_us(decided.next_look) if decided.next_look else None,
        "reasons": " ".join(gate_rules(decided)),
    }


def gate_rules(decided: LoanDecision) -> list[str]:
    """The ids of every gate rule that had something against what this loan wanted, sorted."""
    verdicts = [move.verdict for move in decided.moves]
    acts = [act for candidate in decided.candidates for act in candidate.acts]
    acts += decided.by_hand.acts if decided.by_hand is not None else ()
    verdicts += [act.verdict for act in acts]
    reasons = {reason.rule for verdict in verdicts if verdict is not None for reason in verdict.reasons}
    return sorted(reasons | {reason.rule for act in acts for reason in act.delays})


def is_news(decided: LoanDecision, dpd: object) -> bool:
    """
    Whether a sweep writes a row for this loan.

    Every overdue loan gets one, whatever was decided; of the others those about which anything was asked.
    """
    overdue = type(dpd) is int and dpd > 0
    quiet = not decided.moves and not decided.candidates and decided.outcome in {"nothing", "no_strategy", "stale_feed"}
    return overdue or not quiet


def log(
    session: Session,
    *,
    loan: int | None = None,
    day: date | None = None,
    rule: str | None = None,
    verdict: str | None = None,
    outcome: str | None = None,
    limit: int = 100,
) -> Sequence[DecisionRow]:
    """
    Read the log, newest first.

    Args:
        day: the date of the decision at the borrower's place.
        rule: the strategy's rule that was chosen.
        verdict: allow, defer or deny: the gate answered that at least once; or the id of a gate rule
            that had something against it.
        outcome: as in `engine.decision.LoanOutcome`.
    """
    wanted = select(DecisionRow)
    for column, value in ((DecisionRow.loan_id, loan), (DecisionRow.on_on, day), (DecisionRow.rule, rule)):
        wanted = wanted.where(col(column) == value) if value is not None else wanted
    if outcome is not None:
        wanted = wanted.where(col(DecisionRow.outcome) == outcome)
    if verdict in STRICTNESS:
        answered = f'"verdict":{{"outcome":"{verdict}"'
        wanted = wanted.where(col(DecisionRow.trace_json).contains(answered, autoescape=True))
    elif verdict is not None:
        reasons = " " + col(DecisionRow.reasons) + " "
        wanted = wanted.where(reasons.contains(f" {verdict} ", autoescape=True))
    order = (col(DecisionRow.now_at).desc(), col(DecisionRow.run_id).desc(), col(DecisionRow.loan_id))
    return session.exec(wanted.order_by(*order).limit(limit)).all()


def put_off(
    source: Reader, listening: Collection[str], *, since: datetime, until: datetime
) -> dict[int, frozenset[str]]:
    """
    Contacts that an event called for and the gate put off for longer than the rule stays valid.

    Args:
        listening: the rules that listen to events, by all their names.
        since, until: of the decisions that were made about the events.
    Returns:
        loan id -> those rules, until a contact of theirs has been planned since.
    """
    if not listening:
        return {}
    decision, run, contact = table_of("decision"), table_of("run"), table_of("contact")
    late = select(decision.c.loan_id, decision.c.now_at, decision.c.trace_json).where(
        decision.c.run_id.in_(select(run.c.id).where(run.c.kind == "events", run.c.now_at >= since)),
        decision.c.now_at <= until,
        decision.c.trace_json.contains('"too_late"'),
    )
    waiting: dict[tuple[int, str], int] = {}
    for row in source.read(late).to_pylist():
        for candidate in orjson.loads(row["trace_json"])["candidates"]:
            if candidate["state"] == "too_late" and candidate["rule"] in listening:
                waiting[row["loan_id"], candidate["rule"]] = row["now_at"]
    if not waiting:
        return {}
    made = select(contact.c.loan_id, contact.c.rule, contact.c.planned_at).where(
        contact.c.loan_id.in_(sorted({loan for loan, _ in waiting})), contact.c.planned_at >= since
    )
    for row in source.read(made).to_pylist():
        if waiting.get((row["loan_id"], row["rule"]), row["planned_at"]) < row["planned_at"]:
            del waiting[row["loan_id"], row["rule"]]
    by_loan: dict[int, set[str]] = {}
    for loan, rule in waiting:
        by_loan.setdefault(loan, set()).add(rule)
    return {loan: frozenset(rules) for loan, rules in by_loan.items()}
