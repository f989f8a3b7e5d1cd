"""Visits on real databases: planned for a day with the gate's word about that day, begun by enough people, off when paid."""

import csv
import hashlib
import json
import logging
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader
from sqlmodel import col, select

from channels.paper import Press
from compliance import Gate, shipped_packs
from engine.errors import DataError, SettingsError
from engine.strategy import PromisePolicy
from store.db import Database
from store.tables import Contact, Deed, Endpoint, Notice, Person, Visit
from tests.factories import add_payment
from tests.outgoing import AMOUNT, DATES, NOW, TODAY, SmallGate, add, book, borrower_of, contact_of, door_of, plan, rows
from workflows.desk.proofs import proof_of
from workflows.desk.reporting import Report, record_outcome
from workflows.desk.route_sheets import route_sheets
from workflows.desk.tasks import call_off, start_task, take_next
from workflows.desk.visits import Plan, Team, day_of_visits, plan_visits

MEI, ANA = Team(("mei", "li")), Team(("ana", "bo"))
TOMORROW = TODAY + timedelta(days=1)
LATER = NOW + timedelta(days=3)


def queued(database: Database, loan: int, area: str = "", **values: object) -> str:
    """A visit that waits in its queue since ten minutes ago, to an address in that area, for three days."""
    person = borrower_of(database, loan)
    with database.write() as session:
        there = select(Endpoint).where(col(Endpoint.person_id) == person, col(Endpoint.kind) == "postal")
        if session.exec(there).first() is None:
            value = f'{{"text": "{person} Street, Shanghai"}}'
            session.add(Endpoint(person_id=person, kind="postal", value=value, area=area, recorded_at=NOW))
    given = {"status": "sent", "at": NOW - timedelta(minutes=10), "expires_at": LATER}
    return plan(database, loan, "visit", **(given | values))


def planned(database: Database, *teams: Team, on: date = TOMORROW, now=NOW, gate=None, **more: int) -> Plan:  # type: ignore[no-untyped-def]
    door = door_of(database, {}, gate=gate or SmallGate())
    return plan_visits(door, on, teams or (MEI,), by="ann", now=now, **more)


def test_a_day_is_dealt_out_by_area(database: Database) -> None:
    """Each team has whole areas, the largest first; nobody has more than fits; the rest says why it is on no route."""
    loans = book(database, 7)
    areas = ["north", "south", "north", "south", "south", "east", "north"]
    tasks = [queued(database, loan, area) for loan, area in zip(loans, areas, strict=True)]
    made = planned(database, MEI, ANA, per_team=3)
    routes = {team: [(stop.number, stop.area) for stop in made.stops if stop.team == team] for team in (MEI, ANA)}
    assert routes == {
        MEI: [(1, "north"), (2, "north"), (3, "north")],
        ANA: [(1, "south"), (2, "south"), (3, "south")],
    }
    assert made.left_out == {tasks[5]: "no team has room"}
    assert {contact_of(database, stop.task).claimed_by for stop in made.stops} == {"agent:mei", "agent:ana"}
    # From eight in the morning to a quarter to eight in the evening, in Shanghai.
    assert {(f"{stop.from_at:%d %H:%M}", f"{stop.until_at:%d %H:%M}") for stop in made.stops} == {
        ("25 00:00", "25 11:45")
    }
    again = planned(database, MEI, ANA, per_team=3)
    assert [(stop.team, stop.number, stop.task) for stop in again.stops] == [
        (stop.team, stop.number, stop.task) for stop in made.stops
    ]
    assert len(rows(database, Visit)) == 6


def test_the_plan_asks_about_its_own_day(database: Database) -> None:
    """A visit whose notice is in force on Thursday is on Thursday's route and not on tomorrow's: house policy 10."""
    monday = NOW - timedelta(days=1)
    (loan,) = book(database)
    task = queued(database, loan, expires_at=NOW + timedelta(days=9))
    add(
        database,
        Notice(
            loan_id=loan, person_id=borrower_of(database, loan), kind="visit_notice", sent_on=TODAY - timedelta(days=4),
            effective_on=TODAY, how="letter", recorded_at=monday, ref="n",
        ),
    )  # fmt: skip
    gate = Gate([pack for pack in shipped_packs() if pack.is_house or pack.id == "cn.cba2026"])
    early = planned(database, gate=gate)
    assert (early.stops, list(early.left_out)) == ((), [task])
    assert "house.default.visit_notice" in early.left_out[task]
    sunday = planned(database, on=TODAY + timedelta(days=5), gate=gate)
    assert sunday.left_out[task].startswith("refused: house.default.visit_hours")
    made = planned(database, on=TODAY + timedelta(days=3), gate=gate)
    assert ([stop.task for stop in made.stops], made.left_out) == ([task], {})
    assert f"{made.stops[0].from_at:%m-%d %H:%M}" == "11-27 01:00"  # nine in the morning, as house policy 5 has it


def test_the_law_says_how_many_go(database: Database) -> None:
    """Where two must go a team of one is on no route, whatever the strategy would be content with."""
    (loan,) = book(database)
    task = queued(database, loan)
    alone = planned(database, Team(("mei",)))
    assert (alone.stops, alone.left_out) == ((), {task: "no team is large enough"})
    assert len(planned(database, Team(("mei",)), MEI).stops) == 1


def test_a_plan_reserves_and_forbids_nothing(database: Database) -> None:
    """Until it begins, others may call the person, and it is its team's alone; from then on nobody else may."""
    (loan,) = book(database)
    visit = queued(database, loan)
    call = plan(database, loan, "call", status="sent")
    made = planned(database, on=TODAY)
    assert [stop.task for stop in made.stops] == [visit]
    door = door_of(database, {})
    assert take_next(door, queue="field", agent="ana", now=NOW, together=["bo"]) is None
    assert start_task(door, call, agent="ben", now=NOW).contact.id == call
    with pytest.raises(DataError, match="somebody else has that person in hand"):
        start_task(door, visit, agent="mei", now=NOW, together=["li"])
    record_outcome(database, call, Report("not_tried", "ben", NOW, TODAY, PromisePolicy(), DATES))
    with pytest.raises(DataError, match="2 people go, not 1"):
        start_task(door, visit, agent="mei", now=NOW)
    assert contact_of(database, visit).claimed_by == "agent:mei"
    assert start_task(door, visit, agent="mei", now=NOW, together=["li"]).contact.id == visit
    with pytest.raises(DataError, match="somebody else has that person in hand"):
        start_task(door, call, agent="ben", now=NOW)


def test_paid_before_it_began_a_visit_is_off_its_route(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The team is told by an alert and by the list; one that has begun is not called off behind its back."""
    loans = book(database, 3)
    paid, begun, stays = (queued(database, loan) for loan in loans)
    planned(database, on=TODAY)
    door = door_of(database, {})
    start_task(door, begun, agent="mei", now=NOW, together=["li"])
    for loan in loans[:2]:
        add_payment(database, loan, AMOUNT, TODAY, recorded_at=NOW)
    with caplog.at_level(logging.WARNING):
        assert call_off(door, now=NOW) == 1
    alert = next(r for r in caplog.records if "called off; tell the team" in r.getMessage())
    assert (alert.contact, alert.visit) == (paid, "agent:mei")  # type: ignore[attr-defined]
    with database.session() as session:
        stand = {one.task: one.state for one in day_of_visits(session, TODAY)}
    assert stand == {paid: "cancelled: rule visit does not match any more", begun: "begun", stays: "planned"}
    assert planned(database, on=TODAY).stops[0].task == stays


def test_what_was_not_visited_is_planned_again(database: Database) -> None:
    """Yesterday's route, of which nothing began, is today's; another day's plan does not take tomorrow's away."""
    (loan,) = book(database)
    task = queued(database, loan)
    assert [stop.task for stop in planned(database, on=TODAY).stops] == [task]
    after = TODAY + timedelta(days=2)
    assert planned(database, on=after).stops == ()
    # When that day is over everywhere.
    assert [stop.task for stop in planned(database, ANA, on=after, now=NOW + timedelta(hours=33)).stops] == [task]
    assert [(visit.on_on, visit.team) for visit in rows(database, Visit)] == [(after, "ana, bo")]
    assert contact_of(database, task).claimed_by == "agent:ana"


def test_the_route_sheet_has_what_the_team_needs(database: Database, tmp_path: Path) -> None:
    """Name, address, hours at the place and brief, as PDF and CSV, for this user's eyes; not days before, not while off."""
    loans = book(database, 2)
    tasks = [queued(database, loan, "north") for loan in loans]
    door = door_of(database, {})
    made = plan_visits(door, TOMORROW, (MEI,), by="ann", now=NOW)
    sheet, table = route_sheets(door, made, tmp_path / "out", Press(), now=NOW, today=TODAY)
    assert (sheet.name, table.name) == ("visits-2026-11-25-mei.pdf", "visits-2026-11-25-mei.csv")
    with table.open(newline="", encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    assert [(row["stop"], row["task"], row["from"], row["until"]) for row in listed] == [
        ("1", tasks[0], "08:00", "19:45"), ("2", tasks[1], "08:00", "19:45"),
    ]  # fmt: skip
    text = "\n".join(page.extract_text() for page in PdfReader(BytesIO(sheet.read_bytes())).pages)
    for person in rows(database, Person):
        assert person.name in text
        assert f"{person.id} Street, Shanghai" in text
        assert f"call {person.name}" in text  # the brief
    assert sheet.stat().st_mode & 0o077 == 0
    (deed,) = rows(database, Deed, col(Deed.kind) == "export")
    on_sheet, on_table = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (sheet, table))
    assert (deed.at, deed.subject) == (NOW, on_table)
    assert json.loads(deed.detail_json) == {"contacts": 2, "on": "2026-11-25", "pdf": on_sheet, "what": "route sheet"}
    with pytest.raises(DataError, match="cannot be printed on 2026-11-23"):
        route_sheets(door, made, tmp_path, Press(), now=NOW, today=TODAY - timedelta(days=1))
    off = door_of(database, {}, stand_in=False)
    with pytest.raises(SettingsError, match="sending is off"):
        route_sheets(off, made, tmp_path, Press(), now=NOW, today=TODAY)
    with pytest.raises(SettingsError, match="sending is off"):
        plan_visits(off, TOMORROW, (MEI,), by="ann", now=NOW)


def test_a_visit_ends_with_an_outcome_and_its_proof(database: Database, tmp_path: Path) -> None:
    """The list of the day says what came of each, and how many files show it."""
    (loan,) = book(database)
    task = queued(database, loan)
    planned(database, on=TODAY)
    start_task(door_of(database, {}), task, agent="mei", now=NOW, together=["li"])
    photo = tmp_path / "door.jpg"
    photo.write_bytes(b"a door")
    proof = proof_of(photo, people=("mei", "li"), recorded_at=NOW)
    record_outcome(database, task, Report("nobody_met", "mei", NOW, TODAY, PromisePolicy(), DATES, proof=proof))
    with database.session() as session:
        (stand,) = day_of_visits(session, TODAY)
    assert (stand.state, stand.proofs, stand.team) == ("nobody_met", 1, "mei, li")


def test_where_nobody_may_be_visited_nobody_is_planned(database: Database) -> None:
    """No address, a place that is not known, a task that lapses before: each is left out with its reason."""
    loans = book(database, 3)
    nowhere = plan(database, loans[0], "visit", status="sent", expires_at=LATER)
    lost, lapses = queued(database, loans[1]), queued(database, loans[2], expires_at=NOW + timedelta(hours=1))
    with database.write() as session:
        session.get_one(Person, borrower_of(database, loans[1])).zones = ""
        session.get_one(Contact, lapses).expires_at = NOW + timedelta(hours=1)
    assert planned(database).left_out == {
        nowhere: "there is no address on file",
        lost: "where they are is not known",
        lapses: "it is not open on that day",
    }
