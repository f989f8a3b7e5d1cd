"""
How a book lies in Parquet files, ready to be decided.

    about.json        the moment, who we are, the seats that are taken: what holds for the whole book
    facts/*.parquet   a row a loan: loan_id, borrower_id, on_on (today at the borrower's place), a column for every fact
    people/*.parquet  a row a borrower: borrower_id, and for each table of PEOPLE_TABLES a list of its rows, of the
                      borrower, of their loans, and of whoever stands in a role for one of these
    retry/*.parquet   loan_id, rule: contacts that an event called for and the gate put off

Values are as the tables have them: instants as microseconds since 1970 UTC, money in minor units, dates as dates. No names,
numbers or addresses are in it. Whoever writes such files some other way keeps to the columns and types; how many files
there are, and which borrowers share one, is free.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from engine.errors import DataError, Problem
from engine.facts import Catalogue
from workflows.deciding.allotment import Seats

FORMAT: Final = 1
KEYS: Final = ("loan_id", "borrower_id", "on_on")

PEOPLE_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "loan": ("id",),
    "person": ("id",),
    "endpoint": ("id",),
    "party": ("loan_id", "person_id", "role"),
    "position": ("loan_id",),
    "account_snapshot": ("id",),
    "consent": ("id",),
    "hold": ("id",),
    "notice": ("id",),
    "promise": ("id",),
    "contact": ("id",),
    "contact_loan": ("contact_id", "loan_id"),
}
"""Table -> what tells its rows apart: a guarantor of two borrowers is in the rows of both."""

_TYPES: Final = {"int": "int64", "money": "int64", "bool": "bool", "text": "string"}


@dataclass(frozen=True, slots=True)
class About:
    """
    What holds for the whole book.

    Attributes:
        now: the instant it was exported for, and is decided for.
        actor, zone: whose contacts these are, and where the lender works.
        loans: how many there are.
        seats: what contacts planned before fill of the queues with a capacity.
    """

    now: datetime
    actor: str
    zone: str
    loans: int
    seats: Seats

    def write(self, folder: Path) -> None:
        """Say it; written last, so that what was broken off halfway is not taken for a book."""
        seats = [{"queue": queue, "day": day.isoformat(), "taken": taken} for (queue, day), taken in self.seats.items()]
        document = {
            "format": FORMAT, "now": self.now.isoformat(), "actor": self.actor, "zone": self.zone, "loans": self.loans,
            "seats": sorted(seats, key=lambda seat: (seat["queue"], seat["day"])),
        }  # fmt: skip
        (folder / "about.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_about(folder: Path) -> About:
    """
    What `About.write` said.

    Raises:
        DataError: it is not there, or not of this format.
    """
    mend = "write one with `duecourse sweep --export PATH`"
    try:
        said = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise DataError(Problem(f"`{folder}` is of format {said['format']}, and this version reads {FORMAT}", mend))
        seats = {(seat["queue"], date.fromisoformat(seat["day"])): int(seat["taken"]) for seat in said["seats"]}
        return About(_aware(said["now"]), str(said["actor"]), str(said["zone"]), int(said["loans"]), seats)
    except OSError:
        raise DataError(Problem(f"there is no whole book in `{folder}`: `about.json` is missing", mend)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(Problem(f"`{folder / 'about.json'}` is not one of ours: {error!r}", mend)) from None


def _aware(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at


def check_facts(folder: Path, catalogue: Catalogue) -> None:
    """
    Compare the facts in the files with the catalogue that the rules are written against.

    Raises:
        DataError: every fact that is missing or of another type, at once.
    """
    import pyarrow.parquet as pq

    files = sorted((folder / "facts").glob("*.parquet"))
    if not files:
        raise DataError(Problem(f"`{folder / 'facts'}` holds no Parquet file", "export the book again"))
    there: dict[str, Any] = {field.name: str(field.type) for field in pq.read_schema(files[0])}
    problems = []
    for fact in catalogue.facts.values():
        wanted, found = _TYPES[fact.type], there.get(fact.name)
        if found != wanted:
            what = f"fact `{fact.name}` is {f'of type {found}' if found else 'missing'} in `{folder}`"
            problems.append(Problem(what, f"export the book again: the rules want it as {wanted}"))
    if problems:
        raise DataError(problems)


def files(folder: Path, part: str) -> list[str]:
    """The Parquet files of a part, in order."""
    return [str(path) for path in sorted((folder / part).glob("*.parquet"))]
