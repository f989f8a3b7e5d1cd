"""
What a movement must be before it joins the ledger: the same rules as `store.ledger_checks`, column-wise.

A property test holds the two together: what is taken here the ledger's own door takes, and the other way round.
"""

from typing import Final

from sqlalchemy import select

from store.bulk_arrow import Reader, table_of
from store.ledger_checks import ENDS
from workflows.importing import rejects
from workflows.importing.delivery import Delivery
from workflows.importing.lists import matching
from workflows.importing.shapes import literal

_MUST_END: Final = ("pending_cancelled", "reversal")
_IN_TURN: Final = (("payment", "pending_cancelled"), ("reversal",))
"""What may itself be ended is settled before what ends it."""


def check_alone(delivery: Delivery) -> None:
    """Reject what is wrong with a movement whatever else there is."""
    con = delivery.con
    # The lender's date may be a day ahead of UTC.
    early = (
        "select row from good where kind <> 'pending_debit' and effective_on > make_timestamp(recorded_at)::date + 1"
    )
    mend = "send it on the day it takes effect; a payment to come is a pending_debit"
    rejects.drop(con, "good", early, "effective_on", "takes effect after it was recorded", mend)
    nothing = f"select row from good where kind in ({_listed(_MUST_END)}) and ends is null"
    rejects.drop(con, "good", nothing, "ends", "is empty", "write the ref of the movement that it ends")
    idle = f"select row from good where kind not in ({_listed(sorted(ENDS))}) and ends is not null"
    mend = f"leave it empty: only {', '.join(sorted(ENDS))} end another"
    rejects.drop(con, "good", idle, "ends", "this kind ends no other movement", mend)


def check_endings(delivery: Delivery, reader: Reader) -> None:
    """
    Reject what cannot end the movement it names. Needs `known`, and whatever is ended to stay as it is meanwhile.

    Rows that are known already ended theirs when they came.
    """
    con = delivery.con
    movement = table_of("movement")
    ending = movement.alias("ending")
    stored = (
        select(
            movement.c.ref, movement.c.loan_id, movement.c.kind, movement.c.amount_minor, movement.c.effective_on,
            ending.c.id.label("ended_by"),
        )
        .select_from(movement.outerjoin(ending, ending.c.reverses_id == movement.c.id))
        .where(movement.c.source == delivery.system)
    )  # fmt: skip
    named = delivery.values("select distinct ends from incoming where ends is not null order by 1")
    if not named:
        con.execute("create or replace temp table endable (ref varchar, kind varchar)")
        return
    con.register("standing", matching(reader, stored, movement.c.ref, named))
    for kinds in _IN_TURN:
        delivery.make("endable", _ENDABLE)
        delivery.make(
            "ending",
            f"select i.* from incoming i where i.kind in ({_listed(kinds)}) and i.ends is not null "
            "and i.ref not in (select ref from known)",
        )
        for condition, column, reason, mend in _CANNOT:
            rows = f"select n.row from ending n left join endable e on e.ref = n.ends where {condition}"
            rejects.reject(con, rows, column, reason, mend)
        twice = "select n.row from ending n qualify row_number() over (partition by n.ends order by n.row) > 1"
        bad = "select n.row from ending n join reject using (row)"
        con.execute(f"delete from ending where row in ({bad})")
        rejects.reject(con, twice, "ends", "another row ends the same movement", "leave one of them out")
        con.execute("delete from incoming where row in (select row from reject)")
    con.unregister("standing")


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(literal(name) for name in names)


_ENDABLE: Final = """
    select ref, loan_id, kind, amount_minor, effective_on, ended_by is not null as ended from standing
    union all
    select ref, loan_id, kind, amount_minor, effective_on, false from incoming
    where ref not in (select ref from standing)
"""

_WRONG_KIND: Final = " or ".join(
    f"(n.kind = {literal(kind)} and e.kind not in ({_listed(sorted(ended))}))" for kind, ended in ENDS.items()
)

_CANNOT: Final = (
    ("e.ref is null", "ends", "the movement that it ends is not known", "import that one first, or in the same file"),
    (_WRONG_KIND, "ends", "cannot end a movement of that kind", "a reversal takes back what was booked; the others end a pending_debit"),
    ("e.loan_id <> n.loan_id", "ends", "the movement that it ends is of another loan", "name one of the same loan"),
    ("e.ended", "ends", "the movement that it ends is ended already", "leave the row out, or name another"),
    ("n.kind = 'reversal' and n.amount_minor > e.amount_minor", "amount", "takes back more than there was", "write that amount at most"),
    ("n.kind = 'pending_cancelled' and n.amount_minor <> e.amount_minor", "amount", "is not the amount of the pending debit", "a pending debit is cancelled whole"),
    ("n.kind = 'reversal' and n.effective_on < e.effective_on", "effective_on", "is before the movement that it takes back", "write that day or a later one"),
)  # fmt: skip
"""(condition, column, reason, mend) of a row `n` and the movement `e` that it names."""
