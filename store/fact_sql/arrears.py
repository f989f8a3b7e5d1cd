"""
Arrears: how many days and how much, from the position and the open instalments, or from a core system's snapshot.

The same numbers as `store.arrears`, where they are defined and tested against this. A loan of which there is neither
a schedule nor a snapshot has unknown arrears, not none.
"""

from typing import Final

from store.fact_sql.piece import Piece, texts
from store.projection import CREDITS

FALLEN_DUE: Final = Piece(
    name="fallen_due",
    key="loan_id",
    sql="""
select
    instalment.loan_id,
    count(*) filter (where instalment.due_on < borrowed.on_on) as instalments,
    max(instalment.due_total_minor) filter (where instalment.due_on < borrowed.on_on) as due_minor,
    min(instalment.due_on) filter (where instalment.due_on >= borrowed.on_on) as next_due_on,
    min(instalment.due_total_minor) filter (where instalment.due_on >= borrowed.on_on) as next_due_minor,
    count(*) filter (
        where instalment.due_on < borrowed.on_on and instalment.due_total_minor = instalment.amount_minor
    ) as first_instalments
from instalment join borrowed on borrowed.loan_id = instalment.loan_id
where instalment.amount_minor > 0
group by instalment.loan_id
""",
    facts={},
)

AFTER_SNAPSHOT: Final = Piece(
    name="after_snapshot",
    key="loan_id",
    sql=f"""
select
    movement.loan_id,
    sum(case
        when movement.kind in ({texts(CREDITS)}) then movement.amount_minor
        when movement.kind = 'reversal' and ended.kind in ({texts(CREDITS)}) then -movement.amount_minor
        else 0
    end) as credit_minor,
    sum(case
        when movement.kind = 'fee' then movement.amount_minor
        when movement.kind = 'reversal' and ended.kind = 'fee' then -movement.amount_minor
        else 0
    end) as fee_minor
from movement
join borrowed on borrowed.loan_id = movement.loan_id and borrowed.basis = 'account'
join account_snapshot on account_snapshot.loan_id = movement.loan_id
    and movement.effective_on > account_snapshot.as_of_on
left join movement as ended on ended.id = movement.reverses_id and ended.effective_on > account_snapshot.as_of_on
group by movement.loan_id
""",
    facts={},
)

ACCOUNTS: Final = Piece(
    name="accounts",
    key="loan_id",
    sql="""
select
    borrowed.loan_id, borrowed.on_on, account_snapshot.next_due_on,
    account_snapshot.min_payment_minor - coalesce(after_snapshot.credit_minor, 0) as min_payment_minor,
    account_snapshot.dpd + date_diff('day', account_snapshot.as_of_on, borrowed.on_on) as days,
    account_snapshot.overdue_minor - coalesce(after_snapshot.credit_minor, 0) as overdue_minor,
    account_snapshot.balance_minor + coalesce(after_snapshot.fee_minor, 0) - coalesce(after_snapshot.credit_minor, 0)
        as balance_minor
from borrowed
join account_snapshot on account_snapshot.loan_id = borrowed.loan_id
left join after_snapshot on after_snapshot.loan_id = borrowed.loan_id
where borrowed.basis = 'account'
""",
    facts={},
)

SCHEDULES: Final = Piece(
    name="schedules",
    key="loan_id",
    sql="""
select
    borrowed.loan_id, borrowed.on_on, position.first_open_on, position.credit_minor, position.fee_minor,
    position.due_minor, fallen_due.instalments, fallen_due.first_instalments, fallen_due.next_due_on,
    coalesce(fallen_due.due_minor, 0) as fallen_due_minor,
    fallen_due.next_due_minor
from borrowed
join position on position.loan_id = borrowed.loan_id
left join fallen_due on fallen_due.loan_id = borrowed.loan_id
where borrowed.basis = 'schedule' and position.due_minor > 0
""",
    facts={},
)

ARREARS: Final = Piece(
    name="arrears",
    key="loan_id",
    sql="""
select
    loan_id,
    case when first_open_on < on_on then date_diff('day', first_open_on, on_on) else 0 end as dpd,
    case when fallen_due_minor > credit_minor then fallen_due_minor - credit_minor else 0 end as overdue_minor,
    case
        when next_due_on is null then null
        when next_due_minor > credit_minor then next_due_minor - credit_minor
        else 0
    end as min_payment_minor,
    due_minor + fee_minor - credit_minor as balance_minor,
    case
        when credit_minor <= due_minor then fee_minor
        when credit_minor < due_minor + fee_minor then due_minor + fee_minor - credit_minor
        else 0
    end as fees_minor,
    coalesce(instalments, 0) as instalments,
    coalesce(first_instalments, 0) > 0 as first_open,
    next_due_on
from schedules
union all
select
    loan_id,
    case when overdue_minor > 0 and days > 0 then days else 0 end as dpd,
    case when overdue_minor > 0 then overdue_minor else 0 end as overdue_minor,
    case
        when next_due_on >= on_on and min_payment_minor > 0 then min_payment_minor
        when next_due_on >= on_on then 0
    end as min_payment_minor,
    balance_minor, null as fees_minor, null as instalments, null as first_open,
    case when next_due_on >= on_on then next_due_on end as next_due_on
from accounts
""",
    facts={
        "dpd": "arrears.dpd",
        "overdue_amount": "arrears.overdue_minor",
        "min_payment_due": "arrears.min_payment_minor",
        "balance": "arrears.balance_minor",
        "fees_due": "arrears.fees_minor",
        "instalments_overdue": "arrears.instalments",
        "cycles_past_due": "(arrears.dpd + 29) // 30",
        "first_payment_default": "arrears.first_open",
        "days_to_due": """
case
    when arrears.next_due_on is not null then date_diff('day', borrowed.on_on, arrears.next_due_on)
    when borrowed.basis = 'schedule' and arrears.dpd is not null then :never
end
""",
    },
)

PAYMENTS: Final = Piece(
    name="paid",
    key="loan_id",
    sql="""
select position.loan_id, position.last_payment_on, position.pending_minor
from position
""",
    facts={
        "days_since_payment": """
case
    when paid.last_payment_on is not null then date_diff('day', paid.last_payment_on, borrowed.on_on)
    when borrowed.basis = 'schedule' and paid.loan_id is not null then :never
end
""",
        "pending_amount": "case when borrowed.basis = 'account' then coalesce(paid.pending_minor, 0) else paid.pending_minor end",
    },
)

DEBITS: Final = Piece(
    name="bounced",
    key="loan_id",
    sql="""
select
    movement.loan_id,
    max(movement.effective_on) as last_on,
    count(*) filter (
        where movement.kind = 'reversal' and date_diff('day', movement.effective_on, borrowed.on_on) < 90
    ) as reversals_90d
from movement join borrowed on borrowed.loan_id = movement.loan_id
where (movement.kind = 'reversal' and movement.ended_kind = 'payment') or movement.kind = 'pending_cancelled'
group by movement.loan_id
""",
    facts={
        "reversals_90d": "coalesce(bounced.reversals_90d, 0)",
        "debit_failed": "coalesce(bounced.last_on >= coalesce(paid.last_payment_on, bounced.last_on), false)",
    },
)
