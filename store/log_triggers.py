"""
What the database itself sees to: that every new row of evidence is queued for the log, and that none is ever changed.

For migrations: they say in full what they make, since a kind may have another table in years to come. A migration that
alters a table of the log on SQLite makes it anew, without its triggers, and has to call this again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from sqlalchemy import Select, String, column, select, table

Dialect = Literal["sqlite", "postgresql"]

REFUSAL = "this is part of the log: nothing in it is changed or deleted"


def functions(dialect: Dialect) -> list[str]:
    """What the triggers of a database share; once."""
    if dialect == "sqlite":
        return []
    body = f"begin raise exception '{REFUSAL}' using hint = tg_table_name; end"
    return [f"create function log_refuse() returns trigger language plpgsql as $$ {body} $$"]


def queued(dialect: Dialect, table: str, kind: str, key: Sequence[str]) -> list[str]:
    """
    Queue every row that is inserted, in its own transaction: whoever writes it, and however.

    Args:
        kind, key: the entry's kind, and the columns that its key is joined from.
    """
    into = "insert into log_queue (kind, key)"
    if dialect == "sqlite":
        joined = " || '-' || ".join(f"new.{column}" for column in key)
        body = f"begin {into} values ('{kind}', {joined}); end"
        return [f'create trigger {table}_queued after insert on "{table}" {body}']
    joined = " || '-' || ".join(f"{column}::text" for column in key)
    body = f"begin {into} select '{kind}', {joined} from added; return null; end"
    # Once for a statement, not once for a row: a sweep inserts thousands at a time.
    each = f"referencing new table as added for each statement execute function log_queue_{table}()"
    return [
        f"create function log_queue_{table}() returns trigger language plpgsql as $$ {body} $$",
        f'create trigger {table}_queued after insert on "{table}" {each}',
    ]


def kept(dialect: Dialect, table: str, columns: Sequence[str] = ()) -> list[str]:
    """Refuse to delete a row or to change it; with columns, only to change these."""
    of = f" of {', '.join(columns)}" if columns else ""
    if dialect == "sqlite":
        refuse = f"begin select raise(abort, '{REFUSAL}'); end"
        return [
            f'create trigger {table}_unchanged before update{of} on "{table}" {refuse}',
            f'create trigger {table}_kept before delete on "{table}" {refuse}',
        ]
    each = "for each statement execute function log_refuse()"
    return [f'create trigger {table}_kept before update{of} or delete or truncate on "{table}" {each}']


def erasing() -> list[str]:
    """What the triggers of `erasable` share on PostgreSQL; once."""
    refused = f"raise exception '{REFUSAL}' using hint = tg_table_name"
    body = (
        "declare called text := to_jsonb(old) ->> tg_argv[2]; begin "
        "if to_jsonb(new) ->> tg_argv[1] is distinct from 'erased:' || tg_argv[0] || ':' || called "
        "or not exists (select 1 from log_erased where kind = tg_argv[0] and key = called and field = tg_argv[1]) "
        f"then {refused}; end if; return new; end"
    )
    return [f"create function log_erase() returns trigger language plpgsql as $$ {body} $$"]


def erasable(
    dialect: Dialect, table: str, kind: str, key: str, columns: Sequence[str], withheld: Sequence[str]
) -> Iterator[str]:
    """
    In place of `kept`: what people wrote may give way to `erased:KIND:KEY`, once its commitment stands in `log_erased`.

    Args:
        key: the one column that the entry's key is.
        columns: those of the table that nothing may change. withheld: those that may be erased.
    """
    if dialect == "sqlite":
        yield f"drop trigger {table}_unchanged"
        refuse = f"begin select raise(abort, '{REFUSAL}'); end"
        yield f'create trigger {table}_unchanged before update of {", ".join(columns)} on "{table}" {refuse}'
        for field in withheld:
            there = f"select 1 from log_erased where kind = '{kind}' and key = cast(old.{key} as text) and field = '{field}'"
            unless = f"new.{field} is not 'erased:{kind}:' || old.{key} or not exists ({there})"
            yield f'create trigger {table}_{field}_kept before update of {field} on "{table}" when {unless} {refuse}'
        return
    yield f'drop trigger {table}_kept on "{table}"'
    of, each = ", ".join(columns), "for each statement execute function log_refuse()"
    yield f'create trigger {table}_kept before update of {of} or delete or truncate on "{table}" {each}'
    for field in withheld:
        yield (
            f'create trigger {table}_{field}_kept before update of {field} on "{table}" '
            f"for each row execute function log_erase('{kind}', '{field}', '{key}')"
        )


@contextmanager
def lifted(
    dialect: Dialect,
    name: str,
    execute: Callable[[str], object],
    read: Callable[[Select[Any]], Iterable[Sequence[Any]]],
) -> Iterator[None]:
    """
    Lift the refusal to change a table's rows for the block, so that texts can be sealed anew: they stay what they say.

    All of it in the caller's transaction. Nobody else sees the refusal gone, whoever is killed or fails within leaves it as it
    was, and on PostgreSQL nobody else writes the table meanwhile.

    Args:
        execute: runs a statement in the transaction. read: gives the rows of one.
    """
    if dialect == "postgresql":
        execute(f'alter table "{name}" disable trigger user')
        yield
        execute(f'alter table "{name}" enable trigger user')
        return
    kept = table("sqlite_master", *(column(one, String) for one in ("type", "name", "tbl_name", "sql")))
    refusing = (kept.c.type == "trigger", kept.c.tbl_name == name, kept.c.sql.contains(" before update "))
    made = list(read(select(kept.c.name, kept.c.sql).where(*refusing)))
    for trigger, _ in made:
        execute(f"drop trigger {trigger}")
    yield
    for _, sql in made:
        execute(sql)
