"""A presumption is set aside by two people and a proof, a rule of law by nobody."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from compliance import Gate, shipped_packs
from engine.decision_json import from_json
from engine.errors import DataError
from engine.gate import Override
from store.db import Database
from store.tables import OverrideRow, Person
from tests.by_hand import call, told
from tests.outgoing import NOW, book, borrower_of, door_of, plan, rows
from workflows.deciding.chunk import Fresh
from workflows.desk.by_hand import Approval, start
from workflows.desk.tasks import take_next
from workflows.sending.door import Door

CALLS = "us.regf.freq.calls"


def agency(database: Database) -> tuple[int, Door]:
    """A borrower in New York who was called seven times this week by an agency under Regulation F, and its door."""
    (loan,) = book(database)
    person = borrower_of(database, loan)
    with database.write() as session:
        row = session.get_one(Person, person)
        row.country, row.zones = "US", "America/New_York"
    for n in range(7):
        at = NOW + timedelta(hours=12) - timedelta(days=n)
        plan(database, loan, "call", status="delivered", outcome="no_answer", at=at)
    gate = Gate([pack for pack in shipped_packs() if pack.id == "us.regf"])
    door = door_of(database, {}, gate=gate)

    def situations(borrowers: Sequence[int], now: datetime) -> Mapping[int, Fresh]:
        found = door.situations(borrowers, now)
        return {key: fresh._replace(situation=replace(fresh.situation, actor="agency")) for key, fresh in found.items()}

    return loan, replace(door, situations=situations)


def test_a_presumption_is_set_aside_by_two_people_and_a_proof(database: Database) -> None:
    """The eighth call goes with a recognised ground; who, why, on what proof and by whose leave stand beside it."""
    loan, door = agency(database)
    now = NOW + timedelta(hours=13)  # noon in New York
    assert start(door, call(database, loan), agent="mei", now=now).contact is None
    with pytest.raises(DataError, match="`mei` cannot approve their own override"):
        start(
            door, call(database, loan), agent="mei", now=now, approval=Approval(CALLS, "consumer_request", "r", "mei")
        )
    with pytest.raises(DataError, match="an override needs its evidence"):
        start(
            door, call(database, loan), agent="mei", now=now, approval=Approval(CALLS, "consumer_request", " ", "ana")
        )
    approval = Approval(CALLS, "consumer_request", "call-recording:7", "ana")
    done = start(door, call(database, loan), agent="mei", now=now, approval=approval)
    assert done.contact is not None
    (kept,) = rows(database, OverrideRow)
    assert (kept.contact_id, kept.rule, kept.ground, kept.evidence, kept.agent, kept.approved_by) == (
        done.contact, CALLS, "consumer_request", "call-recording:7", "mei", "ana",
    )  # fmt: skip
    decided = from_json(told(database, loan, done).trace_json)
    assert decided.by_hand is not None
    assert (decided.by_hand.override, decided.by_hand.approved_by) == (Override(CALLS, "consumer_request"), "ana")
    # Whoever looks again, as when the agent asks for their task once more, hears of it too.
    again = take_next(door, queue="call", agent="mei", now=now)
    assert again is not None
    assert again.contact.id == done.contact


def test_an_override_that_lifts_nothing_is_refused_and_logged(database: Database) -> None:
    """A rule of law cannot be set aside, and a presumption not at night: the row of the log says why."""
    loan, door = agency(database)
    law = Approval("us.regf.time.default", "consumer_request", "r", "ana")
    no = start(door, call(database, loan), agent="mei", now=NOW + timedelta(hours=13), approval=law)
    assert (no.contact, told(database, loan, no).reasons) == (None, "gate.override")
    night = start(
        door, call(database, loan), agent="mei", now=NOW, approval=Approval(CALLS, "outside_harm", "r", "ana")
    )
    assert (night.contact, told(database, loan, night).reasons) == (None, "us.regf.time.default")
    assert rows(database, OverrideRow) == []
    asked = json.loads(told(database, loan, night).trace_json)["by_hand"]
    assert asked["override"] == {"rule": CALLS, "ground": "outside_harm"}
