"""Everything that is sealed, sealed anew with the key that seals now; while others go on working."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Select, String, Table, func, or_, select, text, type_coerce
from sqlmodel import SQLModel

from engine.errors import Problem, StoreError
from store.bulk import reading, writing
from store.bulk_arrow import BulkTransaction
from store.columns import Sealed
from store.log_kinds import KINDS
from store.log_triggers import lifted
from store.sealing import SETTING, looks_sealed, setting_place
from store.settings import read_setting
from store.tables import Setting

if TYPE_CHECKING:
    from store.db import Database

_BATCH: Final = 2_000
"""Rows in one transaction: whoever waits for it waits a fraction of a second."""

_LOOKS: Final = 100
_PAUSE_S: Final = 0.1


def is_under_way(database: "Database") -> bool:
    """Whether a change of keys has begun and not ended: not everything is sealed with the key that seals now."""
    with database.session() as session:
        sealed = read_setting(session, SETTING) or ""
    return not sealed.startswith(f"{database.sealing.sealing_key}.")


def reseal(database: "Database", *, progress: Callable[[int], None] = lambda _rows: None) -> int:
    """
    Seal anew whatever another key than the present one sealed; returns how many rows that were.

    In transactions of a few rows each: broken off, it goes on where it stopped. When it returns, nothing in the database
    needs another key than the one that seals now.

    Raises:
        StoreError: the database cannot be written, or a transaction from before still runs and may write with an older key.
    """
    begun = _newest_transaction(database)
    rows = _pass(database, progress, 0)
    _await_older(database, begun)
    # What was sealed before there was the new key, and committed behind our back.
    rows = _pass(database, progress, rows)
    with database.write() as session:
        # The secret of the hashes with all others: whether it is sealed with the new key tells that the change has ended.
        for setting in session.execute(select(Setting)).scalars():
            if looks_sealed(setting.value):
                place = setting_place(setting.name)
                setting.value = database.sealing.seal(place, database.sealing.unseal(place, setting.value))
                session.add(setting)
    return rows


def _pass(database: "Database", progress: Callable[[int], None], rows: int) -> int:
    for table in _tables():
        after: Any = None
        while _is_left(database, table, after):
            with writing(database) as transaction, _changeable(database, transaction, table):
                found = transaction.read(_older(database, table, after).with_for_update())
                (key,) = table.primary_key
                # Written is what was read: sealing and opening are the transaction's own.
                transaction.update(table.name, (key.name,), found)
            if not found.num_rows:
                break
            after = found[key.name][-1].as_py()
            rows += found.num_rows
            progress(rows)
    return rows


def _is_left(database: "Database", table: Table, after: Any) -> bool:
    """Asked without a lock: a table of the log is closed to others while its rows are changed."""
    with reading(database) as reader:
        return bool(reader.read(_older(database, table, after).limit(1)).num_rows)


def _changeable(database: "Database", transaction: BulkTransaction, table: Table) -> AbstractContextManager[None]:
    """What is in the log may be sealed anew and stays what it says: its entry hashes to what it did."""
    if table.name not in {kind.table for kind in KINDS.values()}:
        return nullcontext()

    def read(query: Select[Any]) -> Iterator[tuple[Any, ...]]:
        yield from zip(*(column.to_pylist() for column in transaction.read(query).columns), strict=True)

    return lifted(database.dialect, table.name, transaction.execute, read)


def _tables() -> Iterator[Table]:
    import store.tables  # noqa: F401 - declares the tables

    return (table for table in SQLModel.metadata.sorted_tables if _sealed(table))


def _sealed(table: Table) -> list[ColumnElement[Any]]:
    return [column for column in table.columns if isinstance(column.type, Sealed)]


def _older(database: "Database", table: Table, after: Any) -> Select[Any]:
    """Rows in which something is sealed with another key, by their own key."""
    (key,) = table.primary_key
    head = f"{database.sealing.sealing_key}."
    kept = [type_coerce(column, String) for column in _sealed(table)]
    # What stays as it is has no full stop in that place, or a space somewhere.
    old = [
        (func.substr(one, len(head), 1) == ".") & ~one.contains(" ") & (func.substr(one, 1, len(head)) != head)
        for one in kept
    ]
    query = select(key, *_sealed(table)).where(or_(*old)).order_by(key).limit(_BATCH)
    return query if after is None else query.where(key > after)


def _newest_transaction(database: "Database") -> int:
    """The number of a transaction of PostgreSQL that is later than all that write; SQLite's come one after the other."""
    if database.dialect == "sqlite":
        return 0
    with database.write() as session:
        return int(session.execute(text("select pg_current_xact_id()::text")).scalar_one())


def _await_older(database: "Database", begun: int) -> None:
    """Wait until every transaction from before has ended: it may have sealed with an older key, and commit after us."""
    if database.dialect == "sqlite":
        return
    for _ in range(_LOOKS):
        with database.session() as session:
            oldest = int(session.execute(text("select pg_snapshot_xmin(pg_current_snapshot())::text")).scalar_one())
        if oldest >= begun:
            return
        sleep(_PAUSE_S)
    what = "a transaction that began before the new key was there has not ended, and may have sealed with an older one"
    raise StoreError(Problem(what, "let it end, e.g. an import, and run `duecourse privacy rotate` again"))
