"""Arrears of many loans, days and states of knowledge in one DuckDB statement: the same answer as `store.arrears.arrears`."""

from typing import Final

from store.projection import CREDITS

_CREDITS_SQL: Final = ", ".join(f"'{kind}'" for kind in CREDITS)

ARREARS_SQL: Final = f"""
with asked_once as (select distinct loan_id, on_on, known_at from asked),
moved as (
    select asked_once.*, movement.id, movement.kind, movement.amount_minor, movement.reverses_id
    from asked_once join movement on movement.loan_id = asked_once.loan_id
        and movement.recorded_at <= asked_once.known_at and movement.effective_on <= asked_once.on_on
),
folded as (
    select moved.loan_id, moved.on_on, moved.known_at,
        sum(case when moved.kind in ({_CREDITS_SQL}) then moved.amount_minor
                 when ended.kind in ({_CREDITS_SQL}) then -moved.amount_minor
                 else 0 end) as credit_minor,
        sum(case when moved.kind = 'fee' then moved.amount_minor
                 when ended.kind = 'fee' then -moved.amount_minor
                 else 0 end) as fee_minor
    from moved left join moved as ended on moved.kind = 'reversal' and ended.id = moved.reverses_id
        and ended.on_on = moved.on_on and ended.known_at = moved.known_at
    group by moved.loan_id, moved.on_on, moved.known_at
),
under_way as (
    select asked_once.loan_id, asked_once.on_on, asked_once.known_at, sum(movement.amount_minor) as pending_minor
    from asked_once join movement on movement.loan_id = asked_once.loan_id
        and movement.recorded_at <= asked_once.known_at and movement.kind = 'pending_debit'
    left join moved as ending on ending.reverses_id = movement.id
        and ending.on_on = asked_once.on_on and ending.known_at = asked_once.known_at
    where ending.id is null
    group by asked_once.loan_id, asked_once.on_on, asked_once.known_at
),
known as (
    select asked_once.*,
        coalesce(folded.credit_minor, 0) as credit_minor,
        coalesce(folded.fee_minor, 0) as fee_minor,
        coalesce(under_way.pending_minor, 0) as pending_minor
    from asked_once
    left join folded on folded.loan_id = asked_once.loan_id
        and folded.on_on = asked_once.on_on and folded.known_at = asked_once.known_at
    left join under_way on under_way.loan_id = asked_once.loan_id
        and under_way.on_on = asked_once.on_on and under_way.known_at = asked_once.known_at
),
laid_out as (
    select known.*, instalment.number, instalment.due_on, instalment.amount_minor, instalment.due_total_minor,
        coalesce(instalment.due_total_minor > known.credit_minor and instalment.amount_minor > 0, false) as uncovered
    from known left join instalment on instalment.loan_id = known.loan_id
),
stand as (
    select loan_id, on_on, known_at, credit_minor, fee_minor, pending_minor,
        coalesce(sum(amount_minor), 0) as due_minor,
        min(due_on) filter (where uncovered) as first_unpaid_on,
        count(*) filter (where uncovered and due_on < on_on) as instalments_overdue,
        coalesce(max(due_total_minor) filter (where uncovered and due_on < on_on) - credit_minor, 0) as overdue_minor,
        min(due_on) filter (where uncovered and due_on >= on_on) as due_next_on,
        coalesce(
            arg_min(least(amount_minor, due_total_minor - credit_minor), number) filter (where uncovered and due_on >= on_on),
            0
        ) as due_next_minor
    from laid_out
    group by loan_id, on_on, known_at, credit_minor, fee_minor, pending_minor
)
select loan_id, on_on, known_at,
    case when first_unpaid_on < on_on then date_diff('day', first_unpaid_on, on_on) else 0 end as dpd,
    overdue_minor::bigint as overdue_minor,
    instalments_overdue::bigint as instalments_overdue,
    due_next_on,
    due_next_minor::bigint as due_next_minor,
    greatest(0, fee_minor - greatest(0, credit_minor - due_minor))::bigint as fees_due_minor,
    pending_minor::bigint as pending_minor,
    (due_minor + fee_minor - credit_minor)::bigint as balance_minor,
    first_unpaid_on
from stand
"""
"""
Reads three tables that the caller registers: `instalment` and `movement` with the columns of `store.tables`, and `asked`
(loan_id, on_on, known_at), one row per question; the same loan may be asked about many days and instants. The two
instants `recorded_at` and `known_at` are of one type, whichever. One row per distinct question comes back, in no
order, with the columns of `store.arrears.Arrears`.
"""
