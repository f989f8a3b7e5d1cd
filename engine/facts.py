"""What can be said about a loan: the fact catalogue's types. The catalogue itself is `catalogue.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.errors import Place
from engine.tree import FactValue

FactType = Literal["int", "money", "bool", "text"]
Direction = Literal["out", "in"]
By = Literal["person", "loan"]
Facts = Mapping[str, FactValue]


@dataclass(frozen=True, slots=True)
class Fact:
    """
    One named thing known about a loan.

    Attributes:
        unit: days, hours, count, percent, minor units; empty for bool and text.
        low, high: the range an int or money value may take, both included.
        values: the allowed texts; empty means any text.
        never: the value that stands for "this never happened" (the top of the range), or None.
        absent: in words, what a missing value means.
        supplier: who computes it: ledger, loan, person, contacts, promises, holds, notices, feeds,
            arms, stage, or `imported` where a lender's own feed brings it.
    """

    name: str
    type: FactType
    unit: str
    low: int | None
    high: int | None
    values: tuple[str, ...]
    never: int | None
    absent: str
    supplier: str
    meaning_en: str
    meaning_zh: str
    at: Place


@dataclass(frozen=True, slots=True)
class Counter:
    """
    A declared count over the contact log: how many contacts of some kind in a trailing window.

    Attributes:
        channels: which channels count; empty means every channel.
        outcomes: which outcomes count; empty means every contact that was handed over.
        direction: out (by the lender) or in (by the borrower).
        days: length of the window in calendar days at the borrower's place, today included.
        by: counted per person or per loan.
    """

    name: str
    channels: tuple[str, ...]
    outcomes: tuple[str, ...]
    direction: Direction
    days: int
    by: By


@dataclass(frozen=True, slots=True)
class Catalogue:
    """
    Every fact a condition may name, and the counters behind those that are counted.

    Attributes:
        added: text and name of each file that adds to the built-in facts, as it was written.
    """

    facts: Mapping[str, Fact]
    counters: Mapping[str, Counter]
    added: tuple[tuple[str, str], ...] = ()
