"""
Positions, folded from the ledger by one statement: for a loan just paid and for a book just imported.

Folding a loan anew costs its own few dozen rows and cannot drift from them, in whatever order they came.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from store.tables import Person, Position

CREDITS: Final = ("payment", "credit", "waiver", "forgiveness")
"""The kinds that lower what is claimed; a charge-off does not."""

_LOANS_PER_STATEMENT: Final = 1000

_CREDITS_SQL: Final = ", ".join(f"'{kind}'" for kind in CREDITS)


def position_statements(loans: str) -> tuple[str, str]:
    """
    The two statements that bring positions up to date after movements or instalments changed, to be run in that transaction.

    They mean the same on SQLite and PostgreSQL, and also when they are run again.

    Args:
        loans: a query for the loans to fold, e.g. `select loan_id from movement where feed_id = 7`.
    Returns:
        the one that folds the positions, and the one that bumps their borrowers' versions, so that a contact
        planned before is looked at again.
    """
    fold = f"""
insert into position (loan_id, due_minor, credit_minor, fee_minor, pending_minor, first_open_number, first_open_on,
                      first_open_minor, first_open_total_minor, last_payment_on, reversals, version)
with chosen as (select id as loan_id from loan where id in ({loans})),
due as (
    select loan_id, sum(amount_minor) as due_minor from instalment
    where loan_id in (select loan_id from chosen) group by loan_id
),
folded as (
    select moved.loan_id,
        sum(case when moved.kind in ({_CREDITS_SQL}) then moved.amount_minor
                 when moved.kind = 'reversal' and ended.kind in ({_CREDITS_SQL}) then -moved.amount_minor
                 else 0 end) as credit_minor,
        sum(case when moved.kind = 'fee' then moved.amount_minor
                 when moved.kind = 'reversal' and ended.kind = 'fee' then -moved.amount_minor
                 else 0 end) as fee_minor,
        sum(case when moved.kind = 'pending_debit' and ending.id is null then moved.amount_minor
                 else 0 end) as pending_minor,
        max(case when moved.kind = 'payment' and coalesce(ending.amount_minor, 0) < moved.amount_minor
                 then moved.effective_on end) as last_payment_on,
        sum(case when moved.kind = 'reversal' and ended.kind = 'payment' then 1 else 0 end) as reversals
    from movement as moved
    left join movement as ended on ended.id = moved.reverses_id
    left join movement as ending on ending.reverses_id = moved.id
    where moved.loan_id in (select loan_id from chosen)
    group by moved.loan_id
),
first_open as (
    select instalment.loan_id, min(instalment.number) as number
    from instalment left join folded on folded.loan_id = instalment.loan_id
    where instalment.loan_id in (select loan_id from chosen)
        and instalment.due_total_minor > coalesce(folded.credit_minor, 0)
    group by instalment.loan_id
)
select chosen.loan_id, coalesce(due.due_minor, 0), coalesce(folded.credit_minor, 0), coalesce(folded.fee_minor, 0),
    coalesce(folded.pending_minor, 0), first_open.number, opened.due_on, opened.amount_minor,
    opened.due_total_minor, folded.last_payment_on, coalesce(folded.reversals, 0), 1
from chosen
left join due on due.loan_id = chosen.loan_id
left join folded on folded.loan_id = chosen.loan_id
left join first_open on first_open.loan_id = chosen.loan_id
left join instalment as opened on opened.loan_id = first_open.loan_id and opened.number = first_open.number
where true
on conflict (loan_id) do update set
    due_minor = excluded.due_minor, credit_minor = excluded.credit_minor, fee_minor = excluded.fee_minor,
    pending_minor = excluded.pending_minor, first_open_number = excluded.first_open_number,
    first_open_on = excluded.first_open_on, first_open_minor = excluded.first_open_minor,
    first_open_total_minor = excluded.first_open_total_minor, last_payment_on = excluded.last_payment_on,
    reversals = excluded.reversals, version = position.version + 1
"""
    bump = f"""
update person set version = version + 1
where id in (select borrower_id from loan where id in ({loans}))
"""
    return fold, bump


def project(session: Session, loan_ids: Collection[int]) -> None:
    """Bring the positions of these loans and their borrowers' versions up to date, in the caller's transaction."""
    session.flush()
    connection = session.connection()
    ordered = sorted(set(loan_ids))
    for start in range(0, len(ordered), _LOANS_PER_STATEMENT):
        chunk = ", ".join(str(int(loan_id)) for loan_id in ordered[start : start + _LOANS_PER_STATEMENT])
        for statement in position_statements(f"select id from loan where id in ({chunk})"):
            connection.execute(text(statement))
    # Rows that the caller holds say what is true now.
    for row in list(session.identity_map.values()):
        if isinstance(row, Position | Person):
            session.refresh(row)
