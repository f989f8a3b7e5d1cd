"""What strikes, how often, and what an error of the database looks like."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Self

_HEAT: Final[Mapping[str, float]] = {
    "statement": 1,
    "commit": 2,
    "committed": 3,
    "send": 4,
    "taken": 4,
    "find": 3,
    "word": 1,
}
"""How much likelier trouble is where it hurts most."""
_IN_HAND_HEAT: Final = 12
"""The same for a machine that has claimed something, or is sending it."""
_INTRUDERS: Final = (
    ("dispatch", 5), ("pays", 3), ("opts out", 2), ("disputes", 2), ("moves", 2), ("texts stop", 2), ("reports", 2),
    ("inbox", 3), ("events", 1), ("reconcile", 2), ("promises", 1), ("texts start", 1), ("wavers", 1), ("tells an agent", 2),
    ("a bank's file", 2), ("switch", 3), ("somebody looks", 1),
)  # fmt: skip
_ERRORS: Final = (
    (sqlite3.SQLITE_BUSY, "database is locked"),
    (sqlite3.SQLITE_IOERR, "disk I/O error"),
    (sqlite3.SQLITE_FULL, "database or disk is full"),
)


@dataclass(frozen=True, slots=True)
class Weather:
    """
    How rough a run is.

    Attributes:
        kill, error, clock, intruder: how likely each is at an ordinary statement.
        providers: how much of the carrier's usual trouble there is, 0 to 1.
        late: how likely it is that messages leave just before hours end instead of when they usually do.
        share_max: what share of the book a sweep may plan contacts for before a person has to look.
    """

    kill: float
    error: float
    clock: float
    intruder: float
    providers: float = 1.0
    late: float = 0.0
    share_max: float = 1.0

    @classmethod
    def of(cls, seed: int) -> Self:
        """A weather of its own for each seed: some are calm in one thing and rough in another."""
        chance = Random(f"{seed}:weather")

        def rough() -> float:
            return chance.choice((0, 0.3, 1, 1, 2))

        return cls(
            rough() / 2000, rough() / 2500, rough() / 2500, rough() / 600, min(1.0, rough()), min(1.0, rough() / 3),
            chance.choice((1.0, 1.0, 0.4, 0.2)),
        )  # fmt: skip

    def at(self, where: str, job: str, chance: Random, *, in_hand: bool) -> str:
        """What happens at a place of a machine that does a job: kill, error, clock, intruder; or nothing, as a rule."""
        drawn = chance.random() / _HEAT[where] / (_IN_HAND_HEAT if in_hand else 1)
        for name, rate in (
            ("kill", self.kill),
            ("clock", self.clock),
            ("intruder", self.intruder),
            ("error", self.error),
        ):
            # Whoever talks with somebody has looked; what comes meanwhile comes too late.
            if name == "intruder" and job == "work":
                continue
            # The database errs where it is asked, and may do what it was asked and lose the answer.
            if name == "error" and where not in ("statement", "commit", "committed"):
                continue
            if drawn < rate:
                return name
            drawn -= rate
        return ""

    def who_comes(self, chance: Random) -> str:
        """Who comes in between."""
        return chance.choices([name for name, _ in _INTRUDERS], [weight for _, weight in _INTRUDERS])[0]


def broken(chance: Random) -> sqlite3.OperationalError:
    """What the driver raises when the database fails."""
    code, words = chance.choice(_ERRORS)
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error
