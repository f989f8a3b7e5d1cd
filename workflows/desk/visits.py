"""
Visits, planned by day and area: which may be made that day at what hours, and who goes.

The gate is asked about the day itself, so that a visit whose notice is not in force by then is not on it, nor one that too
few would make. A plan reserves; it is no visit yet: each is looked at again when it begins (`tasks start`), and is called
off until then like any task that nothing asks for any more.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from engine.gate import Ask, Gate
from store.fact_sql.clock import day_at
from store.outbox import ROW, lock_versions, note
from store.tables import Contact, Endpoint, Loan, Person, Proof, Visit
from workflows.desk.dialler import allowed_until
from workflows.sending.door import NOT_ALLOWED, Door, reach
from workflows.sending.looking import Looked, look_again

_STEP: Final = timedelta(minutes=15)
PER_TEAM: Final = 12
"""Visits of a team in a day, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Team:
    """Who goes together; the first of them leads, has the tasks in hand and reports."""

    members: tuple[str, ...]

    @property
    def lead(self) -> str:
        """Whose hands the tasks are in."""
        return self.members[0]

    def __str__(self) -> str:
        return ", ".join(self.members)


@dataclass(frozen=True, slots=True)
class Stop:
    """One visit on a team's route, between two instants. Ids only."""

    team: Team
    number: int
    task: str
    loan: str
    area: str
    from_at: datetime
    until_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """The routes of a day; `left_out` says of every other visit that waits why it is on none."""

    on: date
    stops: tuple[Stop, ...]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Possible:
    """A visit that may be made on the day, as far as it is known now."""

    looked: Looked
    asked: Ask
    loan: str
    area: str
    from_at: datetime
    until_at: datetime
    value: str | None

    @property
    def order(self) -> tuple[str, datetime, str]:
        """Its place among those of its area: as its queue ranks, then the earliest."""
        return self.looked.contact.rank or "", self.from_at, self.looked.contact.id


def plan_visits(
    door: Door, on: date, teams: Sequence[Team], *, by: str, now: datetime, per_team: int = PER_TEAM
) -> Plan:
    """
    Plan a day, anew: what stood on it and has not begun is planned again.

    Areas with the most visits are dealt out first, each to the team with the most room, so that a team has few of them.

    Raises:
        SettingsError: nobody may be reached now.
    """
    with door.database.session() as session:
        reached = reach(door, session)
        ids = _candidates(session, on, now)
    looked = look_again(door, ids, now)
    left_out: dict[str, str] = {}
    possible: list[_Possible] = []
    with door.database.session() as session:
        for one in looked:
            found = _possible(session, door.gate, one, on, now)
            if isinstance(found, str):
                left_out[one.contact.id] = found
            elif not reached.covers(found.value):
                left_out[one.contact.id] = NOT_ALLOWED
            else:
                possible.append(found)
    routes = _deal(door.gate, possible, teams, per_team, left_out)
    stops = _write(door, on, routes, ids, by=by, now=now, left_out=left_out)
    return Plan(on, tuple(stops), left_out)


def _candidates(session: Session, on: date, now: datetime) -> list[str]:
    """Visits that wait in a queue, and those on a route of that day, or of one that is over, that have not begun."""
    over = min(on, day_at((), now))
    planned = select(Visit.contact_id).where((col(Visit.on_on) == on) | (col(Visit.on_on) < over))
    wanted = select(Contact.id).where(
        col(Contact.status) == "sent",
        col(Contact.channel) == "visit",
        col(Contact.attempts) == 0,
        col(Contact.expires_at) > now,
        col(Contact.claimed_by).is_(None) | col(Contact.id).in_(planned),
    )
    return list(session.exec(wanted.order_by(col(Contact.id))))


def _possible(session: Session, gate: Gate, one: Looked, on: date, now: datetime) -> "_Possible | str":
    """What a visit needs to be on a route of that day, or why it cannot be."""
    contact, asked = one.contact, one.look.asked
    if asked is None:
        return one.look.why
    endpoint = session.get(Endpoint, contact.endpoint_id) if contact.endpoint_id is not None else None
    if endpoint is None:
        return "there is no address on file"
    days = [_day(on, zone) for zone in asked.zones]
    if not days:
        return "where they are is not known"
    start = max([now, contact.not_before_at, *(begins for begins, _ in days)])
    end = min([contact.expires_at, *(ends for _, ends in days)])
    if start >= end:
        return "it is not open on that day"
    verdict = gate.check(asked, start)
    from_at = start if verdict.outcome == "allow" else verdict.until
    if verdict.outcome == "deny" or from_at is None or from_at >= end:
        return "refused: " + ", ".join(reason.rule for reason in verdict.reasons)
    until_at = allowed_until(gate, asked, from_at, end, _STEP)
    if until_at is None:
        return "there is no quarter of an hour for it"
    person = session.get_one(Person, contact.person_id)
    area = endpoint.area or person.region or person.country
    loan = session.get_one(Loan, contact.loan_id).ref
    return _Possible(one, asked, loan, area, from_at, until_at, endpoint.value)


def _day(on: date, zone: str) -> tuple[datetime, datetime]:
    there = ZoneInfo(zone)
    return datetime.combine(on, time(), there), datetime.combine(on + timedelta(days=1), time(), there)


def _deal(
    gate: Gate, possible: Sequence[_Possible], teams: Sequence[Team], per_team: int, left_out: dict[str, str]
) -> list[tuple[Team, list[_Possible]]]:
    areas: defaultdict[str, list[_Possible]] = defaultdict(list)
    for visit in possible:
        areas[visit.area].append(visit)
    routes: list[tuple[Team, list[_Possible]]] = [(team, []) for team in teams]
    for _, visits in sorted(areas.items(), key=lambda item: (-len(item[1]), item[0])):
        here: list[_Possible] | None = None
        for visit in sorted(visits, key=lambda one: one.order):
            able = [(team, route) for team, route in routes if _enough(gate, visit, team)]
            room = [route for _, route in able if len(route) < per_team]
            if not able:
                left_out[visit.looked.contact.id] = "no team is large enough"
            elif not room:
                left_out[visit.looked.contact.id] = "no team has room"
            else:
                # The team that is in the area already; else the one with the most room, in the order given.
                if here is None or not any(route is here for route in room):
                    here = min(room, key=len)
                here.append(visit)
    return routes


def _enough(gate: Gate, visit: _Possible, team: Team) -> bool:
    """Whether so few may make it: the strategy's own number is the least, and the packs have their say."""
    going, wanted = len(set(team.members)), visit.asked.content.get("collectors_present")
    if type(wanted) is int and going < wanted:
        return False
    asked = replace(visit.asked, content={**visit.asked.content, "collectors_present": going})
    return gate.check(asked, visit.from_at).outcome == "allow"


def _write(
    door: Door,
    on: date,
    routes: Sequence[tuple[Team, list[_Possible]]],
    ids: Collection[str],
    *,
    by: str,
    now: datetime,
    left_out: dict[str, str],
) -> list[Stop]:
    stops: list[Stop] = []
    with door.database.write() as session:
        reach(door, session)
        chosen = [visit for _, route in routes for visit in route]
        current = lock_versions(session, {person for visit in chosen for person in visit.looked.seen})
        for row in session.exec(select(Visit).where(col(Visit.contact_id).in_(ids))).all():
            contact = session.get_one(Contact, row.contact_id, with_for_update=ROW)
            if contact.status == "sent" and not contact.attempts:
                contact.claimed_by = contact.claimed_until_at = None
                session.add(contact)
                session.delete(row)
        session.flush()
        for team, route in routes:
            number = 0
            for visit in route:
                contact = session.get_one(Contact, visit.looked.contact.id, with_for_update=ROW)
                moved = any(current.get(person) != version for person, version in visit.looked.seen.items())
                if moved or contact.status != "sent" or contact.claimed_by is not None:
                    left_out[contact.id] = "something about it changed at this very moment; plan again"
                    continue
                number += 1
                contact.claimed_by, contact.claimed_until_at = f"agent:{team.lead}", contact.expires_at
                note(session, contact, at=now, why=f"planned for {on} by {by}: {team}, stop {number}")
                session.add(contact)
                session.add(
                    Visit(
                        contact_id=contact.id, on_on=on, team=f"{team}", area=visit.area, stop=number,
                        from_at=visit.from_at, until_at=visit.until_at, planned_by=by, planned_at=now,
                    )
                )  # fmt: skip
                stops.append(Stop(team, number, contact.id, visit.loan, visit.area, visit.from_at, visit.until_at))
    return stops


@dataclass(frozen=True, slots=True)
class Standing:
    """A planned visit, and what has become of it: planned, begun, an outcome, or why it is off. `proofs`: how many files."""

    team: str
    stop: int
    task: str
    loan: str
    area: str
    from_at: datetime
    until_at: datetime
    state: str
    proofs: int


def day_of_visits(session: Session, on: date) -> list[Standing]:
    """The routes of a day as they stand."""
    wanted = (
        select(Visit, Contact, Loan.ref)
        .join(Contact, col(Contact.id) == col(Visit.contact_id))
        .join(Loan, col(Loan.id) == col(Contact.loan_id))
        .where(col(Visit.on_on) == on)
        .order_by(col(Visit.team), col(Visit.stop))
    )
    rows = session.exec(wanted).all()
    ids = [visit.contact_id for visit, _, _ in rows]
    proofs = Counter(session.exec(select(Proof.contact_id).where(col(Proof.contact_id).in_(ids))))
    return [
        Standing(v.team, v.stop, c.id, ref, v.area, v.from_at, v.until_at, _state(c), proofs[c.id])
        for v, c, ref in rows
    ]


def _state(contact: Contact) -> str:
    if contact.status == "sent":
        return "begun" if contact.attempts else "planned" if contact.claimed_by else "given back"
    if contact.status in ("cancelled", "expired", "unknown"):
        return f"{contact.status}: {contact.why}"
    return contact.outcome
