"""
The book of duties: what must be done by a day, whose it is, and that nobody forgets it.

Written anew from what is on file at each run, so that neither the order of events nor how often it runs makes a
difference; what a person said of a duty stays as they said it.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import insert, update
from sqlmodel import Session, col, select

from compliance import PackDates
from compliance.dated import Deadline
from compliance.duties import Due, Record, due, fulfilled
from compliance.pack import Pack, Rule
from store.db import Database
from store.duty_records import fulfilling, starting
from store.lock import sole
from store.matters import People, batches
from store.tables import Duty

log = logging.getLogger(__name__)

OURSELVES: Final = "duecourse"
"""Who closed a duty that the book itself shows to be done or void."""
_HORIZON: Final = timedelta(days=366)
"""Limitation that presses only after this is not written down yet: the book of duties grows with what is due."""
_BY_DAY: Final = ("review", "limitation", "agency")
"""Starts of which one subject can have several, each with its own day; of the others there is one per subject."""
MATCH: Final = "match."
"""How the rules of duties begin that no pack asks for: what `workflows.log.completeness` found."""
CLOSED: Final = ("done", "void")
"""Statuses of a duty that nobody owes any more."""

Key = tuple[str, date | None]
"""The subject, and the day where one subject has several."""
Values = dict[str, Any]
OPEN: Final[Values] = {"status": "open", "closed_at": None, "closed_by": "", "evidence": "", "lapsed_at": None}
"""A duty that somebody owes, whatever it was before."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A duty as the book would have it now; `status` without regard to what day it is."""

    due: Due
    status: str
    evidence: str = ""
    done_on: date | None = None


def keep_duties(
    database: Database, dates: PackDates, *, now: datetime, zone: str, language: str = "en"
) -> Mapping[str, int]:
    """
    Bring the book of duties up to date: new ones, those that are done or void, those that press and those that lapsed.

    Args:
        zone: the lender's, in which owners work: what today is.
        language: of the words that say what is to be done, `zh` or English.
    Returns:
        how many are `new`, `done`, `void`, `escalated`, `lapsed`, and how many were `reopened`, since what closed them is gone.
    Raises:
        StoreError: somebody else is at it, or the database cannot be written.
    """
    today = now.astimezone(ZoneInfo(zone)).date()
    counts: Counter[str] = Counter()
    with sole(database, "duties", what="the job that keeps the book of duties"):
        for pack, rule, deadline in dates.deadlines():
            counts += _keep(database, dates, (pack, rule, deadline), today=today, now=now, language=language)
        counts += _drop_orphans(database, [rule.id for _, rule, _ in dates.deadlines()], now)
        counts += _press(database, today, now)
    return {name: counts[name] for name in ("new", "done", "void", "reopened", "escalated", "lapsed")}


def _keep(
    database: Database,
    dates: PackDates,
    of: tuple[Pack, Rule, Deadline],
    *,
    today: date,
    now: datetime,
    language: str,
) -> Counter[str]:
    _, rule, deadline = of
    by_day = deadline.starts.what in _BY_DAY
    with database.session() as session:
        known = {_key(duty.subject, duty.start_on, by_day): duty for duty in _known(session, deadline, rule)}
        session.expunge_all()
        wanted = dict(_wanted(session, dates, of, today, now, known.keys()))
    says = rule.says_zh if language.startswith("zh") else rule.says_en
    new = [_new(one, says, now) for key, one in wanted.items() if key not in known]
    changes = []
    for key, duty in known.items():
        one = wanted.get(key)
        if duty.closed_by not in ("", OURSELVES):
            if one is not None and one.status == "open" and deadline.starts.what == "review":
                # It was looked at, it goes on, and what is on file (an old import, say) names no later day.
                extra = {"action": "alert", "duty": duty.id, "subject": duty.subject, "due_on": duty.due_on.isoformat()}
                log.error("a hold stands whose day of review is over", extra=extra)
        elif one is not None:
            changes.append((duty, _changed(duty, one, today, now)))
        elif duty.status not in CLOSED:
            changes.append((duty, closed("void", _why_gone(duty, wanted), now)))
    return write_duties(database, new, [(duty, values) for duty, values in changes if values])


def _known(session: Session, deadline: Deadline, rule: Rule) -> Sequence[Duty]:
    query = select(Duty).where(col(Duty.rule) == rule.id)
    if deadline.starts.what == "statement":
        # What was said is never unsaid: what is done stays done.
        query = query.where(col(Duty.status) != "done")
    return session.exec(query.order_by(col(Duty.id))).all()


def _wanted(
    session: Session,
    dates: PackDates,
    of: tuple[Pack, Rule, Deadline],
    today: date,
    now: datetime,
    known: Collection[Key],
) -> Iterator[tuple[Key, _Wanted]]:
    pack, rule, deadline = of
    people = People(session)
    until_on = today + timedelta(days=deadline.lead_days) + _HORIZON
    starts = [
        start
        for start in starting(session, deadline.starts, rule.id, people, until_on=until_on, now=now)
        # A day that stands in the book is looked after under the rules of today.
        if dates.binds(pack, rule, people.matter(start), today if deadline.within is None else start.on)
    ]
    later = fulfilling(session, deadline.done_by, starts, people)
    by_day = deadline.starts.what in _BY_DAY
    # An agency that works in several countries is one all the same, from its first contact on.
    first = {start.subject: start for start in sorted(starts, key=lambda start: start.on, reverse=True)}
    for start in first.values():
        one = due(rule, deadline, start, people.matter(start))
        key = _key(start.subject, start.on, by_day)
        about = start.person if deadline.done_by and deadline.done_by.what == "statement" else start.loan
        done = fulfilled(one, later.get(about or 0, ()))
        over = people.is_over(start)
        if key not in known and (over or _before_the_book(one, people)):
            continue
        if done is not None:
            # In a rehearsal it may have been written down after the day that is rehearsed.
            done_on = min(done.done_on or today, today)
            yield key, _Wanted(one, "done", _evidence(done, one), done_on)
        else:
            yield key, _Wanted(one, "void", "the loan is closed or sold") if over else _Wanted(one, "open")


def _before_the_book(one: Due, people: People) -> bool:
    """Whether it had to be done before we knew of the borrower, and cannot be done any more."""
    start, mark = one.start, one.deadline.done_by
    if start.person is None or start.what == "agency":
        return False
    there = people.place(start.person)
    still_stands = mark is not None and mark.what == "end" and start.done_on is None
    return one.due_on < there.day(there.came_at) and not still_stands


def _evidence(done: Record, one: Due) -> str:
    kind, _, number = done.subject.partition(":")
    if done == one.start:
        return f"the {kind} ended on {done.done_on}" if kind == "hold" else "its entry in the book"
    return f"{done.kind} {number} of {done.done_on}".strip()


def _key(subject: str, start_on: date, by_day: bool) -> Key:
    return subject, start_on if by_day else None


def _new(one: _Wanted, says: str, now: datetime) -> Values:
    start = one.due.start
    return {
        "rule": one.due.rule.id,
        "subject": start.subject,
        "start_on": start.on,
        "what": says,
        "person_id": None if start.what == "agency" else start.person,
        "loan_id": start.loan,
        "due_on": one.due.due_on,
        "escalate_on": one.due.escalate_on,
        "owner": one.due.deadline.owner or start.owner,
        "recorded_at": now,
        **OPEN,
        **_end(one, now),
    }


def _changed(duty: Duty, one: _Wanted, today: date, now: datetime) -> Values:
    """What is otherwise than it stands there."""
    values: Values = {"start_on": one.due.start.on, "due_on": one.due.due_on, "escalate_on": one.due.escalate_on}
    if one.status in CLOSED:
        if (duty.status, duty.evidence) != (one.status, one.evidence):
            values |= _end(one, now)
    elif duty.status in CLOSED:
        values |= OPEN
    elif duty.status == "lapsed" and today <= one.due.due_on:
        # Its day has moved, and is not over.
        values |= {"status": "open", "lapsed_at": None}
    if today < one.due.escalate_on:
        values["escalated_at"] = None
    return {name: value for name, value in values.items() if getattr(duty, name) != value}


def _end(one: _Wanted, now: datetime) -> Values:
    """How a duty ends by what is on file. Done in time is in time, whenever we heard of it; late is said, too."""
    if one.status not in CLOSED:
        return {}
    values = closed(one.status, one.evidence, now)
    if one.done_on is not None:
        is_late = one.done_on > one.due.due_on
        values["lapsed_at"] = now if is_late else None
        if is_late:
            day = one.due.due_on.isoformat()
            extra = {"action": "alert", "rule": one.due.rule.id, "subject": one.due.start.subject, "due_on": day}
            log.error("a duty was done late", extra=extra)
    return values


def closed(status: str, evidence: str, now: datetime) -> Values:
    """What a duty is once the book itself shows that nobody owes it any more."""
    return {"status": status, "closed_at": now, "closed_by": OURSELVES, "evidence": evidence}


def _why_gone(duty: Duty, wanted: Mapping[Key, _Wanted]) -> str:
    moved = [one.due.due_on for (subject, _), one in wanted.items() if subject == duty.subject]
    return f"its day is {min(moved)} now" if moved else "what asked for it is gone"


def _drop_orphans(database: Database, rules: Sequence[str], now: datetime) -> Counter[str]:
    """Duties of rules that no pack holds any more."""
    with database.session() as session:
        query = select(Duty).where(
            col(Duty.status).not_in(CLOSED),
            col(Duty.rule).not_in(rules),
            ~col(Duty.rule).startswith(MATCH, autoescape=True),
        )
        gone = session.exec(query.order_by(col(Duty.id))).all()
        session.expunge_all()
    return write_duties(database, [], [(duty, closed("void", "no pack asks for it any more", now)) for duty in gone])


def _press(database: Database, today: date, now: datetime) -> Counter[str]:
    """Mark what presses and what has lapsed, once each, and say so."""
    counts: Counter[str] = Counter()
    with database.write() as session:
        pressing = select(Duty).where(col(Duty.status) == "open", col(Duty.escalate_on) <= today)
        for duty in session.exec(pressing.order_by(col(Duty.id)).with_for_update()):
            if duty.due_on < today:
                duty.status, duty.lapsed_at, word = "lapsed", now, "lapsed"
            elif duty.escalated_at is None:
                word = "escalated"
            else:
                continue
            duty.escalated_at = duty.escalated_at or now
            session.add(duty)
            counts[word] += 1
            extra = {"action": "alert", "duty": duty.id, "rule": duty.rule, "subject": duty.subject}
            extra["due_on"] = duty.due_on.isoformat()
            if word == "lapsed":
                log.error("a duty has lapsed", extra=extra)
            else:
                log.warning("a duty is due soon", extra=extra)
    with database.session() as session:
        lapsed = session.exec(select(Duty.id).where(col(Duty.status) == "lapsed")).all()
    if lapsed:
        log.error("duties have lapsed and are not done", extra={"action": "alert", "duties": len(lapsed)})
    return counts


def write_duties(database: Database, new: Sequence[Values], changes: Sequence[tuple[Duty, Values]]) -> Counter[str]:
    """Write new duties and what changed of others, a person's word excepted; how many ended, and how many are open again."""
    counts: Counter[str] = Counter()
    for numbers in batches(range(len(new))):
        with database.write() as session:
            session.connection().execute(insert(Duty), [new[n] for n in numbers])
        counts["new"] += len(numbers)
    counts["done"] += sum(values["status"] == "done" for values in new)
    for numbers in batches(range(len(changes))):
        with database.write() as session:
            for duty, values in (changes[n] for n in numbers):
                # Whoever closed it by hand since we read it has the last word.
                ours = col(Duty.closed_by).in_(("", OURSELVES))
                session.connection().execute(update(Duty).where(col(Duty.id) == duty.id, ours).values(**values))
                word = values.get("status")
                if word in CLOSED:
                    counts[word] += 1
                elif word == "open" and duty.status in CLOSED:
                    counts["reopened"] += 1
    return counts
