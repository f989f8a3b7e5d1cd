"""The agreement, the person, spells of delinquency, and what others know of a loan, read by hand, on both databases."""

from datetime import timedelta

import pytest

from compliance import Gate, shipped_packs
from engine.gate import Ask
from store.db import Database
from store.tables import Endpoint, StageChange
from tests.factories import at, make_loan, make_person
from tests.facts_of_books import MONTHLY, NOW, add, days_ago, facts_in, feed, of, value


def test_imported_facts_are_the_latest_within_their_range(database: Database) -> None:
    """The newest value counts, not the largest; what is out of range, of no declared text or of tomorrow is unknown."""
    loan = make_loan(database, instalments=MONTHLY)
    add(database, value(loan, "risk_band", 9, text="e"), value(loan, "risk_band", 1, text="b"))
    add(database, value(loan, "monthly_income", 5, 9_000_00), value(loan, "monthly_income", 2, 0))
    add(
        database,
        value(loan, "plan_active", 1, 1),
        value(loan, "case_open", 1, 0),
        value(loan, "legal_step", 1, text="war"),
    )
    add(database, value(loan, "self_cure_probability", 1, 101), value(loan, "utilisation", -1, 50))
    names = (
        "risk_band",
        "monthly_income",
        "plan_active",
        "case_open",
        "legal_step",
        "self_cure_probability",
        "utilisation",
    )
    assert of(database, loan, *names) == ("b", 0, True, False, None, None, None)


def test_the_agreement_and_the_person(sqlite_database: Database) -> None:
    """What the rows say is what the facts say; a channel nobody declared and an empty region are unknown."""
    person = make_person(
        sqlite_database,
        language="zh",
        country="US",
        region="US-CA",
        preferred_channel="email",
        mobile="+1",
        email="a@b.c",
    )
    loan = make_loan(
        sqlite_database, borrower_id=person, instalments=MONTHLY, product="card", custody="agency", autopay=True,
        accelerated=True, charged_off_on=days_ago(1), limitation_on=days_ago(3), stage="phone", stage_on=days_ago(8),
        episode_on=days_ago(30),
    )  # fmt: skip
    found = facts_in(sqlite_database)[loan]
    expected = {
        "language": "zh", "country": "US", "region": "US-CA", "preferred_channel": "email", "has_mobile": True,
        "mobile_valid": True, "has_email": True, "email_valid": True, "product": "card", "custody": "agency",
        "autopay": True, "accelerated": True, "charged_off": True, "limitation_days_left": -3, "time_barred": True,
        "stage": "phone", "days_in_stage": 8, "days_in_episode": 30,
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
    plain = make_person(sqlite_database, region="", preferred_channel="pigeon")
    other = make_loan(sqlite_database, borrower_id=plain, instalments=MONTHLY, charged_off_on=days_ago(-1))
    add(sqlite_database, Endpoint(person_id=plain, kind="mobile", value="+9", valid=False, recorded_at=NOW))
    names = ("region", "preferred_channel", "has_mobile", "mobile_valid", "has_email", "charged_off")
    assert of(sqlite_database, other, *names) == (None, None, True, False, False, False)


@pytest.mark.parametrize(("ends", "barred"), [(1, True), (0, False), (-1, False), (None, None)])
def test_a_claim_is_barred_from_the_day_after_its_last(
    database: Database, ends: int | None, barred: bool | None
) -> None:
    """And then no pack lets it be filed; where the last day is not known the fact is not either."""
    last = None if ends is None else days_ago(ends)
    loan = make_loan(database, instalments=MONTHLY, limitation_on=last)
    facts = facts_in(database)[loan]
    assert facts.get("time_barred") is barred
    for place, actor in (("CN", "first_party"), ("US", "agency")):
        filing = Ask(
            "filing", "legal", "collect", "borrower", 1, (loan,), (place,), ("Asia/Shanghai",), actor, facts=facts
        )
        reasons = {reason.rule for reason in Gate(shipped_packs()).check(filing, NOW).reasons}
        assert ("house.default.time_barred" in reasons) is (barred is True)
        assert ("us.regf.time_barred.suit" in reasons) is (barred is True and actor == "agency")


def test_spells_of_delinquency_of_a_year(sqlite_database: Database) -> None:
    """Leaving `current` begins a spell; moves within it, cures and closing do not; 365 days are within twelve months."""
    loan = make_loan(sqlite_database, instalments=MONTHLY)
    moves = [(366, "current", "reminded"), (365, "current", "reminded"), (300, "reminded", "phone")]
    moves += [(290, "phone", "current"), (40, "current", "phone"), (30, "phone", "current"), (20, "current", "closed")]
    for entry, (days, source, target) in enumerate(moves, 1):
        on = days_ago(days)
        change = StageChange(loan_id=loan, entry=entry, source=source, target=target, on_on=on, at=at(on), cause="rule")
        add(sqlite_database, change)
    assert of(sqlite_database, loan, "episodes_12m") == (2,)


def test_the_age_of_a_feed_is_that_of_the_newest_finished_one_that_tells_of_payments(database: Database) -> None:
    """Whole hours since its content; other kinds of file and one still loading say nothing of payments."""
    loan = make_loan(database, instalments=MONTHLY)
    account = make_loan(database, basis="account")
    add(database, feed("people", timedelta()), feed("movements", timedelta(hours=1), "loading"))
    assert of(database, loan, "feed_age") == (None,)
    add(database, feed("movements", timedelta(days=9)), feed("movements", timedelta(hours=27, minutes=59)))
    assert of(database, loan, "feed_age") == (27,)
    assert of(database, account, "feed_age") == (None,)
    add(database, feed("accounts", timedelta(minutes=59)))
    assert (of(database, account, "feed_age"), of(database, loan, "feed_age")) == ((0,), (27,))
