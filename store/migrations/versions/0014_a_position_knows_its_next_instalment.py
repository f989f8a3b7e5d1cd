"""a position knows its next instalment."""

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

_IS_SETBACK = sa.text("kind in ('reversal', 'pending_cancelled')")


def upgrade() -> None:
    op.create_index(
        'ix_movement_setback', 'movement', ['loan_id', 'effective_on'],
        sqlite_where=_IS_SETBACK, postgresql_where=_IS_SETBACK,
    )
    op.add_column('position', sa.Column('first_open_minor', sa.BigInteger(), nullable=True))
    op.add_column('position', sa.Column('first_open_total_minor', sa.BigInteger(), nullable=True))
    op.execute("""
        update position set first_open_minor = opened.amount_minor, first_open_total_minor = opened.due_total_minor
        from instalment as opened
        where opened.loan_id = position.loan_id and opened.number = position.first_open_number
    """)
