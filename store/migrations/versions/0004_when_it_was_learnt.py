"""when it was learnt."""

import sqlalchemy as sa
from alembic import op
from store.columns import Instant

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('endpoint', schema=None) as batch_op:
        batch_op.add_column(sa.Column('lost_at', Instant(), nullable=True))
    with op.batch_alter_table('consent', schema=None) as batch_op:
        batch_op.add_column(sa.Column('recorded_at', Instant(), nullable=True))
    # Of older statements it is not known; the earliest it can have been is when they were said.
    op.execute('update consent set recorded_at = received_at')
    with op.batch_alter_table('consent', schema=None) as batch_op:
        batch_op.alter_column('recorded_at', existing_type=Instant(), nullable=False)
