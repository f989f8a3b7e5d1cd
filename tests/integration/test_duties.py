"""The book of duties on real databases: what gets in, what ends it, that it presses and lapses out loud, and that reruns change nothing."""

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel

from compliance import Pack, PackDates, read_pack, shipped_packs
from engine.errors import DataError, StoreError
from store.db import Database
from store.duties import list_duties, state_of
from store.lock import sole
from store.tables import Consent, Contact, ContactLoan, Duty, Hold, Loan, Notice
from tests.factories import make_loan, make_person
from tests.outgoing import add, rows
from workflows.duties import keep_duties
from workflows.duties_by_hand import close_duty, give_duty

START = date(2026, 3, 2)
SHIPPED = shipped_packs()
LENDER = PackDates(SHIPPED, actor="first_party")
AGENCY = PackDates(SHIPPED, actor="agency")

OWN = """\
pack: house.days
title: {en: Mine, zh: 我的}
places: [everywhere]
actors: [first_party]
status: house
provenance: verified
from: 2026-01-01
review_on: 2027-01-01
rules:
  - id: house.days.told
    kind: deadline
    says: {en: Who got a notice is spoken to., zh: 通知后须沟通。}
    starts: {notice: [prelegal_notice]}
    within: 2 weeks
    done_by: {contact: [call, visit], outcomes: [conversation, met]}
    owner: care
    escalates: 3 days before
    citation: House policy
"""


def at(day: int, hour: int = 12) -> datetime:
    """An hour of the nth day after the start, UTC."""
    return datetime(START.year, START.month, START.day, hour, tzinfo=UTC) + timedelta(days=day)


def keep(database: Database, day: int, dates: PackDates = LENDER) -> dict[str, int]:
    """One run of the job, that day; what it changed."""
    return {name: n for name, n in keep_duties(database, dates, now=at(day), zone="UTC").items() if n}


def american(database: Database, region: str | None = None, **values: Any) -> tuple[int, int]:
    """A borrower in Chicago with one loan: person and loan."""
    person = make_person(database, country="US", region=region, zones="America/Chicago")
    return person, make_loan(
        database, borrower_id=person, stage="phone", **{"currency": "USD", "product": "card"} | values
    )


def contact(person: int, loan: int, day: int, outcome: str = "conversation", **values: Any) -> list[SQLModel]:
    """One contact that was made."""
    number = f"x{loan}-{day}-{outcome}-{values.get('by', '')}"
    given = {"channel": "call", "status": "delivered", "at": at(day, 18)} | values
    made = Contact(
        id=number, loan_id=loan, person_id=person, slot=number, outcome=outcome, planned_at=given["at"],
        not_before_at=given["at"], expires_at=given["at"], **given,
    )  # fmt: skip
    return [made, ContactLoan(contact_id=number, loan_id=loan)]


def hold(person: int, loan: int | None, kind: str = "dispute", *, review: int = 30, **values: Any) -> Hold:
    given = {"owner": "lin", "starts_at": at(0), "recorded_at": at(0), "ref": f"h{person}-{loan}-{kind}"} | values
    return Hold(person_id=person, loan_id=loan, kind=kind, review_on=START + timedelta(days=review), **given)


def notice(person: int, loan: int, day: int, kind: str = "validation_notice", **values: Any) -> Notice:
    sent_on = START + timedelta(days=day)
    given = {"how": "letter", "recorded_at": at(day), "ref": f"n{loan}-{day}-{kind}"} | values
    return Notice(loan_id=loan, person_id=person, kind=kind, sent_on=sent_on, effective_on=sent_on, **given)


def told(database: Database, rule: str = "") -> list[tuple[str, date, str]]:
    """Rule, day and status of every duty, by day."""
    found = [duty for duty in rows(database, Duty) if rule in duty.rule]
    return sorted((duty.rule, duty.due_on, duty.status) for duty in found)


def one(database: Database, rule: str) -> Duty:
    (duty,) = [duty for duty in rows(database, Duty) if duty.rule == rule]
    return duty


def change(database: Database, table: Any, number: int, **values: Any) -> None:
    with database.write() as session:
        row = session.get_one(table, number)
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)


# --- where they come from ------------------------------------------------------------------------------------------------


def test_the_limitation_of_a_loan_is_a_duty_with_an_owner(database: Database) -> None:
    """Once it is within a year and a half; it escalates half a year before, lapses the day after, and a filing ends it."""
    person, loan = american(database, limitation_on=START + timedelta(days=700))
    assert keep(database, 0) == {}
    assert keep(database, 160) == {"new": 1}
    duty = one(database, "house.default.limitation")
    last = START + timedelta(days=700)
    assert (duty.due_on, duty.owner, duty.loan_id, duty.status) == (last, "legal", loan, "open")
    assert keep(database, 519) == {}
    assert keep(database, 520) == {"escalated": 1}
    assert keep(database, 700) == {}
    assert keep(database, 701) == {"lapsed": 1}
    add(database, *contact(person, loan, 690, "filed", channel="legal"))
    assert keep(database, 702) == {"done": 1}
    duty = one(database, "house.default.limitation")
    # It was done in time; that we heard of it too late is no lapse.
    assert (duty.status, duty.lapsed_at) == ("done", None)


def test_a_hold_is_reviewed_by_its_owner(database: Database) -> None:
    """Its day, its owner; a day that was moved is another duty, and the end of the hold ends it."""
    person, loan = american(database)
    add(database, hold(person, loan))
    assert keep(database, 0) == {"new": 1}
    (held,) = rows(database, Hold)
    duty = one(database, "house.default.review")
    assert (duty.subject, duty.due_on, duty.owner) == (f"hold:{held.id}", START + timedelta(days=30), "lin")
    change(database, Hold, held.id, review_on=START + timedelta(days=50))
    assert keep(database, 10) == {"new": 1, "void": 1}
    (old, new) = sorted(rows(database, Duty), key=lambda duty: duty.due_on)
    assert (old.status, old.evidence) == ("void", "its day is 2026-04-21 now")
    change(database, Hold, held.id, ends_at=at(20))
    assert keep(database, 19) == {}, "its end is still to come"
    assert keep(database, 21) == {"done": 1}
    (new,) = [duty for duty in rows(database, Duty) if duty.id == new.id]
    assert (new.status, new.evidence, new.closed_by) == ("done", "the hold ended on 2026-03-22", "duecourse")


def test_the_validation_notice_is_owed_within_five_days_of_the_first_communication(database: Database) -> None:
    """By an agency; to a lender of its own loans the rule does not apply. A call that nobody answered starts nothing."""
    person, loan = american(database)
    add(database, *contact(person, loan, 0, "no_answer"), *contact(person, loan, 2), *contact(person, loan, 4))
    assert keep(database, 4) == {}
    assert keep(database, 4, AGENCY) == {"new": 1}
    assert told(database) == [("us.regf.validation", START + timedelta(days=7), "open")]
    add(database, notice(person, loan, 5))
    assert keep(database, 6, AGENCY) == {"done": 1}
    (served,) = rows(database, Notice)
    assert one(database, "us.regf.validation").evidence == f"validation_notice {served.id} of 2026-03-07"


def test_a_letter_that_comes_back_has_fulfilled_nothing(database: Database) -> None:
    """The duty is open again, and lapses on its old day."""
    person, loan = american(database)
    add(database, *contact(person, loan, 0), notice(person, loan, 1))
    assert keep(database, 1, AGENCY) == {"new": 1, "done": 1}
    (served,) = rows(database, Notice)
    change(database, Notice, served.id, voided_at=at(3))
    assert keep(database, 4, AGENCY) == {"reopened": 1, "escalated": 1}
    assert keep(database, 6, AGENCY) == {"lapsed": 1}


def test_a_revocation_is_processed_by_its_entry_in_the_book(database: Database) -> None:
    """In time within ten business days of when it was said; later the duty says that it was late, and somebody hears of it."""
    person, _ = american(database)

    def said(ref: str, written: int) -> Consent:
        return Consent(person_id=person, kind="opt_out", received_at=at(0), recorded_at=at(written), ref=ref)

    add(database, said("c0", 0), said("c1", 1))
    assert keep(database, 1) == {"new": 2, "done": 2}
    add(database, said("in time", 14), said("late", 15), said("rehearsed", 300))
    assert keep(database, 30) == {"new": 3, "done": 3}, "when the job first saw it is not when it was written down"
    assert {duty.due_on for duty in rows(database, Duty)} == {date(2026, 3, 16)}
    assert [duty.lapsed_at is not None for duty in rows(database, Duty)] == [False, False, False, True, True]


def test_an_agency_is_evaluated_every_year(database: Database) -> None:
    """A year from its first contact for us, and from each evaluation while it still works for us."""
    person = make_person(database)
    loan = make_loan(database, borrower_id=person, stage="phone")
    add(
        database,
        *contact(person, loan, 0, by="north"),
        *contact(person, loan, 5, by="north"),
        *contact(person, loan, 3),
    )
    assert keep(database, 6) == {"new": 1}
    duty = one(database, "cn.gbt45251.agency_review")
    assert (duty.subject, duty.due_on, duty.owner, duty.person_id) == (
        "agency:north", date(2027, 3, 3), "agency-management", None,
    )  # fmt: skip
    assert duty.id is not None
    close_duty(database, duty.id, by="mei", evidence="minutes 12", today=START, now=at(100))
    assert keep(database, 101) == {}, "it has not worked for us since"
    add(database, *contact(person, loan, 102, by="north"))
    assert keep(database, 103) == {"new": 1}
    assert [day for _, day, _ in told(database)] == [date(2027, 3, 3), date(2027, 6, 10)]


def test_what_had_to_be_done_before_the_borrower_came_here_is_not_ours(database: Database) -> None:
    """But a hold that still stands, whose review is long overdue, is."""
    person, loan = american(database, limitation_on=date(2025, 6, 1))  # we know them since 1 January 2026
    add(
        database,
        Consent(
            person_id=person,
            kind="opt_out",
            received_at=datetime(2025, 11, 3, tzinfo=UTC),
            recorded_at=datetime(2025, 11, 3, tzinfo=UTC),
            ref="old",
        ),
        hold(person, loan, "hardship", review=-200, starts_at=at(-300)),
        hold(person, None, "dispute", review=-200, starts_at=at(-300), ends_at=at(-190)),
    )
    assert keep(database, 0) == {"new": 1, "lapsed": 1}
    assert told(database) == [("house.default.review", date(2025, 8, 14), "lapsed")]


def test_a_loan_that_is_closed_or_sold_owes_nothing_until_it_opens_again(database: Database) -> None:
    """A duty about the person goes on as long as any of their loans does."""
    person, loan = american(database, limitation_on=START + timedelta(days=200))
    other = make_loan(database, borrower_id=person, stage="phone")
    add(database, hold(person, loan), hold(person, None, "vulnerable"))
    assert keep(database, 0) == {"new": 3}
    change(database, Loan, loan, stage="closed")
    assert keep(database, 1) == {"void": 2}
    change(database, Loan, other, custody="sold")
    assert keep(database, 2) == {"void": 1}
    change(database, Loan, loan, stage="phone")
    assert keep(database, 3) == {"reopened": 3}


def test_a_deadline_runs_from_the_day_on_which_a_notice_is_in_force(database: Database) -> None:
    """Deemed service included; a rule of the lender's own, fulfilled by a message."""
    own = read_pack(OWN, "days.yaml")
    person, loan = american(database)
    add(database, notice(person, loan, 0, "prelegal_notice"))
    change(database, Notice, 1, effective_on=START + timedelta(days=5))
    dates = PackDates([own], actor="first_party")
    assert keep(database, 1, dates) == {"new": 1}
    assert told(database) == [("house.days.told", date(2026, 3, 21), "open")]
    add(
        database,
        *contact(person, loan, 3),
        *contact(person, loan, 9, "no_answer"),
        *contact(person, loan, 12, "promise"),
    )
    assert keep(database, 13, dates) == {"done": 1}
    assert one(database, "house.days.told").evidence == f"call x{loan}-12-promise- of 2026-03-14"


def test_limitation_and_reviews_are_looked_after_whatever_the_house_says() -> None:
    """A workspace whose packs leave them out has the shipped house pack's rules; one that looks after them itself has its own."""
    floor = [pack for pack in SHIPPED if pack.is_house]

    def rules(*packs: Pack) -> set[str]:
        return {rule.id for _, rule, _ in PackDates(packs, actor="first_party", floor=floor).deadlines()}

    shipped = {"house.default.limitation", "house.default.review"}
    assert rules() == shipped
    assert rules(read_pack(OWN, "days.yaml")) == {"house.days.told"} | shipped
    review = (
        OWN
        + "  - {id: house.days.look, kind: deadline, says: {en: It., zh: 它。}, starts: review, escalates: 1 day before, citation: x}\n"
    )
    assert rules(read_pack(review, "days.yaml")) == {"house.days.told", "house.days.look", "house.default.limitation"}
    only_there = read_pack(review.replace("[everywhere]", "[US]"), "days.yaml")
    assert rules(only_there) == {"house.days.told", "house.days.look"} | shipped


# --- people --------------------------------------------------------------------------------------------------------------


def test_a_person_says_that_it_is_done(database: Database) -> None:
    """With evidence; what they said stays, whatever the book says later. A hold that goes on needs its next day."""
    person, loan = american(database)
    add(database, hold(person, loan))
    keep(database, 0)
    number = one(database, "house.default.review").id
    assert number is not None
    given = {"by": "lin", "evidence": "call of 9 March", "today": START + timedelta(days=7), "now": at(7)}
    refusals = {
        "a duty is done by somebody, with evidence": lambda: close_duty(database, number, **given | {"evidence": " "}),
        "goes on, and needs a later day": lambda: close_duty(database, number, **given),
        "needs a later day on which": lambda: close_duty(database, number, **given, next_on=START),
        "no duty 999": lambda: close_duty(database, 999, **given),
    }
    for says, act in refusals.items():
        with pytest.raises(DataError, match=says):
            act()
    close_duty(database, number, **given, next_on=START + timedelta(days=60))
    with pytest.raises(DataError, match="is done already: call of 9 March"):
        close_duty(database, number, **given, next_on=START + timedelta(days=70))
    assert keep(database, 8) == {"new": 1}
    assert told(database) == [
        ("house.default.review", START + timedelta(days=30), "done"),
        ("house.default.review", START + timedelta(days=60), "open"),
    ]


def test_an_import_that_takes_the_next_day_back_is_not_silent(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The hold stands, was looked at, and names no later day: every run says so."""
    person, loan = american(database)
    add(database, hold(person, loan, review=5))
    keep(database, 0)
    number = one(database, "house.default.review").id
    assert number is not None
    close_duty(database, number, by="lin", evidence="x", today=START, now=at(1), next_on=START + timedelta(days=40))
    change(database, Hold, 1, review_on=START + timedelta(days=5))
    for _ in range(2):
        caplog.clear()
        keep(database, 7)
        assert [record.message for record in caplog.records] == ["a hold stands whose day of review is over"]


def test_a_duty_is_given_to_somebody_else_and_stays_theirs(database: Database) -> None:
    """The job leaves the owner alone."""
    person, loan = american(database)
    add(database, hold(person, loan))
    keep(database, 0)
    number = one(database, "house.default.review").id
    assert number is not None
    give_duty(database, number, " sam ")
    with pytest.raises(DataError, match="a duty needs an owner"):
        give_duty(database, number, " ")
    keep(database, 28)
    assert one(database, "house.default.review").owner == "sam"


def test_what_is_done_after_its_day_stays_marked(database: Database) -> None:
    """Also when the job did not run in between."""
    person, loan = american(database)
    add(database, hold(person, loan, "hardship", review=5), hold(person, loan, "dispute", review=5))
    keep(database, 0)
    first, second = (duty.id for duty in rows(database, Duty))
    assert first is not None
    close_duty(
        database, first, by="lin", evidence="x", today=START + timedelta(days=9), now=at(9), next_on=date(2026, 6, 1)
    )
    change(database, Hold, 2, ends_at=at(8))
    keep(database, 9)
    found = {duty.id: state_of(duty, START) for duty in rows(database, Duty)}
    assert (found[first], found[second]) == ("done late", "done late")


# --- out loud ------------------------------------------------------------------------------------------------------------


def test_what_presses_and_what_lapsed_is_said_and_stands_first(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Each once when it happens, with ids only; and as long as anything has lapsed, every run says so."""
    caplog.set_level(logging.WARNING)
    person, loan = american(database)
    add(database, hold(person, loan, "hardship", review=10), hold(person, None, "dispute", review=2))
    keep(database, 0)
    said: list[list[tuple[str, Any]]] = []
    for day in (3, 3, 8, 8):
        caplog.clear()
        keep(database, day)
        said.append([(record.message, record.__dict__.get("subject")) for record in caplog.records])
        assert {record.__dict__["action"] for record in caplog.records} == {"alert"}
    lapsed = ("duties have lapsed and are not done", None)
    assert said == [
        [("a duty has lapsed", "hold:2"), lapsed], [lapsed], [("a duty is due soon", "hold:1"), lapsed], [lapsed],
    ]  # fmt: skip
    add(database, hold(person, loan, "fraud", review=60))
    keep(database, 8)
    with database.session() as session:
        today = START + timedelta(days=8)
        states = [state_of(duty, today) for duty in list_duties(session, today=today)]
    assert states == ["lapsed", "due soon", "open"]


# --- once, in any order ------------------------------------------------------------------------------------------------


def everything(database: Database) -> list[dict[str, Any]]:
    return [duty.model_dump() for duty in rows(database, Duty)]


def test_fifty_runs_a_day_change_nothing(database: Database) -> None:
    """Not a row, not a value."""
    person, loan = american(database, "US-MA", limitation_on=START + timedelta(days=60))
    add(
        database, *contact(person, loan, 0), hold(person, loan, form="written"),
        Consent(person_id=person, kind="no_work_contact", received_at=at(0), recorded_at=at(0), ref="c1"),
        Consent(person_id=person, kind="opt_out", received_at=at(0), recorded_at=at(0), ref="c2"),
    )  # fmt: skip
    keep(database, 1, AGENCY)
    first = everything(database)
    assert len(first) == 6
    for _ in range(49):
        assert keep(database, 1, AGENCY) == {}
    assert everything(database) == first


def test_one_process_at_a_time(database: Database) -> None:
    """A second one is told who is at it."""
    with sole(database, "duties", what="it"), pytest.raises(StoreError, match="is running already"):
        keep(database, 0)


def _events(person: int, loan: int) -> list[Callable[[], list[SQLModel]]]:
    """Things that come on file, in the order in which they happened."""
    return [
        lambda: contact(person, loan, 0, "no_answer"),
        lambda: contact(person, loan, 1),
        lambda: contact(person, loan, 3, "voicemail"),
        lambda: [hold(person, loan, form="written")],
        lambda: [Consent(person_id=person, kind="opt_out", received_at=at(2), recorded_at=at(2), ref=f"{loan}-c1")],
        lambda: [
            Consent(person_id=person, kind="no_work_contact", received_at=at(2), recorded_at=at(2), ref=f"{loan}-c2")
        ],
        lambda: [
            Consent(person_id=person, kind="no_work_contact", received_at=at(6), recorded_at=at(6), ref=f"{loan}-c3")
        ],
        lambda: [notice(person, loan, 5)],
        lambda: [hold(person, None, "hardship", review=12, ends_at=at(9))],
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(order=st.permutations(range(9)), runs=st.sets(st.integers(0, 8)))
def test_neither_order_nor_how_often_it_runs_makes_a_difference(
    database: Database, order: list[int], runs: set[int]
) -> None:
    """
    Rule, subject, start, last day, and what has become of it are the same, whenever we heard of what, and looked.

    But one thing: an entry in the book was in time if we saw it in time.
    """

    def late(duty: Duty) -> bool:
        return duty.lapsed_at is not None and duty.rule != "us.tcpa.revoke.in_time"

    def live(order: list[int], runs: set[int]) -> list[tuple[Any, ...]]:
        person, loan = american(database, "US-MA", limitation_on=START + timedelta(days=90))
        events = _events(person, loan)
        for n, number in enumerate(order):
            add(database, *events[number]())
            if n in runs:
                keep(database, 7, AGENCY)
        keep(database, 40, AGENCY)
        return sorted(
            (d.rule, d.subject.partition(":")[0], d.start_on, d.due_on, d.escalate_on, d.owner, d.status, late(d))
            for d in rows(database, Duty)
            if d.person_id == person and d.status != "void"
        )

    assert live(order, runs) == live(list(range(9)), set())
