"""What every refusal says: where, what is wrong, and the mend."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A spot in a file somebody edits; line and column count from 1, 0 means "the file as a whole"."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and how to mend it. Lower case, no full stop, user text in backticks."""

    what: str
    mend: str
    at: Place | None = None

    def __str__(self) -> str:
        where = f"{self.at}: " if self.at else ""
        return f"{where}{self.what}\n  mend: {self.mend}"


class DuecourseError(Exception):
    """
    Something a user can mend. Anything raised that is not a DuecourseError is a bug.

    Carries every problem found, not only the first, so that a file is mended in one go.
    """

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[Problem, ...]]]:
        """From its problems, not from its text: it may come from another process."""
        return type(self), (self.problems,)


class RuleError(DuecourseError):
    """A rule file, pack, template or catalogue does not mean anything yet."""


class DataError(DuecourseError):
    """A file or row handed in is not what it says it is."""


class StoreError(DuecourseError):
    """The database is locked, full, older, newer or out of reach."""


class ProofError(StoreError):
    """
    The log gives no proof of what was asked for.

    Attributes:
        unknown: it may stand as it was signed, and nothing at hand tells. False: it does not.
    """

    def __init__(self, problems: Problem | Iterable[Problem], *, unknown: bool = False) -> None:
        self.unknown = unknown
        super().__init__(problems)


class SettingsError(DuecourseError):
    """How Duecourse is told to run does not hold together."""


def unknown_name(kind: str, name: str, known: Iterable[str], *, at: Place | None, otherwise: str) -> Problem:
    """
    A name nobody declared, with the nearest declared one as the mend.

    Args:
        kind: what the name should have been, e.g. `fact`.
        otherwise: the mend when nothing is near, e.g. "declare it in rules/facts.yaml".
    """
    names = list(known)
    # Whoever writes `days_past_due` means `dpd`.
    short = "".join(word[:1] for word in name.split("_"))
    near = [short] if len(short) > 1 and short in names else get_close_matches(name, names, n=1)
    return Problem(f"unknown {kind} `{name}`", f"write `{near[0]}`" if near else otherwise, at)
