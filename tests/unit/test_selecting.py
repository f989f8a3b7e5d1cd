"""What packs can say of past contacts, of what people said and of when a rule binds, one limit at a time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from compliance import BulkGate, Gate, read_pack
from compliance.clock import microseconds
from engine.catalogue import load_catalogue
from engine.errors import RuleError
from engine.gate import Ask, Endpoint, LocalWindow, PastContact, Statement

NOON = datetime(2026, 2, 12, 18, tzinfo=UTC)
DAY = timedelta(days=1)
HEAD = """\
pack: xx.law
title: {en: Law, zh: 法}
places: [US]
actors: [first_party, agency]
status: law
provenance: verified
from: 2000-01-01
review_on: 2027-01-01
rules:
"""


def rule(*lines: str, name: str = "one") -> str:
    said = "    says: {en: It., zh: 它。}\n    citation: a test\n"
    return f"  - id: xx.law.{name}\n{said}" + "".join(f"    {line}\n" for line in lines)


def gate(*lines: str, **options: Any) -> Gate:
    return Gate([read_pack(HEAD + rule(*lines), "law.yaml", load_catalogue())], **options)


def refused(*rules: str) -> str:
    with pytest.raises(RuleError) as refusal:
        read_pack(HEAD + "".join(rules), "law.yaml", load_catalogue())
    return str(refusal.value)


def past(ago: timedelta = DAY, **changes: Any) -> PastContact:
    one = PastContact(microseconds(NOON - ago), "out", "call", "no_answer", "collect", 1, (1,))
    return replace(one, **changes)


def said(kind: str, ago: timedelta = DAY, **changes: Any) -> Statement:
    return Statement(kind, microseconds(NOON - ago), **changes)


def outcome(gate: Gate, now: datetime = NOON, **changes: Any) -> str:
    ask = Ask("contact", "call", "collect", "borrower", 1, (1,), ("US",), ("America/Chicago",))
    asked = replace(ask, **changes)
    verdict = gate.check(asked, now)
    assert BulkGate(gate).check(asked, now) == verdict
    return verdict.outcome


def one_a_week(counts: str) -> Gate:
    return gate("kind: count", "max: 1", "within: 7 dates", f"counts: {counts}")


def test_a_count_of_contacts_that_went_to_work():
    """What went home or to a mobile does not count; what went nobody knows where does."""
    at_work = one_a_week("{where: [work]}")
    places = ("work", "home", "elsewhere", None)
    assert [outcome(at_work, history=(past(place=place),)) for place in places] == ["defer", "allow", "allow", "defer"]
    but_work = one_a_week("{except_where: [work]}")
    assert [outcome(but_work, history=(past(place=place),)) for place in places] == ["allow", "defer", "defer", "defer"]


def test_a_count_for_each_actor():
    """What another agency did does not count, where the law says so; who is not known is taken for the same."""
    each = one_a_week("{same: actor}")
    together = one_a_week("{channels: [call]}")
    for by, wanted in (("agency-1", "defer"), ("agency-2", "allow"), ("lender", "allow"), ("", "defer")):
        history = (past(by=by),)
        assert outcome(each, history=history, by="agency-1", actor="agency") == wanted
        assert outcome(together, history=history, by="agency-1", actor="agency") == "defer"


def test_a_count_since_an_event():
    """Contacts before the spell of delinquency began do not count; where that is not known, all of them do."""
    since = one_a_week("{since: days_in_episode}")
    early, late = past(4 * DAY), past(2 * DAY)
    assert outcome(since, history=(early,), facts={"days_in_episode": 2}) == "allow"
    assert outcome(since, history=(late,), facts={"days_in_episode": 2}) == "defer"
    assert outcome(since, history=(early,), facts={"days_in_episode": 4}) == "defer"
    assert outcome(since, history=(early,)) == "defer"
    told = refused(rule("kind: count", "max: 1", "within: 7 dates", "counts: {since: days_in_epsode}"))
    assert told == "law.yaml:16:13: unknown fact of days `days_in_epsode`\n  mend: write `days_in_episode`"


def test_a_pause_without_end_is_closed_by_what_is_planned_as_well():
    """Nothing goes before a contact after which nothing may go."""
    never_again = gate("kind: cooldown", "after: {channels: [visit]}", "for: ever")
    assert outcome(never_again, history=(past(-DAY, channel="visit", outcome="planned"),)) == "deny"


def test_a_refusal_of_one_number_closes_them_all():
    """`as_one`: a stop closes the channels named together, whatever number, debt or purpose it was about."""
    plain = gate("kind: statements", "channels: [call, sms]", "honours: [opt_out, no_endpoint]")
    wide = gate("kind: statements", "channels: [call, sms]", "honours: [opt_out, no_endpoint]", "as_one: [call, sms]")
    mobile = Endpoint(7, "mobile")
    for stop in (
        said("no_endpoint", endpoint=8),
        said("opt_out", channels=("sms",)),
        said("opt_out", debts=(2,)),
        said("opt_out", purposes=("service",)),
        said("opt_out", scope="electronic"),
    ):
        assert outcome(plain, statements=(stop,), endpoint=mobile) == "allow"
        assert outcome(wide, statements=(stop,), endpoint=mobile) == "deny"
        assert outcome(wide, statements=(stop, said("opt_in", DAY / 2)), endpoint=mobile) == "allow"
    assert outcome(wide, statements=(said("opt_out", channels=("email",)),), endpoint=mobile) == "allow"


def test_an_oral_request_lapses():
    """It is honoured on so many dates, that of its being said the first; a written one until it is taken back."""
    ten = gate("kind: statements", "honours: [no_work_contact]", "oral_dates_max: 10")
    for days, form, wanted in ((9, "oral", "defer"), (10, "oral", "allow"), (10, "written", "deny"), (10, "", "deny")):
        assert outcome(ten, statements=(said("no_work_contact", days * DAY, form=form),), place="work") == wanted


def test_how_much_of_the_week_people_may_close():
    """In the order in which it was said: the request that goes beyond is not honoured, nor any after it."""
    budget = gate("kind: statements", "honours: [inconvenient_time]", "hours_a_week_max: 28")
    every_noon = said("inconvenient_time", 3 * DAY, windows=(LocalWindow(720, 780),))  # seven hours a week
    three_a_day = said("inconvenient_time", 2 * DAY, windows=(LocalWindow(720, 900),))  # twenty-one
    one_more = said("inconvenient_time", DAY, windows=(LocalWindow(1080, 1140),))
    evening = NOON + timedelta(hours=6, minutes=30)
    assert outcome(budget, statements=(every_noon, three_a_day)) == "defer"
    assert outcome(budget, statements=(three_a_day, one_more), now=evening) == "defer"
    assert outcome(budget, statements=(every_noon, three_a_day, one_more), now=evening) == "allow"
    assert outcome(budget, statements=(said("inconvenient_time"),)) == "allow"  # the whole week


def test_how_many_means_people_may_close():
    """Three of them are honoured, the fourth is not, unless one of the others was taken back."""
    budget = gate("kind: statements", "honours: [no_medium]", "channels_max: 3")
    closed = [
        said("no_medium", (9 - n) * DAY, channels=(name,)) for n, name in enumerate(("sms", "email", "visit", "call"))
    ]
    assert outcome(budget, statements=tuple(closed)) == "allow"
    assert outcome(budget, statements=tuple(closed[1:])) == "deny"


def test_lost_after_days_in_a_row_without_an_answer():
    """`unreachable_dates`: tried on each of three dates in a row, in vain; the others may be asked from the next on."""
    lost = gate("kind: addressee", "may_be: [borrower]", "also: [{roles: [contact_person], unreachable_dates: 3}]")

    def about(*ago: float, beside: tuple[PastContact, ...] = (), borrower: int | None = 2, **changes: Any) -> str:
        tries = tuple(past(days * DAY, person=2, **changes) for days in ago)
        return outcome(lost, shared=tries + beside, role="contact_person", borrower=borrower)

    assert about(3, 2, 1) == "allow"
    assert about(2, 1, 0) == "defer"
    assert about(4, 2, 1) == "deny"
    assert about(1, 1.01, 1.02) == "deny"
    assert about(3, 2, 1, outcome="conversation") == "deny"
    # Only the borrower is who has to be lost: not another relative, nor somebody at the same number.
    assert about(3, 2, beside=(past(DAY, person=3),)) == "deny"
    assert about(3, 2, 1, beside=(past(DAY / 2, person=3, outcome="conversation"),)) == "allow"
    assert about(3, 2, 1, borrower=None) == "deny"


def test_a_waived_rule_binds_after_its_waiver():
    """In force, and not applied up to and with the last day of the waiver, at the addressee's date."""
    waived = gate("kind: hours", "open: {every_day: none}", "waived_to: 2026-02-11")
    assert outcome(waived, now=NOON - DAY) == "allow"
    assert outcome(waived) == "deny"


def test_a_draft_says_whether_it_is_followed():
    """A draft that is not followed is shown and never asked; one that does not say is refused."""
    closed = ("kind: hours", "open: {every_day: none}", "status: draft")
    assert outcome(gate(*closed, "binding: true")) == "deny"
    assert outcome(gate(*closed, "binding: false")) == "allow"
    assert refused(rule(*closed)) == (
        "law.yaml:10:5: rule 1 is a draft and does not say whether it is followed\n"
        "  mend: write `binding: true` to follow it as if in force, `binding: false` to show it only"
    )
    assert refused(rule("kind: hours", "open: {every_day: none}", "binding: false")) == (
        "law.yaml:15:5: `binding` is for drafts\n  mend: leave it out, or write `status: draft`"
    )
    assert refused(rule("kind: hours", "open: {every_day: none}", "waived_to: 1999-12-31")) == (
        "law.yaml:15:16: `waived_to` is before `from`\n  mend: give the last day of the waiver, or leave it out"
    )


def test_what_a_rule_replaces_has_ended():
    """It names a rule of its own pack, which ends before it begins."""
    new = rule("kind: hours", "open: {every_day: none}", "from: 2026-09-01", "replaces: xx.law.old", name="new")
    old = rule("kind: hours", "open: {every_day: none}", name="old")
    assert refused(old, new) == (
        "law.yaml:21:15: `xx.law.old` has not ended when `xx.law.new` begins\n  mend: give it `to:`, a day before 2026-09-01"
    )
    assert refused(new) == (
        "law.yaml:16:15: unknown rule `xx.law.old`\n  mend: name the rule of this pack that ends when this one begins"
    )
    assert read_pack(HEAD + old + "    to: 2026-08-31\n" + new, "law.yaml").rules[1].replaces == "xx.law.old"


def test_the_law_of_another_day():
    """A gate for one date asks the rules in force then, whatever the date of the contact, and its digest says so."""
    lines = ("kind: hours", "open: {every_day: none}", "from: 2026-09-01")
    as_it_is, before, after = (
        gate(*lines),
        gate(*lines, law_on=date(2026, 8, 31)),
        gate(*lines, law_on=date(2026, 9, 1)),
    )
    autumn = datetime(2026, 9, 30, 18, tzinfo=UTC)
    assert [outcome(one) for one in (as_it_is, before, after)] == ["allow", "allow", "deny"]
    assert [outcome(one, now=autumn) for one in (as_it_is, before, after)] == ["deny", "allow", "deny"]
    assert len({one.digest for one in (as_it_is, before, after)}) == 3
