"""
In which order everything was committed, kept by the database itself beside the book: clocks may be wrong, this is not.

Triggers of the test's own, in a table of its own; the product knows nothing of them.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

TABLE: Final = "witness_order"
_INSERTED: Final = (
    "contact_status",
    "consent",
    "hold",
    "duty",
    "movement",
    "account_snapshot",
    "promise",
    "stage_change",
    "run",
)
_SWITCH: Final = "{}.name in ('sending', 'brake')"
"""What keeps everything from leaving."""


def keep(database: Path) -> None:
    """Begin to keep it, in a database that nobody has written to yet."""
    statements = [
        f"create table {TABLE} (id integer primary key autoincrement, kind text, key text, before text, after text)",
        *(_on(f"after insert on {table}", f"'{table}', new.id, null, null") for table in _INSERTED),
        _on(f"after insert on setting when {_SWITCH.format('new')}", "new.name, new.name, null, new.value"),
        _on(f"after update of value on setting when {_SWITCH.format('new')}", "new.name, new.name, null, new.value"),
        _on(f"after delete on setting when {_SWITCH.format('old')}", "old.name, old.name, old.value, null"),
        _on("after insert on decision", "'decision', new.run_id || '-' || new.loan_id, null, null"),
        _on("after update of status on run", "'run ' || new.status, new.id, null, null"),
        _on("after update of zones on person when new.zones <> old.zones", "'zones', new.id, old.zones, new.zones"),
    ]
    with closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _on(event: str, values: str) -> str:
    name = f"witness_{event.partition(' on ')[2].split()[0]}_{event.split()[1]}"
    return f"create trigger {name} {event} begin insert into {TABLE} (kind, key, before, after) values ({values}); end"
