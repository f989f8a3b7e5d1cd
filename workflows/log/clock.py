"""
Checkpoints of a wrong future: a clock stood ahead, and what it signed stays.

Every later checkpoint is older than that one. Somebody says so, by whom and why, as an entry of the log (a `job_act` of the
job `log.clock`); the next checkpoint covers that entry, and may be older because of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import select

from store import log
from store.bulk_arrow import Reader, table_of
from store.columns import from_us
from store.tables import JobAct

_JOB: Final = "log.clock"
_ACT: Final = "set_aside"


class SetAside(NamedTuple):
    """
    That somebody set a checkpoint's clock aside.

    Attributes:
        position: where it stands in the log.
        entry: what it is called there.
        at: when they did.
    """

    position: int
    entry: str
    at: datetime


def act(*, by: str, because: str, now: datetime) -> JobAct:
    """The row that says so; whom and why are withheld in its entry."""
    return JobAct(job=_JOB, act=_ACT, at=now, by=by, because=because)


def all_set_aside(reader: Reader) -> list[SetAside]:
    """Every time that somebody did and has a position, in the order of the log."""
    acts = table_of("job_act")
    wanted = select(acts.c.id, acts.c.at).where(acts.c.job == _JOB, acts.c.act == _ACT)
    said = {str(row["id"]): row["at"] for row in reader.read(wanted).to_pylist()}
    leaves = log.leaves_of(reader, "job_act", list(said))
    return [SetAside(leaf.position, f"{leaf.kind}:{leaf.key}", from_us(said[leaf.key])) for leaf in leaves]


def after(said: Sequence[SetAside], size: int, until: int | None = None) -> SetAside | None:
    """The first that a checkpoint of so many entries does not cover, and the next, of `until` entries, does."""
    return next((one for one in said if size <= one.position and (until is None or one.position < until)), None)
