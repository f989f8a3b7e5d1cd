"""
Checked rows against the book: what is new, what changes a known row, what is the same.

The same key with the same content changes nothing. A column that the file does not have says nothing about what is
known: it is neither compared nor changed. Runs within the write transaction, behind the locks of everybody concerned.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, func, select

from engine.errors import DataError, Place, Problem
from store.bulk_arrow import Reader, table_of
from store.columns import from_us, to_us
from workflows.importing import rejects
from workflows.importing.delivery import Delivery
from workflows.importing.known_endpoints import find_endpoints, register_hashes
from workflows.importing.lists import matching
from workflows.importing.movements import check_endings
from workflows.importing.people import register_buckets
from workflows.importing.rows import ROWS, column_of


def compare(delivery: Delivery, reader: Reader) -> None:
    """
    Leave what is new in `fresh` and what changes a known row in `altered`; what cannot be goes to `reject`.

    Raises:
        DataError: the file would take back what a newer one said.
    """
    con, kind = delivery.con, delivery.kind
    rows = ROWS[kind.name]
    if kind.name == "people":
        register_buckets(delivery)
    elif kind.name == "endpoints":
        register_hashes(delivery, reader, "value")
    elif kind.name == "consents":
        find_endpoints(delivery, reader)
    delivery.make("incoming", rows.query)
    _register_known(delivery, reader)
    same_key = " and ".join(f"k.{name} = i.{name}" for name in rows.key)
    if kind.name == "endpoints":
        # What we learnt by writing or calling there outlives the lender's own files.
        con.execute(f"update incoming i set valid = false from known k where {same_key} and k.lost_at is not null")
    if kind.name == "holds":
        # Why somebody was left alone is erased when it was kept long enough, and no file brings it back.
        over = f"k.reason = '' and k.ends_at <= {to_us(delivery.now)}"
        con.execute(f"update incoming i set reason = '' from known k where {same_key} and {over}")
    differs = " or ".join(f"k.{name} is distinct from i.{name}" for name in told(delivery, rows.content)) or "false"
    for name in told(delivery, rows.fixed):
        changed = f"select i.row from incoming i join known k on {same_key} where k.{name} is distinct from i.{name}"
        what, mend = "differs from what is known, and can never change", "give another record another ref"
        rejects.reject(con, changed, column_of(name), what, mend)
    con.execute("delete from incoming where row in (select row from reject)")
    if kind.name == "accounts":
        # An account's day may be told again, later: both are kept, and the last counts.
        again = f"select i.row from incoming i join known k on {same_key} where k.recorded_at = i.recorded_at and ({differs})"
        what, mend = "was told otherwise as of the same instant", "say with `--as-of` when the correction was made"
        rejects.drop(con, "incoming", again, kind.key[-1], what, mend)
    elif not kind.replaces:
        other = f"select i.row from incoming i join known k on {same_key} where {differs}"
        what, mend = "is known with other content", "what was recorded stays; give a correction a name of its own"
        rejects.drop(con, "incoming", other, kind.key[-1], what, mend)
    if kind.name == "movements":
        check_endings(delivery, reader)
    unknown = f"k.{rows.key[0]} is null"
    fresh = f"{unknown} or {differs}" if kind.name == "accounts" else unknown
    delivery.make("fresh", f"select i.* from incoming i left join known k on {same_key} where {fresh}")
    replaced = differs if kind.replaces else "false"
    delivery.make("altered", f"select i.* from incoming i join known k on {same_key} where {replaced}")
    delivery.make("gone", _GONE if kind.whole else "select 1 where false")
    if delivery.count("altered") or delivery.count("gone"):
        _refuse_older(delivery, newest_feed(delivery, reader))


def told(delivery: Delivery, names: tuple[str, ...]) -> list[str]:
    """Those of a table's columns about which the file says something."""
    left_out = {column.name for column in delivery.kind.columns} - delivery.file.header
    return [name for name in names if column_of(name) not in left_out]


def newest_feed(delivery: Delivery, reader: Reader) -> datetime | None:
    """Of when the newest earlier file of this kind is, this very file left out; None when there was none."""
    feed = table_of("feed")
    query = select(func.max(feed.c.as_of_at).label("as_of_at"))
    query = query.where(feed.c.kind == delivery.kind.name, feed.c.digest != delivery.file.digest)
    newest = reader.read(query)["as_of_at"][0].as_py()
    return None if newest is None else from_us(newest)


def _refuse_older(delivery: Delivery, newest: datetime | None) -> None:
    if newest is None or delivery.as_of >= newest:
        return
    at = Place(str(delivery.file.path))
    what = f"it is as of {_at(delivery.as_of)}, and would undo what a file as of {_at(newest)} said"
    mend = "import the newest file; to go back on purpose give a later `--as-of`"
    raise DataError(Problem(what, mend, at))


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}Z"


def _register_known(delivery: Delivery, reader: Reader) -> None:
    rows, kind = ROWS[delivery.kind.name], delivery.kind
    table = table_of(kind.table)
    names = [name for name in dict.fromkeys((*rows.key, *rows.content, *rows.fixed)) if name in table.c]
    query: Select[Any] = select(*(table.c[name] for name in names))
    if kind.name == "movements":
        ended = table.alias("ended")
        # A movement of another source has no name here.
        ref = case((ended.c.source == delivery.system, ended.c.ref)).label("ends")
        joined = table.outerjoin(ended, ended.c.id == table.c.reverses_id)
        query = query.add_columns(ref).select_from(joined).where(table.c.source == delivery.system)
    if kind.name == "endpoints":
        query = query.add_columns(table.c.lost_at)
    if kind.name == "accounts":
        query = query.add_columns(table.c.recorded_at).where(table.c.recorded_at <= delivery.as_of)
    looked_up = rows.key[0]
    values = delivery.con.execute(f"select distinct {looked_up} from incoming order by 1").fetchall()
    found = matching(reader, query, table.c[looked_up], [value for (value,) in values])
    delivery.con.register("found", found)
    last = "" if kind.name != "accounts" else (
        f"qualify row_number() over (partition by {', '.join(rows.key)} order by recorded_at desc) = 1"
    )  # fmt: skip
    delivery.make("known", f"select * from found {last}")
    delivery.con.unregister("found")


_GONE = (
    "select k.loan_id, k.number from known k semi join incoming i using (loan_id) "
    "anti join incoming j on j.loan_id = k.loan_id and j.number = k.number"
)
"""Instalments that a known schedule has and its new version does not."""
