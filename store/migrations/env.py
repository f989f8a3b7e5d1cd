"""Alembic's entry: works on the connection it is handed, inside the transaction that is already open."""

from typing import Any, Literal

from alembic import context
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

import store.tables  # noqa: F401 - fills the metadata
from store.columns import Instant, Sealed, SealedText


def render_item(kind: str, item: Any, autogen: Any) -> str | Literal[False]:
    """Our own column types as a migration shall write them; False for everything else."""
    if kind == "type" and isinstance(item, SealedText):
        return "sa.Text()"
    if kind == "type" and isinstance(item, AutoString | Sealed):
        return "sa.String()"
    if kind == "type" and isinstance(item, Instant):
        autogen.imports.add("from store.columns import Instant")
        return "Instant()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_item=render_item,
    render_as_batch=True,
    # SQLite can; Alembic believes it cannot.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
