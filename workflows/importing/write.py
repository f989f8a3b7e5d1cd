"""What a file brings, written: its rows, the feed it came by, the positions and versions that follow from it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Date, select

from store.bulk_arrow import BulkTransaction, Reader, arrow_schema, table_of
from store.deeds import NEW, STATED, record
from store.outbox import CONTACT, FIXED, MOVING
from store.projection import position_statements
from workflows.importing import rejects
from workflows.importing.clocks import find_restated
from workflows.importing.compare import told
from workflows.importing.delivery import CHECKED, Delivery
from workflows.importing.lists import chunks, matching
from workflows.importing.news import tell
from workflows.importing.rows import ROWS

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_PER_STEP: Final = 100_000


def find_concerned(delivery: Delivery) -> None:
    """Make `concerned`: for each good row whose contacts it could forbid or change."""
    kind = delivery.kind
    parts = [f'select row, "{c.name}" as person from good' for c in kind.columns if c.type == "person"]
    parts += [
        f'select good.row, loan_ref.borrower_id as person from good join loan_ref on loan_ref.id = good."{c.name}"'
        for c in kind.columns
        if c.type == "loan"
    ]
    if kind.name == "people":
        parts.append("select good.row, person_ref.id as person from good join person_ref using (ref)")
    delivery.make(
        "concerned", f"select distinct row, person from ({' union all '.join(parts)}) where person is not null"
    )


def lock_concerned(delivery: Delivery, reader: Reader) -> None:
    """Queue up behind whoever decides for or writes the same people, in id order so that nobody waits in a ring."""
    person = table_of("person")
    people = delivery.ids("select distinct person from concerned order by 1")
    matching(reader, select(person.c.id).order_by(person.c.id).with_for_update(), person.c.id, people)


def write(delivery: Delivery, transaction: BulkTransaction) -> None:
    """Write what `compare` found."""
    kind = delivery.kind
    if delivery.dialect == "postgresql":
        # Compiling each of many short statements took four fifths of the time of folding a million movements.
        transaction.execute("set local jit = off")
    feed = _write_feed(delivery, transaction)
    if kind.whole:
        _replace_schedules(delivery, transaction, feed)
    else:
        if kind.name == "consents":
            find_restated(delivery, transaction)
        _append(delivery, transaction, "fresh", feed)
        _update(delivery, transaction)
    if kind.name == "contacts":
        transaction.append("contact_loan", delivery.arrow("select id as contact_id, loan_id from fresh order by row"))
        transaction.append("contact_status", delivery.arrow(_ENTRIES))
    elif kind.name == "movements":
        _link_endings(delivery, transaction)
    elif kind.name == "consents":
        _append(delivery, transaction, "again", feed)
    elif kind.table in STATED:
        _state(delivery, transaction)
    _bring_up_to_date(delivery, transaction)
    tell(delivery, transaction)


def _write_feed(delivery: Delivery, transaction: BulkTransaction) -> int:
    rejected = rejects.count(delivery.con)
    nothing_taken = rejected and not delivery.count("incoming")
    # A file of which nothing could be taken has told nothing: what we know is no younger for it.
    status = "rejected" if nothing_taken else "done"
    said = transaction.execute(
        "insert into feed (kind, file, digest, as_of_at, imported_at, rows, rejected, status) "
        "values (:kind, :file, :digest, :as_of, :now, :rows, :rejected, :status) "
        "on conflict (kind, digest) do update set as_of_at = excluded.as_of_at, imported_at = excluded.imported_at, "
        "rejected = excluded.rejected, status = excluded.status "
        "where excluded.as_of_at > feed.as_of_at or excluded.rejected <> feed.rejected",
        {
            "kind": delivery.kind.name,
            "file": delivery.file.path.name,
            "digest": delivery.file.digest,
            "as_of": delivery.as_of,
            "now": delivery.now,
            "rows": delivery.file.count,
            "rejected": rejected,
            "status": status,
        },
    )
    if said:
        _log_import(delivery, transaction, rejected, status)
    feed = table_of("feed")
    mine = (feed.c.kind == delivery.kind.name, feed.c.digest == delivery.file.digest)
    return int(transaction.read(select(feed.c.id).where(*mine))["id"][0].as_py())


def _log_import(delivery: Delivery, transaction: BulkTransaction, rejected: int, status: str) -> None:
    """The feed's row is brought up to date when the file comes again; this one stays, for the log."""
    detail = {
        "kind": delivery.kind.name,
        "as_of": delivery.as_of.isoformat(),
        "rows": delivery.file.count,
        "rejected": rejected,
        "status": status,
    }
    if delivery.kind.name == "contacts":
        # Versions before this one wrote no entries, and their deeds do not say how many.
        detail["entries"] = delivery.count("fresh")
    record(transaction, "import", delivery.file.digest, detail, now=delivery.now)


def _append(delivery: Delivery, transaction: BulkTransaction, name: str, feed: int) -> None:
    rows = _table_rows(delivery, f"select * from {name} order by row", feed)
    for start in range(0, rows.num_rows, _ROWS_PER_STEP):
        delivery.progress(CHECKED + (0.9 - CHECKED) * start / rows.num_rows)
        transaction.append(delivery.kind.table, rows.slice(start, _ROWS_PER_STEP))


def _update(delivery: Delivery, transaction: BulkTransaction) -> None:
    shape = ROWS[delivery.kind.name]
    if delivery.count("altered"):
        names = [*shape.key, *told(delivery, shape.content)]
        rows = _table_rows(delivery, f"select {', '.join(names)} from altered order by row", 0)
        transaction.update(delivery.kind.table, shape.key, rows)


def _table_rows(delivery: Delivery, query: str, feed: int) -> "pa.Table":
    """A query's columns that the table has, as it has them."""
    import pyarrow as pa

    rows, schema = delivery.arrow(query), arrow_schema(delivery.kind.table)
    names = [name for name in rows.column_names if name in schema.names]
    columns = {name: rows[name].cast(schema.field(name).type) for name in names}
    if "feed_id" in columns:
        columns["feed_id"] = pa.repeat(pa.scalar(feed, pa.int64()), rows.num_rows)
    return pa.table(columns)


def _replace_schedules(delivery: Delivery, transaction: BulkTransaction, feed: int) -> None:
    # Where any instalment is new, changed or gone the schedule is written anew: running totals hang together.
    delivery.make("moved", _MOVED)
    for ids in chunks(delivery.ids("select loan_id from moved semi join known using (loan_id) order by 1")):
        transaction.execute(f"delete from instalment where loan_id in ({_listed(ids)})")
    delivery.make("anew", "select * from incoming semi join moved using (loan_id)")
    _append(delivery, transaction, "anew", feed)


_STATED: Final = ", ".join(f"'{name}', \"{name}\"" for name in sorted((*MOVING, *FIXED)))
_ENTRIES: Final = f"""
    select id as contact_id, status, now_us as "at", 'imported' as why,
        json_object('{CONTACT}', json_object({_STATED}))::varchar as detail_json
    from fresh cross join delivery order by row"""
"""The log vouches for imported contacts as for any other that no decision lists: see `store.outbox.note`."""


def _state(delivery: Delivery, transaction: BulkTransaction) -> None:
    """A deed for each row that is new or changed: how it stands now, as `store.deeds.state` writes it."""
    name = delivery.kind.table
    table = table_of(name)
    refs = delivery.values("select ref from fresh union all select ref from altered")
    columns = [table.c.id, table.c.ref, *(table.c[one] for one in STATED[name])]
    delivery.con.register("stands", matching(transaction, select(*columns), table.c.ref, refs))
    dated = {one for one in STATED[name] if isinstance(table.c[one].type, Date)}
    said = ", ".join(f"'{one}', s.\"{one}\"{'::varchar' if one in dated else ''}" for one in sorted(STATED[name]))
    query = f"""
        select now_us as "at", '{name}' as kind, '{name}:' || s.id as subject,
            (case when is_new then json_object({said}, '{NEW}', true) else json_object({said}) end)::varchar as detail_json
        from stands s join (select ref, true as is_new from fresh union all select ref, false from altered) using (ref)
            cross join delivery order by s.id"""
    transaction.append("deed", delivery.arrow(query))


_MOVED: Final = "select loan_id from fresh union select loan_id from altered union select loan_id from gone"


def _link_endings(delivery: Delivery, transaction: BulkTransaction) -> None:
    delivery.make("link", "select ref, ends from fresh where ends is not null")
    refs = delivery.values("select distinct ends from link order by 1")
    movement = table_of("movement")
    ended = select(movement.c.id, movement.c.ref).where(movement.c.source == delivery.system)
    delivery.con.register("ended", matching(transaction, ended, movement.c.ref, refs))
    query = "select link.ref, delivery.source, ended.id as reverses_id from link join ended on ended.ref = link.ends cross join delivery"
    links = delivery.arrow(query)
    if links.num_rows:
        transaction.update("movement", ("source", "ref"), links)


def _bring_up_to_date(delivery: Delivery, transaction: BulkTransaction) -> None:
    """Fold positions anew, and bump the version of everybody whose contacts this could forbid or change (invariant 4)."""
    kind = delivery.kind
    if kind.name == "instalments":
        _fold(delivery, transaction, delivery.ids("select loan_id from moved order by 1"))
        return
    if kind.name == "movements":
        _fold(delivery, transaction, delivery.ids("select distinct loan_id from fresh order by 1"))
        return
    if kind.name == "loans":
        loan = table_of("loan")
        refs = delivery.values("select ref from fresh order by 1")
        new = matching(transaction, select(loan.c.id, loan.c.ref), loan.c.ref, refs)
        delivery.con.register("new_loan", new)
        _fold(delivery, transaction, delivery.ids("select id from new_loan semi join fresh using (ref) order by 1"))
    changed = "select row from fresh union all select row from altered"
    for ids in chunks(delivery.ids(f"select distinct person from concerned where row in ({changed}) order by 1")):
        transaction.execute(f"update person set version = version + 1 where id in ({_listed(ids)})")


def _fold(delivery: Delivery, transaction: BulkTransaction, loans: list[int]) -> None:
    for done, ids in enumerate(chunks(loans)):
        delivery.progress(0.9 + 0.1 * done * len(ids) / len(loans))
        for statement in position_statements(f"select id from loan where id in ({_listed(ids)})"):
            transaction.execute(statement)


def _listed(ids: Sequence[int]) -> str:
    return ", ".join(str(int(one)) for one in ids)
