"""Do holds and notices stand as the log says? They are rows that change, and a deed of the same kind says how each stood last."""

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from store.bulk_arrow import Reader, arrow_type, table_of
from store.deeds import NEW, STATED
from store.ids import pages
from workflows.log.contacts import page_of
from workflows.log.findings import FINDINGS_MAX, Verified

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_PAGE: Final = 100_000


class Stated:
    """What deeds say of holds and notices; fed entry by entry, and asked once at the end."""

    def __init__(self, con: "DuckDBPyConnection") -> None:
        self._con = con
        con.execute("create table stated (of varchar, id bigint, deed bigint, said varchar, is_new boolean)")

    def see(self, kind: str, rows: "pa.Table") -> None:
        """Rows of one kind, as they stand; only deeds say anything."""
        if kind != "deed":
            return
        self._con.register("page", rows)
        self._con.execute(
            "insert into stated select kind, try_cast(split_part(subject, ':', 2) as bigint), id, detail_json, "
            f"coalesce(json_exists(detail_json, '$.{NEW}'), false) from page "
            f"where kind in ({', '.join(repr(name) for name in STATED)}) and json_valid(detail_json)"
        )
        self._con.unregister("page")

    def check(self, reader: Reader, found: Verified) -> None:
        """Compare with the rows that are there."""
        for name, columns in STATED.items():
            self._read(reader, name, columns)
            for query, what, why in _WRONGS:
                for (row,) in self._con.execute(f"{query} order by 1 limit {FINDINGS_MAX + 1}").fetchall():
                    found.find(what, f"`{name}:{row}`: {why}")
            said = ", ".join(f'case when t."{one}" is distinct from s."{one}" then \'`{one}`\' end' for one in columns)
            altered = f"select t.id, concat_ws(', ', {said}) as columns from there t join said s using (id)"
            query = f"select * from ({altered}) where columns <> '' order by 1 limit {FINDINGS_MAX + 1}"
            for row, which in self._con.execute(query).fetchall():
                found.find("altered", f"`{name}:{row}`: the log says otherwise of {which}")
            ((old,),) = self._con.execute("select count(*) from there anti join said using (id)").fetchall()
            ((invented,),) = self._con.execute(f"select count(*) from ({_INVENTED})").fetchall()
            if old > invented:
                found.told.append(f"not checked: {old - invented:,} {name}s of before the log said how they stand")

    def _read(self, reader: Reader, name: str, columns: tuple[str, ...]) -> None:
        table = table_of(name)
        types = {one: _duck(arrow_type(table.c[one].type)) for one in columns}
        shape = "{" + ",".join(f'"{one}":"{of}"' for one, of in types.items()) + "}"
        self._con.execute(
            "create or replace table said as select id, is_new, one.* from (select id, bool_or(is_new) as is_new, "
            f"from_json(arg_max(said, deed), '{shape}') as one from stated where of = '{name}' group by id)"
        )
        wanted = select(table.c.id, *(table.c[one] for one in columns))
        self._con.register("page", reader.read(wanted.limit(0)))
        self._con.execute("create or replace table there as select * from page")
        for first, last in pages(reader, table.c.id, _PAGE):
            self._con.register("page", page_of(reader, wanted, table.c.id, table.c.id.between(first, last)))
            self._con.execute("insert into there select * from page")
        self._con.unregister("page")


def _duck(of: "pa.DataType") -> str:
    return {"int64": "BIGINT", "date32[day]": "DATE"}.get(str(of), "VARCHAR")


_GONE: Final = "select id from said where id not in (select id from there)"
# Ids ascend: whatever has one above the first that the log was told of, and no deed, was put in past us.
_INVENTED: Final = """
    select id from there where id not in (select id from said) and (id < 1 or id > (select min(id) from said where is_new))"""
_WRONGS: Final = (
    (_GONE, "deleted", "deeds say how it stood, and it is gone or cannot be read"),
    (_INVENTED, "inserted", "no deed says how it stood"),
    ("select id from there group by id having count(*) > 1", "inserted", "there are several"),
)
