"""Invariant 10: every dated duty has an owner and escalates before it lapses; nothing with a day is forgotten."""

from collections.abc import Iterator
from datetime import date, timedelta

from tests.simulation.records import Records, Row, Violation, grouped, local, stamp

_LENDER_ZONE = "Asia/Shanghai"
"""The lender's settings: which day it is for those who own the duties."""
_REVOCATIONS = ("opt_out", "no_medium", "no_endpoint", "no_contact")
_FEDERAL = frozenset({
    date(2026, 1, 1), date(2026, 1, 19), date(2026, 2, 16), date(2026, 5, 25), date(2026, 6, 19), date(2026, 7, 3),
    date(2026, 9, 7), date(2026, 10, 12), date(2026, 11, 11), date(2026, 11, 26), date(2026, 12, 25),
})  # fmt: skip
"""Federal holidays of the simulated year, copied from a calendar on the wall."""
_ENDED = ("done", "void")


def deadlines(records: Records) -> Iterator[Violation]:
    """The book of duties against the holds, statements and loans it should have been written from."""
    looks = sorted(row["now_at"] for row in records["run"] if row["kind"] == "sweep")
    if not looks:
        return
    # The job runs just before the sweep, every night.
    last = looks[-1]
    today = local(last, _LENDER_ZONE).date()
    yield from _kept_in_time(records, last, today)
    subjects = grouped(records["duty"], "subject")
    yield from _reviews(records, subjects, last)
    yield from _revocations(records, subjects, last)
    yield from _limitation(records, subjects, today)


def _kept_in_time(records: Records, last: int, today: date) -> Iterator[Violation]:
    for duty in records["duty"]:
        if not duty["owner"].strip():
            yield _wrong(duty, "has no owner")
        if duty["escalate_on"] >= duty["due_on"]:
            yield _wrong(duty, f"escalates on {duty['escalate_on']} only")
        if duty["status"] in _ENDED:
            if duty["closed_at"] is None or not duty["closed_by"] or not duty["evidence"]:
                yield _wrong(duty, f"is {duty['status']}, and nothing says why")
            continue
        if duty["recorded_at"] > last:
            continue
        if duty["escalate_on"] <= today and duty["escalated_at"] is None:
            yield _wrong(duty, f"has pressed since {duty['escalate_on']}, and nobody was told by {stamp(last)}")
        known_on = local(duty["recorded_at"], _LENDER_ZONE).date()
        if duty["escalated_at"] is not None and known_on <= duty["due_on"]:
            told_on = local(duty["escalated_at"], _LENDER_ZONE).date()
            if told_on > duty["due_on"]:
                yield _wrong(duty, f"was first told of on {told_on}")
        if (duty["due_on"] < today) != (duty["status"] == "lapsed" and duty["lapsed_at"] is not None):
            yield _wrong(duty, f"is {duty['status']} on {today}")


def _reviews(records: Records, subjects: dict[str, list[Row]], last: int) -> Iterator[Violation]:
    for hold in records["hold"]:
        ended = hold["ends_at"] is not None and hold["ends_at"] <= last
        if ended or hold["recorded_at"] > last or _is_over(records, hold):
            continue
        days = [duty["due_on"] for duty in subjects.get(f"hold:{hold['id']}", ())]
        if hold["review_on"] not in days:
            yield Violation("10", f"hold {hold['id']}", f"nobody owes its review on {hold['review_on']}: {days}")


def _revocations(records: Records, subjects: dict[str, list[Row]], last: int) -> Iterator[Violation]:
    for said in records["consent"]:
        person = records.people[said["person_id"]]
        if person["country"] != "US" or said["kind"] not in _REVOCATIONS or said["received_at"] > last:
            continue
        duties = [
            duty for duty in subjects.get(f"consent:{said['id']}", ()) if duty["rule"] == "us.tcpa.revoke.in_time"
        ]
        # Which day it was for them is asked when the duty is written; whoever moves later does not change it.
        moment = records.moment("duty", duties[0]) if duties else None
        due_on = _ten_business_days(records.on(person["id"], said["received_at"], moment))
        if due_on < local(person["created_at"], "UTC").date():
            continue
        if [duty["due_on"] for duty in duties] != [due_on]:
            yield Violation("10", f"statement {said['id']}", f"is to be processed by {due_on}: {duties}")


def _ten_business_days(day: date) -> date:
    left = 10
    while left:
        day += timedelta(days=1)
        if day.weekday() < 5 and day not in _FEDERAL:
            left -= 1
    return day


def _limitation(records: Records, subjects: dict[str, list[Row]], today: date) -> Iterator[Violation]:
    for loan in records["loan"]:
        last_on = loan["limitation_on"]
        if last_on is None or loan["stage"] == "closed" or loan["custody"] == "sold":
            continue
        pressing = today + timedelta(days=180) >= last_on >= loan["opened_on"]
        days = [duty["due_on"] for duty in subjects.get(f"loan:{loan['id']}", ())]
        if pressing and last_on not in days:
            yield Violation("10", f"loan {loan['id']}", f"nobody owes its limitation on {last_on}")


def _is_over(records: Records, hold: Row) -> bool:
    loans = [
        loan
        for loan in records["loan"]
        if hold["loan_id"] in (None, loan["id"])
        and (hold["loan_id"] is not None or loan["borrower_id"] == hold["person_id"])
    ]
    return bool(loans) and all(loan["stage"] == "closed" or loan["custody"] == "sold" for loan in loans)


def _wrong(duty: Row, what: str) -> Violation:
    return Violation("10", f"duty {duty['id']} ({duty['rule']}, {duty['subject']}, due {duty['due_on']})", what)
