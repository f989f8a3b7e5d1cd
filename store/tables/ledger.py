"""What is owed and what was paid: the schedule, the movements, and what they come to."""

from datetime import date, datetime
from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, UniqueConstraint, text
from sqlmodel import Field

from store.tables.row import Row, amount, instant, reference, row_key

SETBACKS: Final = ("reversal", "pending_cancelled")
"""Kinds of movement that say a payment did not come after all."""

_IS_SETBACK: Final = text("kind in ('{}', '{}')".format(*SETBACKS))
"""Few movements are, and every decision asks for the recent ones."""


class Instalment(Row, table=True):
    """
    One due date of the schedule as imported. `due_total_minor` is the loan's running total up to and
    including this one, so that the oldest unpaid instalment is one comparison.
    """

    __tablename__ = "instalment"
    loan_id: int = Field(sa_column=reference("loan.id", primary_key=True))
    number: int = Field(primary_key=True)
    due_on: date
    amount_minor: int = Field(sa_column=amount())
    due_total_minor: int = Field(sa_column=amount())


class Movement(Row, table=True):
    """
    One movement of money or claim; append-only. Amounts are positive, the kind gives the sign.

    Kinds: payment, pending_debit, pending_cancelled, reversal, credit, fee, waiver, forgiveness,
    charge_off. `reverses_id` names the movement that this one ends: a reversal names what it takes back, a
    payment or pending_cancelled the pending debit it settles or calls off. A movement is ended once.
    """

    __tablename__ = "movement"
    __table_args__ = (
        UniqueConstraint("source", "ref"),
        Index("ix_movement_loan", "loan_id", "effective_on"),
        Index("ix_movement_setback", "loan_id", "effective_on", sqlite_where=_IS_SETBACK, postgresql_where=_IS_SETBACK),
    )
    id: int | None = Field(default=None, sa_column=row_key())
    loan_id: int = Field(sa_column=reference("loan.id"))
    kind: str
    amount_minor: int = Field(sa_column=amount())
    effective_on: date
    recorded_at: datetime = Field(sa_column=instant())
    source: str
    ref: str
    reverses_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("movement.id"), nullable=True, unique=True)
    )
    feed_id: int | None = Field(default=None, sa_column=reference("feed.id", nullable=True))


class Position(Row, table=True):
    """
    The ledger of one loan, folded: written in the same transaction as every movement.

    Holds no date-dependent number: days past due and the overdue amount follow from it, the open
    instalments and a date. `first_open_*` is the oldest instalment that cleared credit does not cover: its number, its
    date, its amount and the running total up to it, so that who has not fallen behind is known without their schedule.
    """

    __tablename__ = "position"
    loan_id: int = Field(sa_column=reference("loan.id", primary_key=True))
    due_minor: int = Field(sa_column=amount(default=0))
    credit_minor: int = Field(sa_column=amount(default=0))
    fee_minor: int = Field(sa_column=amount(default=0))
    pending_minor: int = Field(sa_column=amount(default=0))
    first_open_number: int | None = None
    first_open_on: date | None = Field(default=None, index=True)
    first_open_minor: int | None = Field(default=None, sa_column=amount(nullable=True))
    first_open_total_minor: int | None = Field(default=None, sa_column=amount(nullable=True))
    last_payment_on: date | None = None
    reversals: int = 0
    version: int = 0


class AccountSnapshot(Row, table=True):
    """What a core system says of an account without a schedule, as of a day."""

    __tablename__ = "account_snapshot"
    __table_args__ = (UniqueConstraint("loan_id", "as_of_on", "recorded_at"),)
    id: int | None = Field(default=None, sa_column=row_key())
    loan_id: int = Field(sa_column=reference("loan.id"))
    as_of_on: date
    dpd: int
    overdue_minor: int = Field(sa_column=amount())
    balance_minor: int = Field(sa_column=amount())
    min_payment_minor: int = Field(sa_column=amount())
    next_due_on: date | None = None
    recorded_at: datetime = Field(sa_column=instant())
    feed_id: int | None = Field(default=None, sa_column=reference("feed.id", nullable=True))
