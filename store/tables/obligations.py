"""What binds somebody for a time: holds, notices served, duties with their day, promises to pay."""

from datetime import date, datetime

from sqlalchemy import Column, Index, UniqueConstraint
from sqlmodel import Field

from store.columns import Sealed
from store.tables.row import Row, amount, instant, reference, row_key


class Hold(Row, table=True):
    """A state that forbids something, with an owner and a day on which it must be looked at again."""

    __tablename__ = "hold"
    id: int | None = Field(default=None, sa_column=row_key())
    person_id: int = Field(sa_column=reference("person.id", index=True))
    loan_id: int | None = Field(default=None, sa_column=reference("loan.id", nullable=True))
    kind: str
    blocks: str = ""
    form: str = ""
    owner: str
    review_on: date
    starts_at: datetime = Field(sa_column=instant())
    ends_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    recorded_at: datetime = Field(sa_column=instant())
    reason: str = Field(default="", sa_column=Column(Sealed("hold.reason"), nullable=False))
    ref: str = Field(unique=True)


class Notice(Row, table=True):
    """Evidence that a duty's notice was served: when sent, and from when it is deemed in force."""

    __tablename__ = "notice"
    id: int | None = Field(default=None, sa_column=row_key())
    loan_id: int = Field(sa_column=reference("loan.id", index=True))
    person_id: int = Field(sa_column=reference("person.id"))
    kind: str
    sent_on: date
    effective_on: date
    how: str
    contact_id: str | None = None
    voided_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    recorded_at: datetime = Field(sa_column=instant())
    ref: str = Field(unique=True)


class Duty(Row, table=True):
    """
    Something that must be done by a day: the book of duties. One row per rule, subject and start, for ever.

    `rule` is the pack's; `subject` is what it is about: `loan:12`, `hold:3`, `consent:5`, `notice:8`, `agency:North`. What the match of
    receipts, contacts and the log finds stands here as well, under rules that begin with `match.`.
    `status`: open, lapsed (its day is over), done, void (the loan is closed, or what asked for it is gone). `escalated_at`
    and `lapsed_at` say when that was found, and stay. `closed_by` is who said that it was done, or `duecourse`.
    """

    __tablename__ = "duty"
    __table_args__ = (UniqueConstraint("rule", "subject", "start_on"), Index("ix_duty_due", "status", "due_on"))
    id: int | None = Field(default=None, sa_column=row_key())
    rule: str
    subject: str
    start_on: date
    what: str
    person_id: int | None = Field(default=None, sa_column=reference("person.id", nullable=True))
    loan_id: int | None = Field(default=None, sa_column=reference("loan.id", nullable=True, index=True))
    due_on: date
    escalate_on: date
    owner: str
    status: str = "open"
    escalated_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    lapsed_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    closed_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    closed_by: str = ""
    evidence: str = Field(default="", sa_column=Column(Sealed("duty.evidence"), nullable=False))
    recorded_at: datetime = Field(sa_column=instant())


class Promise(Row, table=True):
    """A promise to pay. `status`: open, kept, broken, withdrawn; judged from the ledger after `due_on` and the grace."""

    __tablename__ = "promise"
    id: int | None = Field(default=None, sa_column=row_key())
    loan_id: int = Field(sa_column=reference("loan.id", index=True))
    amount_minor: int = Field(sa_column=amount())
    made_at: datetime = Field(sa_column=instant())
    due_on: date
    status: str = "open"
    paid_minor: int = Field(default=0, sa_column=amount(default=0))
    settled_on: date | None = None
    contact_id: str | None = None
    ref: str = Field(unique=True)
