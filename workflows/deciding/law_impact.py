"""
What the same book would hear under the law of one date and under that of another.

The book is planned twice at one moment, with nothing else changed, and nothing is written.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from engine.decision import ActJudged, Decision, LoanDecision
from engine.gate import Reason
from engine.situation import Situation


@dataclass(slots=True)
class Heard:
    """
    What a planned sweep would do, as the gate answered.

    Attributes:
        channels: (channel, `go`, `wait` or `withheld`) -> contacts. `go`: planned, for now; `wait`: planned for later, or
            put off to a later sweep; `withheld`: refused.
        rules: rule of a pack -> contacts and stage moves that it put off or refused.
        loans: loan id -> its ref and its answer, in words that can be compared.
    """

    now: datetime
    channels: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    loans: dict[int, tuple[str, str]] = field(default_factory=dict)

    def see(self, decision: Decision, situation: Situation) -> None:
        """Count one borrower's decision."""
        refs = {loan.id: loan.ref for loan in situation.loans}
        for loan in decision.loans:
            self._count(loan)
            self.loans[loan.loan] = (refs[loan.loan], _answer(loan))

    def _count(self, loan: LoanDecision) -> None:
        for contact in loan.contacts:
            self.channels[contact.channel, "go" if contact.not_before <= self.now else "wait"] += 1
        planned = {(contact.rule, contact.channel, contact.person) for contact in loan.contacts}
        for candidate in loan.candidates:
            for act in candidate.acts:
                if (candidate.rule, act.channel, act.person) not in planned and act.verdict is not None:
                    if act.verdict.outcome == "deny":
                        self.channels[act.channel, "withheld"] += 1
                    elif act.later is not None:
                        self.channels[act.channel, "wait"] += 1
                self.rules.update({reason.rule for reason in _against(act)})
        for move in loan.moves:
            if move.verdict is not None:
                self.rules.update({reason.rule for reason in move.verdict.reasons})


def changed_loans(before: Heard, after: Heard) -> Iterator[tuple[str, str, str]]:
    """Loans that get another answer: ref, the one before, the one after; by ref."""
    nothing = ("", "nothing")
    found = []
    for loan in before.loans.keys() | after.loans.keys():
        (ref, was), (other_ref, becomes) = before.loans.get(loan, nothing), after.loans.get(loan, nothing)
        if was != becomes:
            found.append((ref or other_ref, was, becomes))
    yield from sorted(found)


def _against(act: ActJudged) -> Iterator[Reason]:
    yield from act.delays
    if act.verdict is not None:
        yield from act.verdict.reasons


def _answer(loan: LoanDecision) -> str:
    """What is decided for a loan, in a line."""
    parts = [f"to {loan.stage_after}"] if loan.stage_after != loan.stage_before else []
    parts += [f"{contact.rule} by {contact.channel} at {_clock(contact.not_before)}" for contact in loan.contacts]
    if not loan.contacts:
        parts.append(loan.outcome if loan.next_look is None else f"{loan.outcome} until {_clock(loan.next_look)}")
    return ", ".join(parts)


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
