"""What a case says of days: the duties that its setup starts, when its notices are in force, how long its records are kept."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from compliance.case_row import CaseRow, instant
from compliance.dated import RECORDS, Records
from compliance.duties import Record, duties, fulfilled
from compliance.pack import Pack
from compliance.pack_dates import Life, Matter, PackDates

EXPECT_KEYS: Final = ("duties", "in_force", "kept")
_NAMES: Final[dict[str, Records]] = {name: name for name in RECORDS}


class DatedCase:
    """
    The days of one case: what it expects, and what some packs make of its setup.

    Args:
        places, zones: where the person is.
    """

    def __init__(self, setup: CaseRow, expect: CaseRow, actor: str, places: tuple[str, ...], zones: list[str]) -> None:
        self._actor, self._places, self._zones = actor, places, zones
        self._asked = {key for key in EXPECT_KEYS if expect.get(key) is not None}
        self._wanted = sorted(_wanted(expect))
        self._of_person = [*self._holds(setup), *self._statements(setup), *self._agencies(setup)]
        self._debts = {debt.text("id"): debt.maybe("kind") for debt in setup.rows("debts", None)}
        self._of_debt = {debt.text("id"): list(self._about(setup, debt)) for debt in setup.rows("debts", None)}
        self._served = [
            (row.text("notice"), row.text("channel", ""), date.fromisoformat(row.text("sent_on", "1970-01-01")))
            for row in setup.rows("notices", None)
            if row.get("notice") is not None
        ]
        self._records = {row.text("records") for row in expect.rows("kept", None)}
        self._life = _life(setup) if self._records else None

    def differences(self, packs: Iterable[Pack]) -> tuple[str, ...]:
        """What was wanted and did not come, and what came unwanted; empty when all is as the case expects."""
        dates = PackDates(packs, actor=self._actor)
        found: list[str] = []
        if "duties" in self._asked:
            found += self._duties(dates)
        if "in_force" in self._asked:
            found += self._in_force(dates)
        if self._life is not None:
            found += self._kept(dates, self._life)
        missing = (f"wanted {line}" for line in self._wanted if line not in found)
        return (*missing, *(f"got    {line}" for line in sorted(found) if line not in self._wanted))

    def _duties(self, dates: PackDates) -> Iterator[str]:
        found = list(duties(dates, self._of_person, Matter(self._places)))
        for debt, records in self._of_debt.items():
            found += duties(dates, records, Matter(self._places, self._debts[debt]))
        everything = [*self._of_person, *(record for records in self._of_debt.values() for record in records)]
        for one in found:
            done = fulfilled(one, [record for record in everything if record.loan in {None, one.start.loan}])
            yield _duty_line(
                one.rule.id, one.due_on.isoformat(), done.done_on.isoformat() if done and done.done_on else ""
            )

    def _in_force(self, dates: PackDates) -> Iterator[str]:
        for notice, channel, sent_on in self._served:
            try:
                on = str(dates.in_force_on(notice, channel, sent_on, Matter(self._places)))
            except LookupError:
                on = "no day"
            yield f"{notice} in force on {on}"

    def _kept(self, dates: PackDates, life: Life) -> Iterator[str]:
        for product in self._debts.values():
            for kept in dates.kept(life, Matter(self._places, product), life.last_activity_on):
                if kept.records not in self._records:
                    continue
                to = "the end" if kept.to is None else kept.to.isoformat()
                yield f"{kept.records} kept to {to} by {', '.join(rule.id for rule in kept.rules)}"

    def _about(self, setup: CaseRow, debt: CaseRow) -> Iterator[Record]:
        name = debt.text("id")
        for row in setup.rows("contacts", None):
            if row.text("direction", "out") == "out" and name in row.texts("debts"):
                day, outcome = self._day(row.text("at"), row), row.text("outcome", "unknown")
                yield Record(
                    "contact", row.text("channel"), day, f"loan:{name}", outcome, done_on=day, loan=_number(name)
                )
        for number, row in enumerate(setup.rows("notices", None)):
            kind = row.maybe("notice")
            if kind is not None and name in (row.texts("debts") or [name]):
                effective_on = date.fromisoformat(row.text("effective_on", row.text("sent_on")))
                sent_on = date.fromisoformat(row.text("sent_on", row.text("effective_on", "")))
                yield Record("notice", kind, effective_on, f"notice:{number}", done_on=sent_on, loan=_number(name))
        if last := debt.maybe("limitation_on"):
            yield Record("limitation", "", date.fromisoformat(last), f"loan:{name}", loan=_number(name))

    def _holds(self, setup: CaseRow) -> Iterator[Record]:
        for number, row in enumerate(setup.rows("notices", None)):
            if row.get("notice") is not None:
                continue
            kind, subject, ended = row.text("kind"), f"hold:{number}", row.maybe("ended_at")
            on = self._day(row.maybe("starts_on") or row.text("received_at"), row)
            ended_on = self._day(ended, row) if ended else None
            yield Record("hold", kind, on, subject, form=row.text("form", ""), done_on=ended_on)
            if review_on := row.maybe("review_on"):
                yield Record("review", kind, date.fromisoformat(review_on), subject, done_on=ended_on)

    def _agencies(self, setup: CaseRow) -> Iterator[Record]:
        first: dict[str, date] = {}
        for row in setup.rows("contacts", None):
            agency, day = row.text("by", "lender"), self._day(row.text("at"), row)
            if agency != "lender":
                first[agency] = min(day, first.get(agency, day))
        return (Record("agency", "", day, f"agency:{agency}") for agency, day in first.items())

    def _statements(self, setup: CaseRow) -> Iterator[Record]:
        for number, row in enumerate((*setup.rows("preferences", None), *setup.rows("consents", None))):
            day = self._day(row.text("at"), row)
            yield Record("statement", row.text("kind", "consent"), day, f"consent:{number}", done_on=day)

    def _day(self, at: str, row: CaseRow) -> date:
        """The earliest date it may be where the person is."""
        when = instant(at, row.text("tz", self._zones[0]))
        return min(when.astimezone(ZoneInfo(zone)).date() for zone in self._zones)


def _wanted(expect: CaseRow) -> Iterator[str]:
    for row in expect.rows("duties", ("rule", "due_on", "done_on")):
        yield _duty_line(row.text("rule"), row.text("due_on"), row.text("done_on", ""))
    for row in expect.rows("in_force", ("notice", "on")):
        yield f"{row.text('notice')} in force on {row.text('on')}"
    for row in expect.rows("kept", ("records", "to", "because")):
        yield f"{row.text('records')} kept to {row.text('to')} by {', '.join(row.texts('because'))}"


def _duty_line(rule: str, due_on: str, done_on: str) -> str:
    return f"{rule} due on {due_on}" + (f", done on {done_on}" if done_on else "")


def _life(setup: CaseRow) -> Life:
    row = setup.inner("life", ("last_activity_on", "settled_on", "newest"))
    settled, newest = row.maybe("settled_on"), row.inner("newest", RECORDS)
    return Life(
        date.fromisoformat(row.text("last_activity_on")),
        date.fromisoformat(settled) if settled else None,
        {_NAMES[name]: date.fromisoformat(str(day)) for name, day in newest.items()},
    )


def _number(debt: str) -> int:
    """A case names debts with letters; any number that is the same for the same name will do."""
    return int.from_bytes(debt.encode())
