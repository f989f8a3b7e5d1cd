"""indexes that said nothing new: the primary key and the unique key begin with the same column."""

from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index('ix_instalment_loan_due', 'instalment')
    op.drop_index('ix_endpoint_person_id', 'endpoint')
