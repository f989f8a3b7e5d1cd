"""Dated duties: what on file starts one, by when it must be done, and what on file has done it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from compliance.dated import Deadline, Mark
from compliance.pack import Rule
from compliance.pack_dates import Matter, PackDates


@dataclass(frozen=True, slots=True)
class Record:
    """
    One thing on file that may start a duty or fulfil one.

    Attributes:
        what: contact, hold, review (of a hold), statement, notice, limitation, agency.
        kind: of hold, statement or notice; of a contact its channel.
        on: its day where the person is: of a notice the day it is in force, of a review or limitation the last day.
        subject: names it in the book of duties, e.g. `hold:12`.
        outcome: of a contact.
        form: of a hold: written, electronic, oral; empty is not known.
        done_on: of a hold or its review, the day it ended; of a notice, the day it was sent; of a contact or statement, its day.
        owner: of a hold.
        person, loan: whom and what it is about.
    """

    what: str
    kind: str
    on: date
    subject: str
    outcome: str = ""
    form: str = ""
    done_on: date | None = None
    owner: str = ""
    person: int | None = None
    loan: int | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A duty: the rule that sets it, what started it, its last day, and from when it is to be looked at before all else."""

    rule: Rule
    deadline: Deadline
    start: Record
    due_on: date
    escalate_on: date


def due(rule: Rule, deadline: Deadline, start: Record, matter: Matter) -> Due:
    """The duty that a record starts."""
    lead = timedelta(days=deadline.lead_days)
    if deadline.within is None:
        return Due(rule, deadline, start, start.on, start.on - lead)
    due_on = deadline.within.after(start.on, matter.places)
    return Due(rule, deadline, start, due_on, max(start.on, due_on - lead))


def duties(dates: PackDates, records: Iterable[Record], matter: Matter) -> Iterator[Due]:
    """Every duty that the records about one loan and its borrower start, whatever has become of it since."""
    known = sorted(records, key=lambda record: (record.on, record.subject))
    for pack, rule, deadline in dates.deadlines():
        for start in starts(deadline, known):
            if dates.binds(pack, rule, matter, start.on):
                yield due(rule, deadline, start, matter)


def starts(deadline: Deadline, records: Iterable[Record]) -> Iterator[Record]:
    """The records that start a deadline; of contacts the first one only. `records`: earliest first."""
    for record in records:
        if _fits(deadline.starts, record):
            yield record
            if record.what == "contact":
                return


def fulfilled(one: Due, records: Iterable[Record]) -> Record | None:
    """
    What has fulfilled a duty: the earliest of it, or None.

    A duty that its entry in the book fulfils is fulfilled by its own start: on the day it was written down.
    """
    mark, start = one.deadline.done_by, one.start
    if mark is None:
        return None
    if mark.what == "entry":
        return start
    if mark.what == "end":
        return start if start.done_on is not None else None
    # A notice may have been served before: with the first message, or ahead of it. Other things must come after; where
    # the start is the last day, what comes while it presses.
    since = date.min if mark.what == "notice" else one.escalate_on if one.deadline.within is None else start.on
    fitting = (
        record
        for record in records
        if _fits(mark, record)
        and (record.what, record.subject) != (start.what, start.subject)
        and record.done_on is not None
        and record.done_on >= since
    )
    return min(fitting, key=lambda record: (record.done_on or date.max, record.subject), default=None)


def _fits(mark: Mark, record: Record) -> bool:
    return (
        record.what == mark.what
        and (not mark.kinds or record.kind in mark.kinds)
        and (not mark.outcomes or record.outcome in mark.outcomes)
        and (not mark.forms or not record.form or record.form in mark.forms)
    )
