"""What a replay finds."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from engine.explain_tree import ExplainNode

TOLD_MAX: Final = 100
"""So many differences are told one by one; the rest are counted."""

Finding = Literal["different", "not_derivable"]


@dataclass(frozen=True, slots=True)
class Told:
    """
    One decision that did not come out the same.

    Attributes:
        tree: leads to the first difference; None where nothing could be derived, and `why` says why not.
    """

    run: int
    loan: int
    at: datetime
    finding: Finding
    why: str
    tree: ExplainNode | None = None


@dataclass(slots=True)
class Replayed:
    """
    How many decisions came out the same, and those that did not.

    Attributes:
        not_derivable: why -> how many.
        told: at most `TOLD_MAX` of each finding.
    """

    runs: int = 0
    equal: int = 0
    different: int = 0
    not_derivable: Counter[str] = field(default_factory=Counter)
    told: list[Told] = field(default_factory=list)

    @property
    def decisions(self) -> int:
        """How many were looked at."""
        return self.equal + self.different + self.not_derivable.total()

    def differs(self, run: int, loan: int, at: datetime, why: str, tree: ExplainNode | None) -> None:
        """One that came out differently; without a tree it is counted, and another one stands for it."""
        self.different += 1
        if tree is not None and sum(one.tree is not None for one in self.told) < TOLD_MAX:
            self.told.append(Told(run, loan, at, "different", why, tree))

    def unknown(self, run: int, loan: int, at: datetime, why: str) -> None:
        """One that cannot be derived."""
        self.not_derivable[why] += 1
        if self.not_derivable.total() <= TOLD_MAX:
            self.told.append(Told(run, loan, at, "not_derivable", why))
