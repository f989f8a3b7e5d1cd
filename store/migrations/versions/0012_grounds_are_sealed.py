"""grounds are sealed."""

import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import sqlalchemy as sa
from alembic import op
from store.log_triggers import Dialect, lifted
from store.sealing import sealing_of

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

_BATCH = 10_000
_OURS = (
    r'rule \S+|every limit allows it now|the provider took it|[a-z0-9_-]+ says (sent|delivered|failed)|handed to queue \S+'
)
# Table, key and column; which texts stay as they are, because nobody said them; whether the table is of the log.
_SEALED = (
    ('override', 'contact_id', 'evidence', r'erased:override:\S+', True),
    ('consent', 'id', 'how', r'erased:consent:\S+|phone|call|visit|oral|in_person', True),
    ('consent', 'id', 'evidence', r'erased:consent:\S+', True),
    ('consent', 'id', 'source', r'erased:consent:\S+|agent:\S+|[a-z0-9_-]+', True),
    ('stage_change', 'id', 'reason', r'erased:stage_change:\S+', True),
    ('contact_status', 'id', 'why', rf'erased:contact_status:\S+|{_OURS}', True),
    ('job_act', 'id', 'because', '', True),
    ('contact', 'id', 'why', _OURS, False),
    ('duty', 'id', 'evidence', '', False),
    ('deed_note', 'deed_id', 'because', '', False),
)
_SECRETS = ('log.seal_key', 'text_key', 'link_key')


def upgrade() -> None:
    connection = op.get_bind()
    sealing = sealing_of(connection.dialect)
    dialect: Dialect = 'sqlite' if connection.dialect.name == 'sqlite' else 'postgresql'
    for table, key, column, but, is_logged in _SEALED:
        set_one = sa.text(f'update "{table}" set {column} = :value where {key} = :key')
        # The entries are made of what was written, which stays: what they hash to does not change.
        lift = lifted(dialect, table, connection.exec_driver_sql, lambda query: connection.execute(query).all())
        with lift if is_logged else nullcontext():
            for rows in _batches(connection, table, key, column):
                words = [(id_, text) for id_, text in rows if not re.fullmatch(but, text)]
                values = sealing.seal_all(f'{table}.{column}', [text for _, text in words])
                changes = [{'key': id_, 'value': sealed} for (id_, _), sealed in zip(words, values, strict=True)]
                if changes:
                    connection.execute(set_one, changes)
    setting = sa.table('setting', sa.column('name', sa.String()), sa.column('value', sa.String()))
    for name, value in connection.execute(sa.select(setting).where(setting.c.name.in_(_SECRETS))).all():
        sealed = sealing.seal(f'setting.{name}', value)
        connection.execute(sa.update(setting).where(setting.c.name == name).values(value=sealed))


def _batches(connection: sa.Connection, table: str, key: str, column: str) -> Iterator[Sequence[Any]]:
    """What stands there in the clear, by key, in portions."""
    query = (
        f'select {key}, {column} from "{table}" where {column} <> \'\' and {key} > :after order by {key} limit {_BATCH}'
    )
    of_contact = key == 'contact_id' or table == 'contact'
    after: Any = '' if of_contact else -1
    while rows := connection.execute(sa.text(query), {'after': after}).all():
        yield rows
        after = rows[-1][0]
