"""
What a finished run left behind, read with plain SQL: nothing here or in the checks beside it imports the product.

Instants are microseconds since 1970 UTC, as SQLite holds them; dates become `date`.
"""

import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.simulation.opener import opener

Row = dict[str, Any]

HOUR = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TABLES = (
    "person", "endpoint", "loan", "party", "instalment", "movement", "position", "account_snapshot", "consent", "hold",
    "notice", "promise", "run", "stage_change", "contact", "contact_loan", "contact_status", "duty",
)  # fmt: skip
_STAMPS = {
    "contact_status": "at", "consent": "received_at", "hold": "recorded_at", "duty": "recorded_at", "movement": "recorded_at",
    "promise": "made_at", "account_snapshot": "recorded_at", "stage_change": "at", "run": "known_at", "decision": "now_at",
}  # fmt: skip
"""By what a row is placed in time where no witness kept the order."""
_DEATHS = ("not_in_service", "wrong_number", "moved_away", "returned")
MADE = ("sending", "sent", "delivered", "failed", "unknown")
"""Statuses of a contact that has left us, or may have."""
DROPPED = ("cancelled", "expired")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not have happened: which invariant of DESIGN.md 11, about what, and what was seen."""

    invariant: str
    about: str
    seen: str

    def __str__(self) -> str:
        return f"[{self.invariant}] {self.about}: {self.seen}"


@dataclass(frozen=True, slots=True)
class Handed:
    """
    A message that a stand-in took.

    Attributes:
        committed: what the database said of its contact at that moment.
        ended: what the stand-in reported of it afterwards: delivered, failed; empty: nothing.
        at: when it was taken, by the clock of whoever handed it over; None: that clock stood still, or had just been set.
        arrives: when it reaches its addressee, by the same clock: the stand-in holds it for as long as it may, now and then.
        off_us: for how long whoever handed it over had worked on while sending was switched off; None: it was on.
    """

    contact: str
    channel: str
    to: str
    committed: str | None = None
    text: str = ""
    ended: str = ""
    at: int | None = None
    arrives: int | None = None
    off_us: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """
    What the world outside knows of a run in which things failed.

    Attributes:
        doubted: contacts of which somebody was told nothing for certain: a lost answer, a dead machine, a broken database.
        ended: when it ended, by a right clock; nothing has struck for days by then.
        apart: how far clocks were apart at most, in microseconds.
        share_max: what share of the book a sweep may plan contacts for before a person has to look.
    """

    doubted: frozenset[str]
    ended: int
    apart: int
    share_max: float = 1.0


@dataclass
class Records:
    """
    The finished database, what the stand-ins took, and what else the world outside knows.

    Attributes:
        switched: when the switch of all sending, or the brake, came to say what, in the order of everything.
        ended: when which run ended, in that order.
    """

    path: Path
    handed: Sequence[Handed] | None = None
    told: Told | None = None
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        self.connection.row_factory = sqlite3.Row
        for name in _TABLES:
            self.tables[name] = [_dated(row) for row in self.connection.execute(f'select * from "{name}"')]
        opened = opener(self.path)
        for table, column in (("person", "name"), ("endpoint", "value")):
            for row in self[table]:
                row[column] = opened(f"{table}.{column}", row[column])
        self.people = {row["id"]: row for row in self["person"]}
        self.loans = {row["id"]: row for row in self["loan"]}
        self.endpoints = {row["id"]: row for row in self["endpoint"]}
        self.contacts = {row["id"]: row for row in self["contact"]}
        self.statuses = {
            contact: _without_notes(sorted(rows, key=lambda row: row["id"]))
            for contact, rows in grouped(self["contact_status"], "contact_id").items()
        }
        self.changes = grouped(sorted(self["stage_change"], key=lambda row: row["entry"]), "loan_id")
        self.instalments = grouped(sorted(self["instalment"], key=lambda row: row["number"]), "loan_id")
        self.movements = grouped(sorted(self["movement"], key=lambda row: row["id"]), "loan_id")
        self.snapshots = grouped(sorted(self["account_snapshot"], key=lambda row: row["recorded_at"]), "loan_id")
        self.switched: list[tuple[int, str, str | None]] = []
        self.ended: list[tuple[int, int]] = []
        self.order, self._moves = self._witnessed()
        self.debts = defaultdict(set)
        for row in self["contact_loan"]:
            self.debts[row["contact_id"]].add(row["loan_id"])
        self._places = self._zones()

    def __getitem__(self, table: str) -> list[Row]:
        return self.tables[table]

    @property
    def outgoing(self) -> list[Row]:
        """The contacts that are ours; what others say to us is in the same table."""
        return [row for row in self["contact"] if row["direction"] == "out"]

    def decisions(self, columns: str) -> Iterator[Row]:
        """The decision log, one row at a time: its facts and traces are large."""
        for row in self.connection.execute(f"select {columns} from decision order by run_id, loan_id"):
            yield _dated(row)

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    @property
    def apart(self) -> int:
        """How far two stamps may be in the wrong order."""
        return self.told.apart if self.told is not None else 0

    def moment(self, table: str, row: Row) -> int:
        """When a row was committed: its place in the order of everything, where a witness kept that; else by its stamp."""
        key = f"{row['run_id']}-{row['loan_id']}" if table == "decision" else str(row["id"])
        return self.order.get((table, key), row[_STAMPS[table]])

    def last_moment(self, contact: Row) -> int:
        """When a contact was last offered or handed over; one that never was: when it was last written of."""
        rows = self.statuses.get(contact["id"], [])
        acts = [row for row in rows if row["status"] == "sending"] or rows
        return self.moment("contact_status", acts[-1]) if acts else contact["at"]

    def zones(self, person: int, at: int, moment: int | None = None) -> tuple[str, ...]:
        """
        Every zone the person may have been in: declared, or told by a number that was not known to be dead.

        Args:
            moment: as of when what is declared is asked; None: now.
        """
        declared, told = self._places[person]
        for moved, before, after in self._moves.get(person, ()) if moment is not None else ():
            declared = after if moved < moment else declared
            if moved > moment:
                declared = before
                break
        return tuple(sorted({*declared, *(zone for zone, died in told if died is None or at <= died)}))

    def on(self, person: int, at: int, moment: int | None = None) -> date:
        """Today where the person is: the earliest of the dates it may be there."""
        return min(local(at, zone).date() for zone in self.zones(person, at, moment))

    def acts(self, contact: str, *statuses: str) -> list[tuple[int, int]]:
        """When the contact came to one of these statuses, by its stamp, and its moment."""
        rows = (row for row in self.statuses.get(contact, ()) if row["status"] in statuses)
        return [(row["at"], self.moment("contact_status", row)) for row in rows]

    def times(self, contact: str, *statuses: str) -> list[int]:
        """When the contact came to one of these statuses."""
        return [row["at"] for row in self.statuses.get(contact, ()) if row["status"] in statuses]

    def _witnessed(self) -> tuple[dict[tuple[str, str], int], dict[int, list[tuple[int, list[str], list[str]]]]]:
        """The order in which rows were committed, and who moved when from where to where; both empty without a witness."""
        order: dict[tuple[str, str], int] = {}
        moves: defaultdict[int, list[tuple[int, list[str], list[str]]]] = defaultdict(list)
        try:
            rows = self.connection.execute(
                "select id, kind, key, before, after from witness_order order by id"
            ).fetchall()
        except sqlite3.OperationalError:
            return order, moves
        for place, kind, key, before, after in rows:
            # Apart from every stamp, which all are far greater.
            order[kind, key] = place
            if kind in ("sending", "brake"):
                self.switched.append((place, kind, after))
            elif kind == "run done":
                self.ended.append((place, int(key)))
            if kind == "zones":
                moves[int(key)].append((place, before.split(), after.split()))
        return order, moves

    def _zones(self) -> dict[int, tuple[list[str], list[tuple[str, int | None]]]]:
        died: dict[int, int] = {}
        for contact in self["contact"]:
            if contact["endpoint_id"] is not None and (contact["status"] == "failed" or contact["outcome"] in _DEATHS):
                when = max(self.times(contact["id"], "failed", "delivered"), default=contact["at"])
                died[contact["endpoint_id"]] = min(when, died.get(contact["endpoint_id"], when))
        places: dict[int, tuple[list[str], list[tuple[str, int | None]]]] = {
            row["id"]: (row["zones"].split(), []) for row in self["person"]
        }
        for row in self["endpoint"]:
            # One that is invalid without a failure of ours was never a sign of where somebody is.
            if row["zone"] and (row["valid"] or row["id"] in died):
                places[row["person_id"]][1].append((row["zone"], None if row["valid"] else died[row["id"]]))
        return places


def is_message(contact: Row) -> bool:
    """Whether a provider takes it: a message, or a call in which a recording speaks, which waits in nobody's queue."""
    recorded = contact["channel"] == "call" and contact["rule"] is not None and contact["queue"] is None
    return contact["channel"] in ("sms", "email") or recorded


def local(at: int, zone: str) -> datetime:
    """The wall clock there at that instant."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(_zone(zone))


def stamp(at: int) -> str:
    """An instant for a message."""
    return f"{_EPOCH + timedelta(microseconds=at):%Y-%m-%d %H:%M}Z"


def grouped(rows: Iterable[Row], by: str) -> dict[Any, list[Row]]:
    """Rows by the value of one column, in their order."""
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[by]].append(row)
    return dict(groups)


def before(rows: Sequence[Row], column: str, at: int) -> Sequence[Row]:
    """Those of the rows, sorted by an instant column, that were there strictly before an instant."""
    return rows[: bisect_left(rows, at, key=lambda row: row[column])]


def _dated(row: sqlite3.Row) -> Row:
    return {
        name: date.fromisoformat(value) if name.endswith("_on") and isinstance(value, str) else value
        for name, value in zip(row.keys(), row, strict=True)
    }


@lru_cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _without_notes(rows: list[Row]) -> list[Row]:
    """
    A history without what was noted while a message was under way, as a key that is pressed before we know of the call.

    `sending` a second time with a look of its own would be a second message.
    """
    return [
        row
        for before, row in zip([None, *rows], rows, strict=False)
        if before is None or {before["status"], row["status"]} != {"sending"} or '"look"' in row["detail_json"]
    ]
