"""Loans, who stands in which role for them, what others know of them, and the stages they went through."""

from datetime import date, datetime

from sqlalchemy import BigInteger, Column, UniqueConstraint
from sqlmodel import Field

from store.columns import Sealed, but_erased
from store.tables.row import Row, amount, instant, reference, row_key


class Loan(Row, table=True):
    """
    A loan and where it stands in treatment.

    `basis` says what arrears come from: `schedule` (instalments and movements) or `account` (a core
    system's own snapshots). `stage_entry` counts entries into stages; `episode` counts spells of
    delinquency, `episode_on` is when the present one began (null while current).
    """

    __tablename__ = "loan"
    id: int | None = Field(default=None, sa_column=row_key())
    ref: str = Field(unique=True)
    borrower_id: int = Field(sa_column=reference("person.id", index=True))
    product: str
    currency: str
    principal_minor: int = Field(sa_column=amount())
    opened_on: date
    basis: str = "schedule"
    custody: str = "in_house"
    autopay: bool = False
    accelerated: bool = False
    charged_off_on: date | None = None
    limitation_on: date | None = None
    stage: str = "current"
    stage_on: date
    stage_entry: int = 0
    episode: int = 0
    episode_on: date | None = None
    feed_id: int | None = Field(default=None, sa_column=reference("feed.id", nullable=True))


class Party(Row, table=True):
    """Who else stands in which role for a loan: guarantor, co_borrower, contact_person, attorney, ..."""

    __tablename__ = "party"
    loan_id: int = Field(sa_column=reference("loan.id", primary_key=True))
    person_id: int = Field(sa_column=reference("person.id", primary_key=True))
    role: str = Field(primary_key=True)


class FactValue(Row, table=True):
    """A fact that somebody else computes (a score, an income), about a loan, as of an instant; the latest counts."""

    __tablename__ = "fact_value"
    __table_args__ = (UniqueConstraint("loan_id", "name", "as_of_at"),)
    id: int | None = Field(default=None, sa_column=row_key())
    loan_id: int = Field(sa_column=reference("loan.id"))
    name: str
    number: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    text: str | None = None
    as_of_at: datetime = Field(sa_column=instant())
    recorded_at: datetime = Field(sa_column=instant())
    feed_id: int | None = Field(default=None, sa_column=reference("feed.id", nullable=True))


class StageChange(Row, table=True):
    """
    One move of one loan, with its cause. `entry` is the stage entry it opened.

    `cause` is `move:RULE`, `entry:RULE` or `agent:NAME`; `reason` is what people said of it, and empty where a rule moved it.
    """

    __tablename__ = "stage_change"
    __table_args__ = (UniqueConstraint("loan_id", "entry"),)
    id: int | None = Field(default=None, sa_column=row_key())
    loan_id: int = Field(sa_column=reference("loan.id"))
    entry: int
    source: str
    target: str
    on_on: date
    at: datetime = Field(sa_column=instant())
    cause: str
    run_id: int | None = Field(default=None, sa_column=reference("run.id", nullable=True))
    reason: str = Field(
        default="", sa_column=Column(Sealed("stage_change.reason", but_erased("stage_change")), nullable=False)
    )
