"""How old our knowledge of payments is."""

from typing import Final

from store.fact_sql.piece import Piece

ARREARS_FEEDS: Final = {"schedule": "movements", "account": "accounts"}
"""The kind of feed that says what was paid, per basis of a loan."""

HOUR_US: Final = 3_600_000_000

_KINDS: Final = " ".join(f"when '{basis}' then '{kind}'" for basis, kind in ARREARS_FEEDS.items())

FEEDS: Final = Piece(
    name="fed",
    key="loan_id",
    sql=f"""
select borrowed.loan_id, feed.as_of_at
from borrowed join feed on feed.kind = case borrowed.basis {_KINDS} end
""",
    facts={
        "feed_age": f"""
case
    when fed.as_of_at > (select now_us from moment) then 0
    else ((select now_us from moment) - fed.as_of_at) // {HOUR_US}
end
"""
    },
)
