"""Route sheets: a team's visits of a day with names, addresses and briefs, as PDF and CSV. Papers to be kept and destroyed."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from io import StringIO
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from sqlmodel import Session

from channels.paper import Document, Part, Press, document_pages
from channels.wording import address_lines
from engine.errors import DataError, Problem
from store.bulk import writing
from store.deeds import record
from store.tables import Contact, Endpoint, Person
from workflows.desk.visits import Plan, Stop, Team
from workflows.private_file import write_private
from workflows.sending.door import Door, reach
from workflows.sending.looking import look_again

AHEAD_DAYS_MAX: Final = 1
"""What is on a sheet may be over before the team gets there, so none is printed earlier than the day before."""
_COLUMNS: Final = ("stop", "task", "loan", "area", "from", "until", "name", "address")


@dataclass(frozen=True, slots=True)
class _Line:
    stop: Stop
    name: str
    address: tuple[str, ...]
    hours: tuple[str, str]
    brief: str


def route_sheets(door: Door, plan: Plan, out: Path, press: Press, *, now: datetime, today: date) -> list[Path]:
    """
    Write each team's sheet, `visits-DATE-LEAD.pdf` and `.csv`; the log keeps a deed about each.

    Args:
        today: where the lender works.
    Raises:
        DataError: it is too early, or a file cannot be written.
        SettingsError: nobody may be reached now.
    """
    if (plan.on - today).days > AHEAD_DAYS_MAX:
        what = f"route sheets for {plan.on} cannot be printed on {today}"
        raise DataError(Problem(what, "print them the day before at the earliest; plan without `--out` until then"))
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise DataError(Problem(f"cannot write to `{out}`: {said}", "name a folder that you may write to")) from None
    with door.database.session() as session:
        reach(door, session)
        briefs = _briefs(door, session, [stop.task for stop in plan.stops], now)
        lines = [_line(session, stop, briefs) for stop in plan.stops]
    written = []
    for team in dict.fromkeys(stop.team for stop in plan.stops):
        mine = [line for line in lines if line.stop.team == team]
        pages = document_pages(_sheet(plan.on, team, mine), press)
        contents = {"pdf": pages.content, "csv": _csv(mine)}
        # Said before it is done: whatever leaves is in the log.
        digests = {suffix: hashlib.sha256(content).hexdigest() for suffix, content in contents.items()}
        detail = {"contacts": len(mine), "on": f"{plan.on}", "pdf": digests["pdf"], "what": "route sheet"}
        with writing(door.database) as transaction:
            record(transaction, "export", digests["csv"], detail, now=now)
        for suffix, content in contents.items():
            file = out / f"visits-{plan.on}-{_plain(team.lead)}.{suffix}"
            write_private(file, content)
            written.append(file)
    return written


def _briefs(door: Door, session: Session, ids: Sequence[str], now: datetime) -> Mapping[str, str]:
    found = {}
    for one in look_again(door, ids, now):
        contact = session.get_one(Contact, one.contact.id)
        try:
            # Whether it may be made is asked again when it begins; what it is about stands on the sheet.
            found[contact.id] = door.brief(session, contact, one.look)
        except DataError as error:
            found[contact.id] = error.problems[0].what
    return found


def _line(session: Session, stop: Stop, briefs: Mapping[str, str]) -> _Line:
    contact = session.get_one(Contact, stop.task)
    person = session.get_one(Person, contact.person_id)
    endpoint = session.get_one(Endpoint, contact.endpoint_id)
    zone = ZoneInfo((endpoint.zone or person.zones or "UTC").split()[0])
    hours = (f"{stop.from_at.astimezone(zone):%H:%M}", f"{stop.until_at.astimezone(zone):%H:%M}")
    return _Line(stop, person.name, address_lines(endpoint.value), hours, briefs[stop.task])


def _sheet(on: date, team: Team, lines: Sequence[_Line]) -> Document:
    head = (
        f"{team}: {len(lines)} visits on {on}.",
        "Before each: `duecourse tasks start TASK`. After each: its outcome.",
    )
    rows = [
        (
            f"{line.stop.number}",
            line.stop.task,
            line.stop.area,
            "-".join(line.hours),
            line.name,
            ", ".join(line.address),
        )
        for line in lines
    ]
    route = Part("Route", (), ("stop", "task", "area", "hours", "name", "address"), rows, (0.6, 1.5, 1.5, 1.3, 2, 4))
    briefs = tuple(
        Part(f"Stop {line.stop.number}, task {line.stop.task}, {'-'.join(line.hours)}", tuple(line.brief.split("\n")))
        for line in lines
    )
    return Document(f"Visits on {on}", head, (route, *briefs), f"{team.lead}, {on}. Confidential: destroy after use")


def _csv(lines: Sequence[_Line]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(
        (
            line.stop.number,
            line.stop.task,
            line.stop.loan,
            line.stop.area,
            *line.hours,
            line.name,
            ", ".join(line.address),
        )
        for line in lines
    )
    return text.getvalue().encode()


def _plain(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name)
