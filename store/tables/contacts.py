"""The contact log and the outbox: contacts, what they were about, how they went, and what was said."""

from datetime import datetime
from typing import Final

from sqlalchemy import Column, Index, text
from sqlmodel import Field

from store.columns import Sealed, SealedText, but_erased
from store.tables.row import Row, amount, instant, long_text, reference, row_key

_FAILED = text("status = 'failed'")
"""What a monitor asks for every few seconds, of a table that only grows."""

OURS: Final = (
    r"rule \S+",
    "every limit allows it now",
    "the provider took it",
    r"[a-z0-9_-]+ says (sent|delivered|failed)",
    r"handed to queue \S+",
    "imported",
)
"""Why a contact is where it is, as sweeps, dispatch and imports write it of every one; whatever else is said is sealed."""


class Contact(Row, table=True):
    """
    One contact, planned or past, by machine or person, out or in: the contact log and the outbox in one.

    `id` is `run-loan-n` for decided contacts, so that it can be told to a provider before anything is sent.
    `slot` is unique: the same rule, stage entry, repeat slot, person and channel happens once, ever.
    `status`: planned, claimed, sending, sent, delivered, failed, unknown, cancelled, expired. For call, visit,
    letter and legal tasks `sent` means handed to its queue and `delivered` means worked.
    `rank` is a task's place in its queue: texts that sort as the queue ranks. `claimed_by` says whose hands a task is in:
    `agent:NAME`, `dialler:BATCH` or `print:BATCH`. `kept_for` is the agent whom a call-back was promised by.
    """

    __tablename__ = "contact"
    __table_args__ = (
        Index("ix_contact_due", "status", "not_before_at"),
        Index("ix_contact_person", "person_id", "at"),
        Index("ix_contact_loan", "loan_id", "at"),
    )
    id: str = Field(primary_key=True)
    run_id: int | None = Field(default=None, sa_column=reference("run.id", nullable=True))
    loan_id: int = Field(sa_column=reference("loan.id"))
    person_id: int = Field(sa_column=reference("person.id"))
    role: str = "borrower"
    endpoint_id: int | None = Field(default=None, sa_column=reference("endpoint.id", nullable=True))
    channel: str
    direction: str = "out"
    purpose: str = "collect"
    rule: str | None = None
    name: str = ""
    queue: str | None = None
    stage_entry: int = 0
    slot: str = Field(unique=True)
    period_json: str = Field(default="{}", sa_column=long_text())
    status: str
    outcome: str = ""
    planned_at: datetime = Field(sa_column=instant())
    not_before_at: datetime = Field(sa_column=instant())
    expires_at: datetime = Field(sa_column=instant())
    at: datetime = Field(sa_column=instant())
    """When it happened; until then when it is planned for. What limits count by."""
    claimed_by: str | None = None
    claimed_until_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    attempts: int = 0
    provider: str | None = None
    provider_ref: str | None = Field(default=None, index=True)
    error: str | None = None
    why: str = Field(default="", sa_column=Column(Sealed("contact.why", "|".join(OURS)), nullable=False))
    misdirected: bool = False
    cost_minor: int = Field(default=0, sa_column=amount(default=0))
    by: str = "lender"
    rank: str | None = None
    kept_for: str | None = None


class ContactLoan(Row, table=True):
    """Which loans a contact was about or was allocated to; always includes its own loan."""

    __tablename__ = "contact_loan"
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    loan_id: int = Field(sa_column=reference("loan.id", primary_key=True))


class ContactStatus(Row, table=True):
    """Every change of a contact's status, with its cause; append-only."""

    __tablename__ = "contact_status"
    __table_args__ = (Index("ix_contact_status_failed", "at", sqlite_where=_FAILED, postgresql_where=_FAILED),)
    id: int | None = Field(default=None, sa_column=row_key())
    contact_id: str = Field(foreign_key="contact.id", index=True)
    status: str
    at: datetime = Field(sa_column=instant())
    why: str = Field(
        default="",
        sa_column=Column(Sealed("contact_status.why", but_erased("contact_status", *OURS)), nullable=False),
    )
    detail_json: str = Field(default="{}", sa_column=long_text())


class MessageText(Row, table=True):
    """
    What people themselves wrote, and nowhere else: our own words until they have left, the other side's to be read.

    A message of ours loses its row when it has gone or will not go. One of theirs waits for somebody while
    `read_at` is null.
    """

    __tablename__ = "message_text"
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    language: str = ""
    subject: str = Field(default="", sa_column=Column(Sealed("message_text.subject"), nullable=False))
    text: str = Field(sa_column=Column(SealedText("message_text.text"), nullable=False))
    read_by: str | None = None
    read_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))


class OverrideRow(Row, table=True):
    """A presumption that people set aside for one contact: which rule, on which ground, who, and where the proof is."""

    __tablename__ = "override"
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    rule: str
    ground: str
    evidence: str = Field(sa_column=Column(Sealed("override.evidence", but_erased("override")), nullable=False))
    agent: str
    approved_by: str
    at: datetime = Field(sa_column=instant())
