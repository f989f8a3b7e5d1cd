"""Whether somebody might be addressed at all, and whether the notice that a contact owes had been served: read anew for the review."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from compliance.pack import NEVER_WAS, OUTCOMES, PENDING, Addressee, Also, Duty
from workflows.review.counted import facts_of
from workflows.review.happened import Made, Served, Whom, date_there

_LOST: Final = OUTCOMES["unanswered"] | OUTCOMES["nobody_met"] | {"not_in_service"}
_NO_NEWS: Final = NEVER_WAS | PENDING


def addressable(limit: Addressee, contact: Made, others: Sequence[Made], whom: Whom) -> bool:
    """Whether the limit lets whoever stands in that role be contacted: always, or in circumstances that are on file."""
    return contact.role in limit.roles or any(_admits(also, contact, others, whom) for also in limit.also)


def served(limit: Duty, contact: Made, whom: Whom) -> Served | None:
    """
    The notice that was in force for as long as the limit asks, at the person's place, when the contact was made.

    It counts where it was sent since the present spell of arrears began or, by the days past due that the contact was decided
    with, since these arrears did; where neither is known of the time, any that had not been found void counts.
    """
    today = min(date_there(contact.at, zone) for zone in whom.zones)
    ready = timedelta(days=limit.in_force_days)
    for notice in contact.served:
        stood = notice.voided is None or notice.voided > contact.begun
        if (
            notice.kind == limit.notice
            and stood
            and notice.effective + ready <= today
            and _is_of_then(notice, contact, whom)
        ):
            return notice
    return None


def _is_of_then(notice: Served, contact: Made, whom: Whom) -> bool:
    days = contact.facts.get("dpd")
    # The facts are those of the decision, which a task may have waited after.
    decided = max(date_there(contact.recorded, zone) for zone in whom.zones)
    made = max(date_there(contact.at, zone) for zone in whom.zones)
    if type(days) is int and (decided - notice.sent).days <= days:
        return True
    if contact.spell_on is None or contact.spell_on > made:
        return type(days) is not int
    return notice.sent >= contact.spell_on


def _admits(also: Also, contact: Made, others: Sequence[Made], whom: Whom) -> bool:
    if contact.role not in also.roles or (also.purposes and contact.purpose not in also.purposes):
        return False
    if also.given and facts_of(contact.facts, also.given):
        return True
    if also.unreachable_attempts is None and also.unreachable_dates is None:
        return not also.given
    return (
        also.unreachable_attempts is not None and _lost(contact, others, whom, attempts=also.unreachable_attempts)
    ) or (also.unreachable_dates is not None and _lost(contact, others, whom, dates=also.unreachable_dates))


def _lost(contact: Made, others: Sequence[Made], whom: Whom, *, attempts: int = 0, dates: int = 0) -> bool:
    """Whether the borrower was lost before that day: so many attempts in a row had failed, or some on so many dates in a row."""
    tries = sorted(
        (
            one
            for one in others
            if one.role == "borrower"
            and one.at <= contact.at
            and one.outcome not in _NO_NEWS
            and (one.direction == "in" or one.channel in ("call", "visit"))
        ),
        key=lambda one: (one.at, not _failed(one)),
    )
    since = max((number for number, one in enumerate(tries, 1) if not _failed(one)), default=0)
    row = tries[since:]
    if attempts:
        lost = [row[attempts - 1] if len(row) >= attempts else None]
    else:
        lost = [_dates_in_a_row(row, zone, dates) for zone in whom.zones]
    return all(one is not None and _is_later(contact, one, whom) for one in lost)


def _dates_in_a_row(row: Sequence[Made], zone: str, dates: int) -> Made | None:
    """The attempt on the last of the first so many dates in a row; None: there are not so many."""
    length, before = 0, None
    for one in row:
        day = date_there(one.at, zone)
        if day != before:
            length = length + 1 if before is not None and (day - before).days == 1 else 1
        before = day
        if length >= dates:
            return one
    return None


def _is_later(contact: Made, one: Made, whom: Whom) -> bool:
    return all(date_there(contact.at, zone) > date_there(one.at, zone) for zone in whom.zones)


def _failed(one: Made) -> bool:
    return one.direction == "out" and one.outcome in _LOST
