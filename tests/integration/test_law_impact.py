"""What a change of the law means for a book: the same moment planned under both, and nothing written."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from sqlmodel import select

from compliance import BulkGate, Gate, shipped_packs
from store.db import Database
from store.tables import Contact, DecisionRow, Endpoint, Feed, Person, Run
from tests.sweep_books import USD, LoanSpec, PersonSpec, fill, rulebook
from workflows.deciding.law_impact import Heard, changed_loans
from workflows.deciding.sweep import plan_sweep

NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
"""Noon in New York."""
CARD = LoanSpec(5, "USD", "card", "reminded")
PACKS = [pack for pack in shipped_packs() if pack.id == "us.nyc"]


@pytest.fixture
def city(database: Database) -> Iterator[Database]:
    """Two borrowers in New York City, of whom only the second agreed to e-mails; one in Massachusetts."""
    fill(database, [PersonSpec((CARD,), "America/New_York") for _ in range(3)], now=NOON)
    with database.write() as session:
        for person in session.exec(select(Person)):
            person.country, person.region = "US", "US-MA" if person.ref == "P3" else "US-NYC"
        for endpoint in session.exec(select(Endpoint).where(Endpoint.kind == "email")):
            endpoint.basis = "direct_consent" if endpoint.person_id == 2 else "contract"
    return database


def heard(database: Database, law_on: date) -> Heard:
    seen = Heard(NOON)
    gate = BulkGate(Gate(PACKS, places=["US"], law_on=law_on))
    plan_sweep(database, rulebook(USD), gate, now=NOON, see=seen.see)
    return seen


def test_new_york_city_on_the_first_of_september(city: Database) -> None:
    """Without consent the e-mail is refused from then on and a call made instead; the other loans hear the same."""
    before, after = heard(city, date(2026, 8, 31)), heard(city, date(2026, 9, 1))
    assert before.channels == {("email", "go"): 3}
    assert before.rules == {}
    assert after.channels == {("email", "go"): 2, ("email", "withheld"): 1, ("call", "wait"): 1}
    assert after.rules == {"us.nyc.electronic_consent": 1}
    assert list(changed_loans(before, after)) == [
        ("L1.0", "mail by email at 2026-03-04 17:00Z", "call by call at 2026-03-04 23:00Z")
    ]


def test_nothing_is_written(city: Database) -> None:
    """No run, no decision, no contact."""
    heard(city, date(2026, 9, 1))
    with city.session() as session:
        for table in (Run, DecisionRow, Contact):
            assert session.exec(select(table)).all() == []
        assert len(session.exec(select(Feed)).all()) == 1
