"""
Events for what an import brought, so that rules with `on:` hear of it.

Only what is news: the first file of a kind sets the book up, and what its source recorded well before the last file
was made is history that arrived late. The sweep sees all of it in the book all the same.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from store.bulk_arrow import BulkTransaction, table_of
from store.columns import to_us
from workflows.importing.compare import newest_feed
from workflows.importing.delivery import Delivery
from workflows.importing.lists import matching

_LATE_MAX: Final = timedelta(days=2)
"""How long after it was recorded something may take to reach a feed and still be news; a weekend's cut-off."""

_EVENTS: Final[Mapping[str, str]] = {
    # Whatever lowers the claim may cure it, not only a payment.
    "movements": """
        select 'movement:' || f.ref as key, f.row, l.borrower_id as person_id, f.loan_id, f.recorded_at as happened_at,
            case when f.kind in ('payment', 'credit', 'waiver', 'forgiveness') then 'payment'
                when f.kind = 'pending_debit' then 'pending_debit'
                when f.kind = 'pending_cancelled' or (f.kind = 'reversal' and e.kind = 'payment')
                    then 'payment_reversed' end as kind
        from fresh f join loan_ref l on l.id = f.loan_id left join endable e on e.ref = f.ends""",
    "holds": """
        select 'hold:' || ref as key, row, person_id, loan_id, $as_of as happened_at,
            case kind when 'dispute' then 'dispute' else 'hold_placed' end as kind
        from fresh where ends_at is null or ends_at > $now
        union all
        select 'hold:' || a.ref || ':released:' || a.ends_at, a.row, a.person_id, a.loan_id, $as_of, 'hold_released'
        from altered a join known k using (ref)
        where a.ends_at <= $now and (k.ends_at is null or k.ends_at > a.ends_at)""",
    "promises": """
        select 'promise:' || f.ref as key, f.row, l.borrower_id as person_id, f.loan_id, f.made_at as happened_at,
            'promise_made' as kind
        from fresh f join loan_ref l on l.id = f.loan_id where f.status = 'open'
        union all
        select 'promise:' || a.ref || ':' || a.status, a.row, l.borrower_id, a.loan_id, $as_of, 'promise_' || a.status
        from altered a join known k using (ref) join loan_ref l on l.id = a.loan_id
        where a.status in ('kept', 'broken') and k.status <> a.status""",
    "contacts": """
        select id as key, row, person_id, loan_id, fresh."at" as happened_at,
            case when direction = 'in' then 'reply' when status = 'failed' then 'delivery_failed'
                when channel in ('call', 'visit') then 'call_outcome' end as kind
        from fresh""",
}
"""Kind of file -> what in it is an event: key, kind, person, loan, when."""


def tell(delivery: Delivery, transaction: BulkTransaction) -> None:
    """Write the events of `fresh` and `altered`; a replay of the same file writes none."""
    query = _EVENTS.get(delivery.kind.name)
    before = newest_feed(delivery, transaction) if query else None
    if query is None or before is None:
        return
    now, as_of = to_us(delivery.now), to_us(delivery.as_of)
    query = query.replace("$now", str(now)).replace("$as_of", str(as_of))
    detail = json.dumps({"feed": delivery.file.digest[:12]})
    delivery.make(
        "news",
        f"select delivery.source, key, kind, person_id, loan_id, happened_at, delivery.now_us as recorded_at, "
        f"'{detail}' as detail_json, row from ({query}) cross join delivery "
        f"where kind is not null and happened_at > {to_us(before - _LATE_MAX)}",
    )
    event = table_of("event")
    told = select(event.c.key).where(event.c.source == delivery.system)
    keys = delivery.values("select key from news order by 1")
    delivery.con.register("told", matching(transaction, told, event.c.key, keys))
    events = delivery.arrow("select * exclude (row) from news anti join told using (key) order by row, key")
    if events.num_rows:
        transaction.append("event", events)
