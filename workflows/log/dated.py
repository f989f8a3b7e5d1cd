"""
Was an entry written when it says? A checkpoint that does not hold it was signed before it got its position.

Judged is what the product's own clock wrote with the entry. What may be told later of an earlier instant is not: what came
of a contact, and what somebody said in it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from store.columns import from_us
from store.log import Leaf
from store.log_kinds import KINDS
from workflows.log.findings import FINDINGS_MAX, Verified
from workflows.log.vouched import Vouched

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

LATE_MAX: Final = timedelta(hours=36)
"""How much older than a checkpoint before it an entry may be: a sweep that was broken off is gone on with all day."""
_UNKNOWN_MAX: Final = 20
_WRITTEN: Final = {
    "run": "started_at", "stage_change": "at", "contact_status": "at", "override": "at", "consent": "recorded_at",
    "published": "published_at", "deed": "at", "job_act": "at",
}  # fmt: skip
"""Where each kind says when it was written."""
_OF_RUN: Final = ("decision", "snapshot")
"""Written in a run, and no earlier than it began."""
_AT_ONCE: Final = "('planned', 'sending', 'expired')"
"""What a contact becomes by our own doing; all else may be told of later."""


class Dated:
    """Finds what was written later than it says; fed batch by batch, in the order of positions."""

    def __init__(self, con: "DuckDBPyConnection", vouched: Sequence[Vouched]) -> None:
        import pyarrow as pa

        self._con = con
        signed = _signed_by([(one.checkpoint.size, one.checkpoint.at, one.called) for one in vouched])
        size, at, called = (list(column) for column in zip(*signed, strict=True)) if signed else ([], [], [])
        con.register(
            "signed_page",
            pa.table(
                {
                    "size": pa.array(size, pa.int64()),
                    "at": pa.array(at, pa.timestamp("us", "UTC")),
                    "called": pa.array(called, pa.string()),
                }
            ),
        )
        con.execute('create table signed as select size, epoch_us("at") as at, called from signed_page')
        con.execute(
            "create table late (kind varchar, key varchar, said bigint, size bigint, signed bigint, called varchar, contact varchar)"
        )
        con.execute("create table told_later (contact varchar, said bigint, size bigint)")
        con.execute("create table run_began (id bigint, said bigint)")
        con.execute("create table of_run (kind varchar, key varchar, run_id bigint, position bigint)")

    def batch(self, leaves: Sequence[Leaf]) -> None:
        """The positions of the rows that come next."""
        import pyarrow as pa

        position, kind, key = zip(*((leaf.position, leaf.kind, leaf.key) for leaf in leaves), strict=True)
        self._con.register(
            "leaf",
            pa.table(
                {
                    "position": pa.array(position, pa.int64()),
                    "kind": pa.array(kind, pa.string()),
                    "key": pa.array(key, pa.string()),
                }
            ),
        )

    def see(self, kind: str, rows: "pa.Table") -> None:
        """Rows of one kind, as they stand."""
        placed = f"page join leaf on leaf.kind = '{kind}' and leaf.key = {KINDS[kind].key_sql('page')}"
        self._con.register("page", rows)
        if kind == "run":
            self._con.execute("insert into run_began select id, started_at from page")
        if kind in _OF_RUN:
            last = f"select '{kind}', arg_max(leaf.key, position), run_id, max(position) from {placed} group by run_id"
            self._con.execute(f"insert into of_run {last}")
        if (written := _WRITTEN.get(kind)) is not None:
            contact, judged = "null", "true"
            if kind == "contact_status":
                judged = f"page.status in {_AT_ONCE}"
                self._late("told_later", "page.contact_id, page.at, size", f"{placed}", "page.at", f"not {judged}")
            if kind == "consent":
                contact = "case when page.evidence like 'contact:%' then substr(page.evidence, 9) end"
            what = f"'{kind}', leaf.key, page.{written}, size, signed.at, called, {contact}"
            self._late("late", what, placed, f"page.{written}", judged)
        self._con.unregister("page")

    def _late(self, table: str, what: str, placed: str, said: str, judged: str) -> None:
        # The newest checkpoint that does not hold the entry.
        self._con.execute(
            f"insert into {table} select {what} from {placed} asof join signed on leaf.position >= signed.size "
            f"where {judged} and {said} < signed.at - {LATE_MAX // timedelta(microseconds=1)}"
        )

    def check(self, found: Verified, *, rehearsal: bool) -> None:
        """
        Tell what was found.

        Args:
            rehearsal: whether `--at` may have set the clock back; then it cannot be told.
        """
        self._late(
            "late",
            "leaf.kind, leaf.key, said, size, signed.at, called, null",
            "(select * from of_run join run_began on id = run_id) leaf",
            "said",
            "true",
        )
        query = (
            "select kind || ':' || key, said, called, signed from late where contact is null or (contact, said, size) "
            f"not in (select contact, said, size from told_later) order by size, kind, key limit {FINDINGS_MAX + 1}"
        )
        for entry, said, called, signed in self._con.execute(query).fetchall():
            what = f"`{entry}` says {_minute(said)}, and {called} of {_minute(signed)} does not hold it"
            if not rehearsal:
                found.find("written later than it says", what)
            elif len(found.unknown) < _UNKNOWN_MAX:
                found.unknown.append(f"{what}; in a rehearsal `--at` may have been set back")


def _signed_by(checkpoints: Sequence[tuple[int, datetime, str]]) -> list[tuple[int, datetime, str]]:
    """
    Each checkpoint with when it was signed at the latest: no later than those that hold more.

    Which differs from what it says where a clock stood ahead. Whether somebody set that aside is not judged here.
    """
    latest: list[tuple[int, datetime, str]] = []
    for size, at, called in sorted(checkpoints, reverse=True):
        latest.append((size, min(at, latest[-1][1]) if latest else at, called))
    return latest


def _minute(at: int) -> str:
    return f"{from_us(at):%Y-%m-%d %H:%M}Z"
