"""What an engine of `benchmarks.matching` is, and the sixty rules as several expression languages write them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from benchmarks.sixty import Row, Test, Tests, literals, nullable
from engine.tree import Leaf


class Peer(ABC):
    """
    One engine with the rules in it, which is asked about one loan after the other.

    Attributes:
        name: how the table calls it.
        module: what must be installed for it.
        loans: how many loans it is timed on, at most: the slow ones are scaled.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    loans: ClassVar[int]

    @abstractmethod
    def __init__(self, tests: Tests) -> None:
        """Make the rules ready."""

    @abstractmethod
    def first(self, row: Row) -> int:
        """The number of the first rule that is true of a loan, or NOBODY."""

    def answers(self, rows: Sequence[Row]) -> list[int]:
        """The same of many."""
        first = self.first
        return [first(row) for row in rows]


def joined(test: Test, word: str) -> str:
    """A rule in one of the languages that look alike."""
    parts = []
    for leaf in test.leaves:
        known = [f"{leaf.fact} != null"] if nullable(leaf) else []
        parts += [*known, comparison(leaf, leaf.fact, equal="==", both=word, no="!" if word == " && " else "not ")]
    return word.join(parts)


def comparison(leaf: Leaf, fact: str, *, equal: str, both: str = " and ", no: str = "not ") -> str:
    """One comparison in them."""
    values = literals(leaf)
    match leaf.op:
        case "between":
            return f"{fact} >= {values[0]}{both}{fact} <= {values[1]}"
        case "in" | "not in":
            among = f"{fact} in [{', '.join(values)}]"
            return among if leaf.op == "in" else f"{no}({among})"
        case op:
            return f"{fact} {equal if op == '=' else op} {values[0]}"
