"""`python -m store.migrations "what changed"`: write the next migration from the difference to `store/tables.py`."""

import sys

from alembic import command
from sqlalchemy import create_engine

from store.migrations import HEAD, configured, migrate

# In memory is enough: the difference is one of names and types.
with create_engine("sqlite://").begin() as connection:
    if HEAD:
        migrate(connection)
    command.revision(configured(connection), sys.argv[1], autogenerate=True, rev_id=f"{HEAD + 1:04}")
