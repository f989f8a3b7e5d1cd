"""Promises to pay: the one that is open, the latest, and the broken ones of this spell of delinquency."""

from typing import Final

from store.fact_sql.piece import Piece

PROMISES: Final = Piece(
    name="promised",
    key="loan_id",
    sql="""
select
    promise.loan_id,
    count(*) filter (where promise.status = 'open') as open_promises,
    min(promise.due_on) filter (where promise.status = 'open' and promise.due_on >= borrowed.on_on) as next_on,
    sum(promise.amount_minor) filter (where promise.status = 'open') as amount_minor,
    count(*) filter (where promise.status = 'broken' and promise.due_on >= borrowed.episode_on) as broken
from promise join borrowed on borrowed.loan_id = promise.loan_id
group by promise.loan_id
""",
    facts={
        "promise_open": "coalesce(promised.open_promises, 0) > 0",
        "promised_amount": "cast(coalesce(promised.amount_minor, 0) as bigint)",
        "days_to_promise": "coalesce(date_diff('day', borrowed.on_on, promised.next_on), :never)",
        "broken_promises_episode": "coalesce(promised.broken, 0)",
    },
)

LATEST_PROMISE: Final = Piece(
    name="last_promise",
    key="loan_id",
    sql="""
select loan_id, due_on, status, amount_minor, paid_minor
from promise
where status <> 'withdrawn'
qualify row_number() over (partition by loan_id order by made_at desc, id desc) = 1
""",
    facts={
        "days_past_promise": """
case
    when last_promise.status in ('open', 'broken') and last_promise.due_on < borrowed.on_on
        then date_diff('day', last_promise.due_on, borrowed.on_on)
    else 0
end
""",
        "promise_paid": """
case
    when last_promise.paid_minor >= last_promise.amount_minor then 100
    when last_promise.amount_minor > 0 then last_promise.paid_minor * 100 // last_promise.amount_minor
end
""",
    },
)
