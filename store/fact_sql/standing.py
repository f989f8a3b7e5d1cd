"""What forbids or permits: holds in force, consents given or taken back, notices served."""

from typing import Final

from store.fact_sql.piece import Piece, texts

HOLD_FACTS: Final = {
    "represented": ("attorney",),
    "disputed": ("dispute",),
    "hardship": ("hardship",),
    "bankrupt": ("bankruptcy",),
    "deceased": ("deceased",),
    "vulnerable": ("vulnerable", "mental_capacity"),
}
"""The kinds of hold behind each fact. A hold without a loan is about every loan of the person."""

_NOW = "(select now_us from moment)"


_COUNTS = ",\n    ".join(
    f"count(*) filter (where hold.kind in ({texts(kinds)})) as {fact}" for fact, kinds in HOLD_FACTS.items()
)

HOLDS: Final = Piece(
    name="held",
    key="loan_id",
    sql=f"""
select
    borrowed.loan_id,
    {_COUNTS}
from borrowed join hold on hold.person_id = borrowed.borrower_id
where (hold.loan_id is null or hold.loan_id = borrowed.loan_id)
    and hold.starts_at <= {_NOW} and (hold.ends_at is null or hold.ends_at > {_NOW})
group by borrowed.loan_id
""",
    facts={fact: f"coalesce(held.{fact}, 0) > 0" for fact in HOLD_FACTS},
)

CONSENTS: Final = tuple(
    Piece(
        name=f"said_{channel}",
        key="borrower_id",
        sql=f"""
select person_id as borrower_id, kind in ('consent', 'opt_in') as yes
from consent
where kind in ('consent', 'opt_in', 'opt_out', 'no_medium', 'no_contact') and scope in ('', 'electronic')
    and received_at <= {_NOW}
    and (until_at is null or until_at > {_NOW})
    and (channels = '' or concat(' ', channels, ' ') like '% {channel} %')
qualify row_number() over (partition by person_id order by received_at desc, id desc) = 1
""",
        facts={f"{channel}_consent": f"said_{channel}.yes"},
    )
    for channel in ("sms", "email")
)
"""
Whether the latest statement about the channel, still in force, was a yes; unknown where there is none. A consent to
something else (to more calls, to other hours) is no word on the channel.
"""

NOTICES: Final = Piece(
    name="noticed",
    key="loan_id",
    sql="""
select
    notice.loan_id,
    min(notice.effective_on) filter (where notice.kind = 'prelegal_notice') as prelegal_on,
    min(notice.effective_on) filter (where notice.kind = 'visit_notice') as visit_on
from notice
join borrowed on borrowed.loan_id = notice.loan_id and borrowed.borrower_id = notice.person_id
left join arrears on arrears.loan_id = notice.loan_id
where notice.effective_on <= borrowed.on_on and notice.voided_at is null
    and (
        notice.sent_on >= borrowed.episode_on
        or date_diff('day', notice.sent_on, borrowed.on_on) <= arrears.dpd
    )
group by notice.loan_id
""",
    facts={
        "prelegal_notice_effective_days": "date_diff('day', noticed.prelegal_on, borrowed.on_on)",
        "visit_notice_effective_days": "date_diff('day', noticed.visit_on, borrowed.on_on)",
    },
)
"""A notice counts if it was sent since this spell, or these arrears, began: last year's says nothing of today's claim."""
