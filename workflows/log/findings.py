"""What verification finds, and reading on past what cannot be read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from store import log

T = TypeVar("T")

FINDINGS_MAX: Final = 1_000
"""So many findings are told one by one; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was: what kind of thing, and where."""

    what: str
    place: str

    def __str__(self) -> str:
        return f"{self.what}: {self.place}"


@dataclass(slots=True)
class Verified:
    """
    What verification found.

    Attributes:
        size: how many entries the log holds.
        signed: how many of them a good checkpoint covers.
        waiting: rows that have no position yet: nothing vouches for them.
        findings: what is not as it was, at most `FINDINGS_MAX` of them; `more` counts the rest.
        unknown: why some of it cannot be told.
        told: what is no fault and not proved either: who cannot be asked, what earlier versions did not say enough of.
    """

    size: int = 0
    signed: int = 0
    waiting: int = 0
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    unknown: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def find(self, what: str, place: str) -> None:
        """Add a finding."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(what, place))
        else:
            self.more += 1


def salvaged(read: Callable[[int, int], list[T]], start: int, end: int, lost: Callable[[int], None]) -> list[T]:
    """What a range of numbers holds, without those that cannot be read: each of these is told."""
    try:
        return read(start, end)
    except Exception as error:
        if not log.unreadable(error):
            raise
    if end - start == 1:
        lost(start)
        return []
    middle = (start + end) // 2
    return [*salvaged(read, start, middle, lost), *salvaged(read, middle, end, lost)]
