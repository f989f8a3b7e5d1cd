"""`python -m store.migrations "what changed"`: write the next migration from the difference to `store/tables/`."""

import sys

from alembic import command
from sqlalchemy import create_engine

from store.migrations import HEAD, configured, migrate
from store.sealing import Keyring, Sealing, bind, new_key

# In memory is enough: the difference is one of names and types. It holds nobody, so that any key does.
engine = create_engine("sqlite://")
thrown_away = new_key()
bind(engine.dialect, Sealing(Keyring(lambda: (thrown_away,)), lambda: None, place="memory"))
with engine.begin() as connection:
    if HEAD:
        migrate(connection)
    command.revision(configured(connection), sys.argv[1], autogenerate=True, rev_id=f"{HEAD + 1:04}")
