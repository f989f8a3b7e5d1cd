"""
Do the contacts stand as the log says? A contact is a row that changes, so its entries vouch for it.

What never changes of a contact stands in the decision that lists it, or in the first entry of one that no decision lists;
what does change, in the newest entry of its history. The rows of these entries are handed in as verification comes past
them, and nothing of them is read twice; contacts are read once, by loans.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Select, select

from store import log
from store.bulk_arrow import Reader, table_of
from store.ids import FIRST, LAST, pages
from store.outbox import CONTACT, FIXED, IMPORTED, MOVING
from workflows.log.findings import FINDINGS_MAX, Verified

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_PAGE: Final = 100_000
"""Loans whose contacts are read at a time."""
_TYPES: Final = {
    "at": "BIGINT", "misdirected": "BOOLEAN", "run_id": "BIGINT", "loan_id": "BIGINT", "person_id": "BIGINT",
    "endpoint_id": "BIGINT", "stage_entry": "BIGINT",
}  # fmt: skip
"""Of the columns that an entry says; all others are texts."""
_PLANNED: Final = ("planned_at", "expires_at")
"""What a decision says of its contacts besides, and no entry repeats."""
_COLUMNS: Final = ("id", "status", *MOVING, *FIXED, *_PLANNED)
_STATED: Final = {name: _TYPES.get(name, "VARCHAR") for name in (*MOVING, *FIXED)}
_STATED_JSON: Final = "{" + ",".join(f'"{name}":"{of}"' for name, of in _STATED.items()) + "}"
_LISTED_JSON: Final = (
    '[{"loan":"BIGINT","rule":"VARCHAR","person":"BIGINT","role":"VARCHAR","channel":"VARCHAR","endpoint":"BIGINT",'
    '"purpose":"VARCHAR","name":"VARCHAR","queue":"VARCHAR","not_before":"VARCHAR","expires":"VARCHAR","slot":"VARCHAR",'
    '"stage_entry":"BIGINT","covers":["BIGINT"]}]'
)
_STATED_SQL: Final = ", ".join(f'"{name}" {of}' for name, of in _STATED.items())


class Contacts:
    """What the log says of contacts, in a work file; fed entry by entry, and asked once at the end."""

    def __init__(self, con: "DuckDBPyConnection") -> None:
        self._con = con
        con.execute(
            f"create table said (id bigint, contact_id varchar, status varchar, made boolean, has boolean, {_STATED_SQL})"
        )
        con.execute(
            f"create table listed (id varchar, {_STATED_SQL}, planned_at bigint, expires_at bigint, not_before bigint, loans bigint[])"
        )
        con.execute("create table by_hand (id varchar)")
        con.execute("create table brought (rows bigint)")

    def see(self, kind: str, rows: "pa.Table") -> None:
        """Rows of one kind, as they stand; those of other kinds say nothing of contacts."""
        if kind in _TAKEN:
            self._con.register("page", rows)
            for statement in _TAKEN[kind]:
                self._con.execute(statement)
            self._con.unregister("page")

    def check(self, reader: Reader, found: Verified) -> None:
        """Compare with the contacts that are there."""
        self._read(reader, found)
        for statement in _MATCHED:
            self._con.execute(statement)
        for called, what in self._rows(_GONE):
            found.find("deleted", f"`contact:{called}`: {what}")
        for called, what in self._rows(_INVENTED):
            found.find("inserted", f"`contact:{called}`: {what}")
        for called, columns in self._rows(_ALTERED):
            found.find("altered", f"`contact:{called}`: the log says otherwise of {columns}")
        self._imports(found)
        ((old,),) = self._con.execute("select count(*) from judged where not (told and has_fixed)").fetchall()
        if old:
            found.told.append(
                f"not checked: {old:,} contacts whose entries are of before they said what stands in the contact"
            )

    def _imports(self, found: Verified) -> None:
        """Contacts without any entry: imports of earlier versions wrote none, and said only how many they brought."""
        ((bare, brought),) = self._con.execute(
            f"select (select count(*) from matched where newest is null and id like '{IMPORTED}%'),"
            " coalesce((select sum(rows) from brought), 0)"
        ).fetchall()
        if bare > brought:
            more = f"{bare:,} of them have no entry, and imports without entries brought at most {brought:,}"
            found.find("inserted", f"imported contacts: {more}")
        elif bare:
            found.told.append(f"not checked: {bare:,} imported contacts, of which no entry was written then")

    def _rows(self, query: str) -> Iterator[tuple[str, str]]:
        yield from self._con.execute(f"{query} limit {FINDINGS_MAX + 1}").fetchall()

    def _read(self, reader: Reader, found: Verified) -> None:
        contact, about = table_of("contact"), table_of("contact_loan")
        columns = select(*(contact.c[name] for name in _COLUMNS))
        loans = select(about.c.contact_id, about.c.loan_id).join(contact, contact.c.id == about.c.contact_id)
        self._add("contact", reader.read(columns.limit(0)))
        self._add("about", reader.read(loans.limit(0)))
        for low, high in pages(reader, contact.c.loan_id, _PAGE):
            here = contact.c.loan_id.between(low, high)
            self._add("contact", page_of(reader, columns, contact.c.id, here))
            self._add("about", reader.read(loans.where(here)))
        # What is no number, as SQLite lets it stand there, is on no page.
        beside = select(contact.c.id).where(~contact.c.loan_id.between(FIRST, LAST))
        for called in reader.read(beside.order_by(contact.c.id).limit(FINDINGS_MAX))["id"].to_pylist():
            found.find("altered", f"`contact:{called}`: what stands in `loan_id` cannot be read")

    def _add(self, name: str, rows: "pa.Table") -> None:
        self._con.register("page", rows)
        self._con.execute(f"create table if not exists {name} as select * from page limit 0")
        self._con.execute(f"insert into {name} select * from page")
        self._con.unregister("page")


def page_of(reader: Reader, wanted: Select[Any], key: ColumnElement[Any], here: ColumnElement[bool]) -> "pa.Table":
    """The rows of one page, without those that cannot be read; `key` tells them apart."""
    import pyarrow as pa

    try:
        return reader.read(wanted.where(here))
    except Exception as error:
        if not log.unreadable(error):
            raise
    keys = reader.read(select(key).where(here)).columns[0].to_pylist()
    rows = log.readable(reader, lambda some: wanted.where(key.in_(some)), keys)
    return pa.Table.from_pylist(rows, schema=reader.read(wanted.limit(0)).schema)


def _instant(text: str) -> str:
    return f"epoch_us(try_cast({text} as timestamp))"


def _differs(name: str, known: str) -> str:
    return f'case when {known} and "{name}" is distinct from "{name}_said" then \'`{name}`\' end'


_TAKEN: Final = {
    "contact_status": (
        f"""insert into said
        with read as (select id, contact_id, status,
            case when json_valid(detail_json) then json_extract(detail_json, '$.{CONTACT}') end as said from page),
        typed as (select *, from_json(said, '{_STATED_JSON}') as one from read)
        select id, contact_id, status, coalesce(json_exists(said, '$.slot'), false), coalesce(json_exists(said, '$.at'), false),
            {", ".join(f'one."{name}"' for name in _STATED)} from typed""",
    ),
    "decision": (
        f"""insert into listed
        with read as (select run_id, loan_id, now_at, from_json(json_extract(trace_json, '$.contacts'), '{_LISTED_JSON}') as all_of
            from page where contains(trace_json, '"contacts":[{{') and json_valid(trace_json)),
        one_by_one as (select *, unnest(all_of) as one, generate_subscripts(all_of, 1) - 1 as n from read)
        select run_id || '-' || loan_id || '-' || n, null, '', false, run_id, one.loan, one.person, one.role, one.endpoint,
            one.channel, 'out', one.purpose, one.rule, one.name, one.queue, one.stage_entry, one.slot, 'lender',
            now_at, {_instant("one.expires")}, {_instant("one.not_before")},
            list_sort(list_distinct(list_prepend(one.loan, coalesce(one.covers, [])))) from one_by_one""",
        """insert into by_hand select trace_json->>'$.by_hand.contact'
            from page where contains(trace_json, '"by_hand":') and json_valid(trace_json)""",
    ),
    "deed": (
        """insert into brought
        select coalesce(try_cast(detail_json->>'$.rows' as bigint), 0) - coalesce(try_cast(detail_json->>'$.rejected' as bigint), 0)
        from page where kind = 'import' and json_valid(detail_json)
            and detail_json->>'$.kind' = 'contacts' and not json_exists(detail_json, '$.entries')""",
    ),
}


def _struct(names: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{name}": "{name}"' for name in names) + "}"


_MATCHED: Final = (
    f"""create table history as select contact_id, arg_max(status, id) as newest,
        arg_max({_struct(MOVING)}, id) filter (has) as moving, arg_min({_struct(FIXED)}, id) filter (made) as fixed
        from said group by contact_id""",
    "create table spoken_for as select contact_id, list_sort(list(loan_id)) as loans from about group by contact_id",
    f"""create table matched as select c.*, h.newest, l.id is not null as is_listed, h.moving is not null as has_moving,
        l.id is not null or h.fixed is not null as has_fixed, l.id is not null and h.newest = 'planned' as waits,
        l.not_before, l.planned_at as planned_at_said, l.expires_at as expires_at_said,
        coalesce(s.loans, []) as loans, coalesce(l.loans, [h.fixed.loan_id]) as loans_said,
        {", ".join(f'h.moving."{name}" as "{name}_said"' for name in MOVING)},
        {", ".join(f'case when l.id is not null then l."{name}" else h.fixed."{name}" end as "{name}_said"' for name in FIXED)}
        from contact c left join history h on h.contact_id = c.id left join listed l on l.id = c.id
        left join spoken_for s on s.contact_id = c.id""",
    # A claim is a lease: nothing is logged of it. What is only planned may stand at any time at which it may go.
    f"""create table judged as select id, has_fixed, has_moving or waits as told, concat_ws(', ',
        case when newest <> status and not (newest = 'planned' and status = 'claimed') then '`status`' end,
        {", ".join(_differs(name, "has_moving") for name in MOVING)},
        case when waits and not has_moving and ("at" < not_before or "at" > expires_at) then '`at`' end,
        case when waits and not has_moving and outcome <> '' then '`outcome`' end,
        case when waits and not has_moving and misdirected then '`misdirected`' end,
        {", ".join(_differs(name, "has_fixed") for name in FIXED)},
        {", ".join(_differs(name, "is_listed") for name in _PLANNED)},
        case when has_fixed and loans <> loans_said then 'the loans it was about' end
        ) as columns from matched where newest is not null""",
)
_GONE: Final = """
    select contact_id, 'its entries are there, and it is gone or cannot be read' from history
    where contact_id not in (select id from contact)
    union all
    select id, 'a decision lists it, and it is gone or cannot be read' from listed
    where id not in (select id from contact) and id not in (select contact_id from history) order by 1"""
_INVENTED: Final = f"""
    select id, 'the log has no entry of it' from matched where newest is null and id not like '{IMPORTED}%'
    union all
    select id, 'no decision asks for it' from matched
    where newest is not null and not is_listed and regexp_full_match(id, '[0-9]+-[0-9]+-[0-9]+')
        and id not in (select id from by_hand where id is not null)
    union all
    select id, 'there are several' from contact group by id having count(*) > 1 order by 1"""
_ALTERED: Final = "select id, columns from judged where columns <> '' order by id"
