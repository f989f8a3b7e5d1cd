"""
The schema's history. Files `versions/NNNN_what.py` are numbered from 1 without a gap; the last is what we need.

Duecourse runs them itself (`duecourse db upgrade`). To add one, change `store/tables/`, then
`python -m store.migrations "what changed"`, and read what it wrote.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

_FOLDER: Final = Path(__file__).parent
_OURS: Final = re.compile(r"[0-9]{4}")

TABLE: Final = "alembic_version"
"""Where the schema's version stands."""

HEAD: Final = max((int(path.stem[:4]) for path in (_FOLDER / "versions").glob("[0-9]*.py")), default=0)
"""The schema version this Duecourse was written for."""


def version(connection: Connection) -> int | None:
    """The version of the schema there, or None where there is none."""
    if not inspect(connection).has_table(TABLE):
        return None
    found = connection.execute(text(f"select version_num from {TABLE}")).scalar()
    # Somebody else's Alembic numbers its versions in another way.
    return int(found) if found and _OURS.fullmatch(found) else None


def migrate(connection: Connection) -> None:
    """Bring the schema to HEAD in the caller's transaction."""
    # Here, because every command imports this package and few need Alembic.
    from alembic import command

    if connection.dialect.name == "postgresql":
        # Two at once would both find it old. Any fixed number does.
        connection.execute(text("select pg_advisory_xact_lock(20261123)"))
    command.upgrade(configured(connection), "head")


def configured(connection: Connection) -> "Config":
    """Alembic's configuration for this folder and that connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config
