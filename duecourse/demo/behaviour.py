"""
How the simulated borrowers behave. A small model of our own, not data about people: every number is stated here.

Each borrower has a temper, drawn once from the seed. A temper says how likely they are to pay on a due date,
to pay on an ordinary day while behind, and how much a message or a talk yesterday adds to that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final


@dataclass(frozen=True, slots=True)
class Temper:
    """
    One kind of borrower.

    Attributes:
        share: of 100 borrowers.
        on_time: probability of paying an instalment on its due date.
        daily: probability of paying on a day while behind.
        after_message, after_talk: added to `daily` on the day after a message arrived, or a talk.
        keeps: probability of keeping a promise.
        whole: probability that a payment covers everything overdue; otherwise it covers 30 to 80 % of it.
    """

    name: str
    share: int
    on_time: float
    daily: float
    after_message: float
    after_talk: float
    keeps: float
    whole: float


TEMPERS: Final = (
    Temper("forgetful", 45, 0.90, 0.05, 0.22, 0.35, 0.85, 0.90),
    Temper("stretched", 35, 0.70, 0.02, 0.06, 0.16, 0.60, 0.45),
    Temper("avoiding", 20, 0.45, 0.006, 0.015, 0.05, 0.30, 0.50),
)
BOUNCES: Final = 0.03
"""Share of payments that the bank takes back two days later."""

CALLS: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "forgetful": (("no_answer", 45), ("voicemail", 12), ("conversation", 20), ("promise", 22), ("wrong_number", 1)),
    "stretched": (("no_answer", 50), ("voicemail", 12), ("conversation", 18), ("promise", 17), ("dispute", 2), ("not_in_service", 1)),
    "avoiding": (("no_answer", 68), ("busy", 8), ("voicemail", 12), ("conversation", 4), ("refused", 5), ("promise", 3)),
}  # fmt: skip
VISITS: Final = (("nobody_met", 45), ("met", 25), ("promise", 20), ("refused", 6), ("moved_away", 4))
LETTERS: Final = (("posted", 97), ("returned", 3))
FILINGS: Final = (("filed", 100),)
TASKS_WORKED: Final = 0.9
"""Share of waiting tasks that agents get to in a round of work."""
REVIEWED: Final = 0.5
"""Share of the holds whose day of review presses that their owners look at in a day."""

COST_MINOR: Final[Mapping[str, Mapping[str, int]]] = {
    "CNY": {"sms": 5, "email": 1, "call": 350, "letter": 600, "visit": 12_000, "legal": 80_000},
    "USD": {"sms": 1, "email": 0, "call": 180, "letter": 95, "visit": 4_500, "legal": 22_000},
}
"""What one contact costs, in minor units of the loan's currency."""


def temper_of(seed: int, borrower: str) -> Temper:
    """The borrower's temper: the same for the same seed."""
    drawn = Random(f"{seed}:temper:{borrower}").random() * 100
    for temper in TEMPERS:
        drawn -= temper.share
        if drawn < 0:
            return temper
    return TEMPERS[-1]


def pick(chance: Random, weighted: Sequence[tuple[str, int]]) -> str:
    """One of the outcomes, by weight."""
    return chance.choices([name for name, _ in weighted], [weight for _, weight in weighted])[0]
