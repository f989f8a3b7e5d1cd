"""What a replay is asked for, and what it finds."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select

from engine.explain_tree import ExplainNode
from store.columns import from_us, to_us

TOLD_MAX: Final = 100
"""So many differences are told one by one; the rest are counted."""

Finding = Literal["different", "not_derivable"]
Subject = Literal["decision", "second look", "stage change"]


def instant_of(us: int) -> datetime | None:
    """The instant that a row says, in microseconds; None where no calendar has it: somebody else wrote it."""
    try:
        return from_us(us)
    except OverflowError:
        return None


def odd(what: str, error: Exception) -> str:
    """
    Why something cannot be derived, for a reason that nobody has thought of: what was kept is odd, or we err.

    The type is said, so that an error of ours is not taken for one of the evidence.
    """
    return f"{what} cannot be worked with ({type(error).__name__})"


@dataclass(frozen=True, slots=True)
class Chosen:
    """
    What is derived again; None is all.

    Attributes:
        since, until: instants between which it was made, both included.
    """

    run: int | None = None
    loan: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def whole(self) -> bool:
        """Whether everything there is of a loan was asked for."""
        return self.run is None and self.since is None and self.until is None

    def wants(self, run: int | None, at: int) -> bool:
        """Whether what a run did at an instant, in microseconds, was asked for; of which loan it is was asked before."""
        since, until = (to_us(each) if each is not None else None for each in (self.since, self.until))
        return self.run in (None, run) and (since is None or at >= since) and (until is None or at <= until)

    def narrowed(self, statement: Select[Any], run: ColumnElement[Any] | None, at: ColumnElement[Any]) -> Select[Any]:
        """The same of rows, by the columns that say so; a run of None is asked of each row by whoever reads it."""
        if self.run is not None and run is not None:
            statement = statement.where(run == self.run)
        if self.since is not None:
            statement = statement.where(at >= self.since)
        return statement.where(at <= self.until) if self.until is not None else statement


@dataclass(frozen=True, slots=True)
class About:
    """
    What was derived again.

    Attributes:
        run: None of what no run did. at: None of where a loan stands now, and where what stands there is no instant.
        name: the contact of a second look, the number of a stage change; empty of a decision.
    """

    run: int | None
    loan: int
    at: datetime | None
    subject: Subject = "decision"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """
    One thing that did not come out the same.

    Attributes:
        tree: leads to the first difference; None where nothing could be derived, and `why` says why not.
    """

    about: About
    finding: Finding
    why: str
    tree: ExplainNode | None = None


@dataclass(slots=True)
class Count:
    """How many of one subject came out the same, how many did not, and why others cannot be derived -> how many."""

    equal: int = 0
    different: int = 0
    not_derivable: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many were looked at."""
        return self.equal + self.different + self.not_derivable.total()


@dataclass(slots=True)
class Replayed:
    """
    What came out the same, and what did not.

    Attributes:
        runs: that decided; rounds: of second looks.
        told: at most `TOLD_MAX` of each finding.
    """

    runs: int = 0
    rounds: int = 0
    of: dict[Subject, Count] = field(
        default_factory=lambda: {"decision": Count(), "second look": Count(), "stage change": Count()}
    )
    told: list[Told] = field(default_factory=list)

    @property
    def total(self) -> Count:
        """Everything together."""
        every = list(self.of.values())
        reasons = sum((one.not_derivable for one in every), Counter[str]())
        return Count(sum(one.equal for one in every), sum(one.different for one in every), reasons)

    def same(self, subject: Subject = "decision") -> None:
        """One that came out as it was logged."""
        self.of[subject].equal += 1

    def differs(self, about: About, why: str, tree: ExplainNode | None) -> None:
        """One that came out differently; without a tree it is counted, and another one stands for it."""
        self.of[about.subject].different += 1
        if tree is not None and sum(one.tree is not None for one in self.told) < TOLD_MAX:
            self.told.append(Told(about, "different", why, tree))

    def unknown(self, about: About, why: str) -> None:
        """One that cannot be derived."""
        self.of[about.subject].not_derivable[why] += 1
        if self.total.not_derivable.total() <= TOLD_MAX:
            self.told.append(Told(about, "not_derivable", why))
