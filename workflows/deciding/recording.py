"""
From decisions to the rows of one transaction: the log entry, the contacts, the move, all or nothing.

A person whose version moved between the reading and the writing was decided on facts that are no longer true:
`moved_meanwhile` names the borrowers concerned, under lock, and whoever calls decides them again before anything is committed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache

from sqlalchemy import select

from engine.decision import Decision, LoanDecision
from engine.gate import Ask, Gate, Source, Verdict
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Loan, Person, Situation
from engine.stages import Stage
from engine.strategy import Strategy
from engine.tree import FactValue
from store.bulk_arrow import Reader, table_of
from store.db import Database
from store.decisions import DecisionRows, LoanBefore, Placed, Rows, gate_rules, is_news
from workflows.alerts import unknown_rules
from workflows.deciding.machine import episode_after, refuse_illegal
from workflows.deciding.matching import Quiet
from workflows.deciding.run import Frozen


@dataclass(frozen=True, slots=True)
class Recorded:
    """The rows of some borrowers, and what they count as; travels between processes."""

    rows: Rows
    counts: Counter[str]


class Recorder:
    """Gathers the rows of one transaction of a run, and counts what they hold."""

    def __init__(self, frozen: Frozen, *, all_loans: bool = False) -> None:
        self.rows = DecisionRows(frozen.id, frozen.now, frozen.strategies)
        self.counts: Counter[str] = Counter()
        self._all_loans = all_loans

    def add(
        self, decision: Decision, before: Mapping[int, LoanBefore], leaves: Mapping[str, datetime] | None = None
    ) -> None:
        """
        One borrower's decision. Loans that are neither overdue nor asked about leave no row in a sweep.

        Args:
            leaves: slot -> when a contact is due, where that is later than it may go.
        """
        refuse_illegal(decision.loans)
        news = [loan for loan in decision.loans if self._all_loans or is_news(loan, before[loan.loan].dpd)]
        for decided in news:
            was = before[decided.loan]
            after = placed(was, decided, decision.on) if decided.stage_after != decided.stage_before else None
            self.rows.add_loan(decision.borrower, decision.on, decided, was, after=after, leaves=leaves)
            self._count(decided)
        self.counts["borrowers"] += bool(news)

    def add_quiet(self, quiet: Quiet, decided: LoanDecision) -> None:
        """An overdue loan about which there was nothing to decide: it is logged all the same."""
        self.rows.add_loan(quiet.borrower, quiet.on, decided, LoanBefore(quiet.facts_json, 0, 0, None))
        self._count(decided)

    def recorded(self) -> Recorded:
        """What was gathered so far, for another recorder of the same run to take."""
        return Recorded(self.rows.rows, self.counts)

    def take(self, recorded: Recorded) -> None:
        """Add what another recorder of the same run gathered."""
        self.rows.take(recorded.rows)
        self.counts += recorded.counts

    def _count(self, decided: LoanDecision) -> None:
        self.counts["decisions"] += 1
        self.counts[f"outcome.{decided.outcome}"] += 1
        self.counts["moves"] += decided.stage_after != decided.stage_before
        self.counts.update(unknown_rules(gate_rules(decided)))
        for contact in decided.contacts:
            self.counts["contacts"] += 1
            self.counts[f"contacts.{contact.channel}"] += 1


def placed(before: LoanBefore, decided: LoanDecision, on: date) -> Placed:
    """The stage columns of a loan that moves."""
    source, target = decided.stage_before, decided.stage_after
    episode, episode_on = episode_after(source, target, before.episode, before.episode_on, on)
    return Placed(target, on, before.stage_entry + 1, episode, episode_on)


def locked_versions(database: Database, transaction: Reader, people: Iterable[int]) -> dict[int, int]:
    """
    Lock these people until the transaction ends; person id -> version as it is now.

    Locked in id order, as dispatch does. SQLite needs no row locks: a write transaction there is alone.
    """
    person = table_of("person")
    wanted = select(person.c.id, person.c.version).where(person.c.id.in_(sorted(set(people)))).order_by(person.c.id)
    if database.dialect == "postgresql":
        wanted = wanted.with_for_update()
    rows = transaction.read(wanted)
    return dict(zip(rows["id"].to_pylist(), rows["version"].to_pylist(), strict=True))


def moved_meanwhile(
    database: Database,
    transaction: Reader,
    concerned: Mapping[int, Iterable[int]],
    versions: Mapping[int, int],
) -> list[int]:
    """
    The borrowers around whom somebody changed since they were read, in id order, all of them locked.

    Args:
        concerned: borrower id -> everybody whose version their decision depends on.
        versions: as they were read.
    """
    now = locked_versions(database, transaction, {person for people in concerned.values() for person in people})
    changed = {person for person, version in now.items() if versions.get(person) != version}
    return sorted(borrower for borrower, people in concerned.items() if changed.intersection(people))


class QuietDecider:
    """
    What the engine says of a loan that nothing matches: asked once per kind of loan, by the engine itself.

    Such an answer depends on nothing but the strategy, the stage, the arm and the age of the feed.
    """

    def __init__(self, rulebook: Rulebook, now: datetime) -> None:
        @cache
        def answer(strategy: str | None, stage: Stage, arm: str | None, feed_age: int | None) -> LoanDecision:
            facts: dict[str, FactValue] = {"stage": stage}
            facts |= {name: value for name, value in (("arm", arm), ("feed_age", feed_age)) if value is not None}
            nobody = Person(0, (), (), "")
            situation = Situation(nobody, (Loan(0, "", stage, 0, facts),), {}, now.date())
            return decide(situation, rulebook, _Unasked(), now, _Nothing(strategy)).loans[0]

        self._answer = answer

    def __call__(self, quiet: Quiet) -> LoanDecision:
        """The decision about one quiet loan."""
        return replace(self._answer(quiet.strategy, quiet.stage, quiet.arm, quiet.feed_age), loan=quiet.loan)


class _Nothing:
    """A matcher for a loan that no move and no rule matches."""

    def __init__(self, strategy: str | None) -> None:
        self._strategies = (strategy,) if strategy is not None else ()

    def strategies(self, loan: Loan) -> tuple[str, ...]:  # noqa: ARG002
        return self._strategies

    def moves(self, strategy: Strategy, loan: Loan) -> frozenset[str]:  # noqa: ARG002
        return frozenset()

    def rules(
        self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]  # noqa: ARG002
    ) -> frozenset[str]:  # fmt: skip
        return frozenset()


class _Unasked(Gate):
    """A gate that must not be asked: where nothing matches there is nothing to ask about."""

    @property
    def digest(self) -> str:
        return ""

    @property
    def sources(self) -> tuple[Source, ...]:
        return ()

    def check(self, ask: Ask, now: datetime) -> Verdict:
        raise AssertionError(f"the gate was asked at {now} about a loan that nothing matches: {ask}")
