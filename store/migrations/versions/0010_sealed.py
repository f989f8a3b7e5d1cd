"""what identifies somebody is sealed."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from store.sealing import SETTING, sealing_of

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

_BATCH = 10_000
_SEALED = (
    ('person', 'id', 'name'),
    ('hold', 'id', 'reason'),
    ('message_text', 'contact_id', 'subject'),
    ('message_text', 'contact_id', 'text'),
    ('arrival', 'id', 'private_json'),
)


def upgrade() -> None:
    connection = op.get_bind()
    sealing = sealing_of(connection.dialect)
    setting = sa.table('setting', sa.column('name'), sa.column('value'))
    connection.execute(sa.insert(setting).values(name=SETTING, value=sealing.begin()))

    # The old column becomes that of the hashes, and with it the unique set and the index that it is in: SQLite cannot
    # take a column out of a unique set otherwise than by making the table anew, with everything that refers to it.
    op.drop_index('ix_endpoint_value', 'endpoint')
    op.execute('alter table endpoint rename column value to value_hash')
    op.add_column('endpoint', sa.Column('value', sa.String(), server_default='', nullable=False))
    if connection.dialect.name == 'postgresql':
        old, new = 'endpoint_person_id_kind_value_key', 'endpoint_person_id_kind_value_hash_key'
        op.execute(f'alter table endpoint rename constraint {old} to {new}')

    set_both = sa.text('update endpoint set value = :value, value_hash = :hash where id = :id')
    for rows in _batches(connection, 'endpoint', 'id', 'value_hash'):
        values = sealing.seal_all('endpoint.value', [value for _, value in rows])
        connection.execute(set_both, [
            {'id': id_, 'value': sealed, 'hash': sealing.hashed(value)}
            for (id_, value), sealed in zip(rows, values, strict=True)
        ])
    for table, key, column in _SEALED:
        set_one = sa.text(f'update {table} set {column} = :value where {key} = :key')
        for rows in _batches(connection, table, key, column):
            values = sealing.seal_all(f'{table}.{column}', [value for _, value in rows])
            connection.execute(set_one, [
                {'key': id_, 'value': sealed} for (id_, _), sealed in zip(rows, values, strict=True)
            ])
    # Last: an index that is there is written anew for every row.
    op.create_index('ix_endpoint_value_hash', 'endpoint', ['value_hash'])


def _batches(connection: sa.Connection, table: str, key: str, column: str) -> Iterator[Sequence[Any]]:
    """What stands there in the clear, by key, in portions."""
    query = f"select {key}, {column} from {table} where {column} <> '' and {key} > :after order by {key} limit {_BATCH}"
    after: Any = '' if key == 'contact_id' else -1
    while rows := connection.execute(sa.text(query), {'after': after}).all():
        yield rows
        after = rows[-1][0]
