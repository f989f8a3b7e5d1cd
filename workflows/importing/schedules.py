"""A loan's schedule stands or falls together: half of one would make days past due that are not there."""

from workflows.importing import rejects
from workflows.importing.delivery import Delivery


def check_schedules(delivery: Delivery) -> None:
    """Reject every schedule that lost a row, has gaps, or runs backwards; whole."""
    con = delivery.con
    lost = (
        "select good.row from good join raw using (row) where raw.loan in "
        "(select raw.loan from raw join reject using (row) where raw.loan is not null)"
    )
    rejects.drop(con, "good", lost, "", "another row of this schedule was rejected", "mend that one")
    gaps = (
        "select row from good where loan in "
        "(select loan from good group by loan having min(number) <> 1 or max(number) <> count(*))"
    )
    rejects.drop(con, "good", gaps, "number", "the schedule has gaps", "number its instalments 1, 2, 3, ...")
    backwards = (
        "select row from good where loan in (select loan from "
        "(select loan, due_on < lag(due_on) over (partition by loan order by number) as back from good) where back)"
    )
    rejects.drop(con, "good", backwards, "due_on", "due dates run backwards", "number them in order of due dates")
