"""
What the contact log says: how long ago, how often, with which outcome.

Cancelled and expired contacts never happened; planned ones have not happened yet, nor have tasks that wait in a queue
(`sent`, and nothing came of it yet). A message that failed was not made and counts only where that outcome is asked for; a call or visit that
failed was made all the same. What reached somebody else never counts. Days are the borrower's calendar days.
"""

from collections.abc import Iterable
from typing import Final

from engine.facts import Counter
from store.fact_sql.clock import DAY_US
from store.fact_sql.piece import Piece, texts

HAPPENED: Final = ("sending", "sent", "delivered", "unknown", "failed")
"""Statuses of what has left us, or may have."""
TASKS: Final = ("call", "visit", "letter", "legal")
"""Channels of which `sent` without an outcome is a task that waits."""

REACHED: Final = ("conversation", "met", "promise", "refused", "dispute")
"""Outcomes in which the right person was spoken to."""

_COLUMNS: Final = f"""
    contact.channel, contact.direction,
    contact.status <> 'failed' or contact.channel in ('call', 'visit') as made,
    case
        when contact.status in ('sending', 'unknown') then contact.status
        else coalesce(nullif(contact.outcome, ''), contact.status)
    end as outcome,
    borrowed.day - (contact.at + clock_span.offset_us) // {DAY_US} as days_ago
"""

_ON_A_DAY: Final = f"""
join clock_span on clock_span.clock = borrowed.clock
    and clock_span.from_us <= contact.at and contact.at < clock_span.until_us
where contact.status in ({texts(HAPPENED)})
    and not (contact.status = 'sent' and contact.outcome = '' and contact.channel in ({texts(TASKS)}))
    and not contact.misdirected and contact.at <= (select now_us from moment)
"""

TOLD: Final = Piece(
    name="told",
    key="borrower_id",
    sql=f"""
select borrowed.borrower_id, {_COLUMNS.strip()}
from (select distinct borrower_id, clock, day from borrowed) as borrowed
join contact on contact.person_id = borrowed.borrower_id
{_ON_A_DAY.strip()}
""",
    facts={},
)
"""Contacts with the borrower, one row each: what the pieces below count."""

TOLD_ABOUT: Final = Piece(
    name="told_about",
    key="loan_id",
    sql=f"""
select borrowed.loan_id, {_COLUMNS.strip()}
from borrowed
join contact_loan on contact_loan.loan_id = borrowed.loan_id
join contact on contact.id = contact_loan.contact_id
{_ON_A_DAY.strip()}
""",
    facts={},
)
"""Contacts about the loan, whoever was addressed, one row each."""

LAST_CONTACTS: Final = Piece(
    name="last_told",
    key="borrower_id",
    sql=f"""
select
    borrower_id,
    min(days_ago) filter (where direction = 'out' and channel = 'call') as call_days,
    min(days_ago) filter (where outcome in ({texts(REACHED)})) as conversation_days,
    min(days_ago) filter (where direction = 'out' and channel in ('sms', 'email') and made) as message_days
from told
group by borrower_id
""",
    facts={
        "days_since_call": "coalesce(last_told.call_days, :never)",
        "days_since_conversation": "coalesce(last_told.conversation_days, :never)",
        "days_since_message": "coalesce(last_told.message_days, :never)",
    },
)


def counter_pieces(counters: Iterable[Counter]) -> tuple[Piece, ...]:
    """The pieces that count what a catalogue's counters declare."""
    ordered = sorted(counters, key=lambda counter: counter.name)
    by_person = tuple(c for c in ordered if c.by == "person")
    by_loan = tuple(c for c in ordered if c.by == "loan")
    pieces: list[Piece] = []
    if by_person:
        pieces.append(_counted("counted", "borrower_id", "told", by_person))
    if by_loan:
        pieces += (TOLD_ABOUT, _counted("counted_about", "loan_id", "told_about", by_loan))
    return tuple(pieces)


def _counted(name: str, key: str, source: str, counters: tuple[Counter, ...]) -> Piece:
    counts = ",\n    ".join(f"count(*) filter (where {_condition(c)}) as {c.name}" for c in counters)
    return Piece(
        name=name,
        key="loan_id" if key == "loan_id" else "borrower_id",
        sql=f"\nselect\n    {key},\n    {counts}\nfrom {source}\ngroup by {key}\n",
        facts={c.name: f"coalesce({name}.{c.name}, 0)" for c in counters},
    )


def _condition(counter: Counter) -> str:
    # Today is day 0, so that "in the last 7 days" is today and the six days before it.
    parts = [f"days_ago < {counter.days}", f"direction = '{counter.direction}'"]
    if counter.channels:
        parts.append(f"channel in ({texts(counter.channels)})")
    if counter.outcomes:
        parts.append(f"outcome in ({texts(counter.outcomes)})")
    else:
        parts.append("made")
    return " and ".join(parts)
