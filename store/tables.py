"""
Every table, in one place. Names of people, numbers and addresses stand in `person` and `endpoint` only.

What identifies somebody, or was written by or about them in free words, is `Sealed`. References (`ref`) are the lender's own
and stay as they are; so do the tables of the log, which are evidence and never change: they name nobody.

Suffixes: `_at` an aware instant, `_on` a date, `_minor` an amount in the currency's minor units. `_json`
columns are text on both databases, so that every path that writes them writes the same bytes.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    event,
    inspect,
    text,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlmodel import Field, SQLModel
from sqlmodel.sql.sqltypes import AutoString

from store.columns import HASH_OF, Instant, Sealed, SealedText
from store.sealing import sealing_of

# SQLite gives rowid autoincrement to INTEGER primary keys only.
BigKey = BigInteger().with_variant(Integer, "sqlite")


def _key() -> Column[int]:
    return Column(BigKey, primary_key=True, autoincrement=True)


def _to(target: str, *, nullable: bool = False, index: bool = False, primary_key: bool = False) -> Column[int]:
    return Column(BigInteger, ForeignKey(target), nullable=nullable, index=index, primary_key=primary_key)


def _at(*, nullable: bool = False, index: bool = False) -> Column[datetime]:
    return Column(Instant, nullable=nullable, index=index)


def _minor(*, default: int | None = None) -> Column[int]:
    return Column(BigInteger, nullable=False, default=default)


def _bytes() -> Column[bytes]:
    return Column(LargeBinary, nullable=False)


def _text(*, nullable: bool = False) -> Column[str]:
    return Column(Text, nullable=nullable)


def _hash_of(column: str) -> Column[str]:
    """The keyed hash of a sealed column: its row is found by it. Filled in by whoever inserts, on every path."""

    def hashed(context: DefaultExecutionContext) -> str:
        of: str = context.get_current_parameters()[column]  # type: ignore[no-untyped-call]
        return sealing_of(context.dialect).hashed(of)

    return Column(AutoString, nullable=False, index=True, default=hashed, info={HASH_OF: column})


_FAILED = text("status = 'failed'")
"""What a monitor asks for every few seconds, of a table that only grows."""


class Person(SQLModel, table=True):
    """
    Somebody we may address: borrower, guarantor, contact person.

    `zones` holds IANA names separated by a space (declared or from the address). `bucket` (0-9999) is a
    keyed hash of the reference: it deals strategy arms and never changes. `version` grows with every
    committed change that could forbid or change a contact; dispatch compares it.
    At `erased_at` everything that identified them was taken out; the row stays, for the log names them by its id.
    """

    __tablename__ = "person"
    id: int | None = Field(default=None, sa_column=_key())
    ref: str = Field(unique=True)
    name: str = Field(sa_column=Column(Sealed("person.name"), nullable=False))
    language: str
    country: str
    region: str | None = None
    zones: str = ""
    preferred_channel: str | None = None
    bucket: int
    version: int = 0
    created_at: datetime = Field(sa_column=_at())
    erased_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))


class Endpoint(SQLModel, table=True):
    """
    A phone number (E.164), mail address or postal address (JSON text) of a person.

    `value` is sealed; what it is found and compared by is `value_hash`.
    `zone` is the IANA zone its prefix or address points to, where it points to exactly one. `marks` holds what the
    lender's own files say against it, `learnt_marks` what our people learnt of it; words of `engine.gate.MARKS`.
    `lost_at` is when we learnt that it leads nowhere, or to somebody else: from then on it is not `valid`, whatever a
    file says, until somebody takes that back.
    `area` is where a postal address lies, in the lender's own words: visits are planned by it.
    """

    __tablename__ = "endpoint"
    __table_args__ = (UniqueConstraint("person_id", "kind", "value_hash"),)
    id: int | None = Field(default=None, sa_column=_key())
    person_id: int = Field(sa_column=_to("person.id", index=True))
    kind: str
    value_hash: str | None = Field(default=None, sa_column=_hash_of("value"))
    zone: str | None = None
    place: str | None = None
    valid: bool = True
    rank: int = 0
    basis: str = ""
    basis_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    source: str = ""
    marks: str = Field(default="", sa_column_kwargs={"server_default": ""})
    learnt_marks: str = Field(default="", sa_column_kwargs={"server_default": ""})
    lost_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    area: str = Field(default="", sa_column_kwargs={"server_default": ""})
    recorded_at: datetime = Field(sa_column=_at())
    value: str = Field(sa_column=Column(Sealed("endpoint.value"), nullable=False, server_default=""))


@event.listens_for(Endpoint, "before_update")
def _hash_anew(_mapper: Any, connection: Connection, endpoint: Endpoint) -> None:
    if inspect(endpoint).attrs.value.history.has_changes():
        endpoint.value_hash = sealing_of(connection.dialect).hashed(endpoint.value)


class Loan(SQLModel, table=True):
    """
    A loan and where it stands in treatment.

    `basis` says what arrears come from: `schedule` (instalments and movements) or `account` (a core
    system's own snapshots). `stage_entry` counts entries into stages; `episode` counts spells of
    delinquency, `episode_on` is when the present one began (null while current).
    """

    __tablename__ = "loan"
    id: int | None = Field(default=None, sa_column=_key())
    ref: str = Field(unique=True)
    borrower_id: int = Field(sa_column=_to("person.id", index=True))
    product: str
    currency: str
    principal_minor: int = Field(sa_column=_minor())
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
    feed_id: int | None = Field(default=None, sa_column=_to("feed.id", nullable=True))


class Party(SQLModel, table=True):
    """Who else stands in which role for a loan: guarantor, co_borrower, contact_person, attorney, ..."""

    __tablename__ = "party"
    loan_id: int = Field(sa_column=_to("loan.id", primary_key=True))
    person_id: int = Field(sa_column=_to("person.id", primary_key=True))
    role: str = Field(primary_key=True)


class Instalment(SQLModel, table=True):
    """
    One due date of the schedule as imported. `due_total_minor` is the loan's running total up to and
    including this one, so that the oldest unpaid instalment is one comparison.
    """

    __tablename__ = "instalment"
    __table_args__ = (Index("ix_instalment_loan_due", "loan_id", "due_on"),)
    loan_id: int = Field(sa_column=_to("loan.id", primary_key=True))
    number: int = Field(primary_key=True)
    due_on: date
    amount_minor: int = Field(sa_column=_minor())
    due_total_minor: int = Field(sa_column=_minor())


class Movement(SQLModel, table=True):
    """
    One movement of money or claim; append-only. Amounts are positive, the kind gives the sign.

    Kinds: payment, pending_debit, pending_cancelled, reversal, credit, fee, waiver, forgiveness,
    charge_off. `reverses_id` names the movement that this one ends: a reversal names what it takes back, a
    payment or pending_cancelled the pending debit it settles or calls off. A movement is ended once.
    """

    __tablename__ = "movement"
    __table_args__ = (UniqueConstraint("source", "ref"), Index("ix_movement_loan", "loan_id", "effective_on"))
    id: int | None = Field(default=None, sa_column=_key())
    loan_id: int = Field(sa_column=_to("loan.id"))
    kind: str
    amount_minor: int = Field(sa_column=_minor())
    effective_on: date
    recorded_at: datetime = Field(sa_column=_at())
    source: str
    ref: str
    reverses_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("movement.id"), nullable=True, unique=True)
    )
    feed_id: int | None = Field(default=None, sa_column=_to("feed.id", nullable=True))


class Position(SQLModel, table=True):
    """
    The ledger of one loan, folded: written in the same transaction as every movement.

    Holds no date-dependent number: days past due and the overdue amount follow from it, the open
    instalments and a date. `first_open_*` is the oldest instalment that cleared credit does not cover.
    """

    __tablename__ = "position"
    loan_id: int = Field(sa_column=_to("loan.id", primary_key=True))
    due_minor: int = Field(sa_column=_minor(default=0))
    credit_minor: int = Field(sa_column=_minor(default=0))
    fee_minor: int = Field(sa_column=_minor(default=0))
    pending_minor: int = Field(sa_column=_minor(default=0))
    first_open_number: int | None = None
    first_open_on: date | None = Field(default=None, index=True)
    last_payment_on: date | None = None
    reversals: int = 0
    version: int = 0


class AccountSnapshot(SQLModel, table=True):
    """What a core system says of an account without a schedule, as of a day."""

    __tablename__ = "account_snapshot"
    __table_args__ = (UniqueConstraint("loan_id", "as_of_on", "recorded_at"),)
    id: int | None = Field(default=None, sa_column=_key())
    loan_id: int = Field(sa_column=_to("loan.id"))
    as_of_on: date
    dpd: int
    overdue_minor: int = Field(sa_column=_minor())
    balance_minor: int = Field(sa_column=_minor())
    min_payment_minor: int = Field(sa_column=_minor())
    next_due_on: date | None = None
    recorded_at: datetime = Field(sa_column=_at())
    feed_id: int | None = Field(default=None, sa_column=_to("feed.id", nullable=True))


class FactValue(SQLModel, table=True):
    """A fact that somebody else computes (a score, an income), about a loan, as of an instant; the latest counts."""

    __tablename__ = "fact_value"
    __table_args__ = (UniqueConstraint("loan_id", "name", "as_of_at"),)
    id: int | None = Field(default=None, sa_column=_key())
    loan_id: int = Field(sa_column=_to("loan.id"))
    name: str
    number: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    text: str | None = None
    as_of_at: datetime = Field(sa_column=_at())
    recorded_at: datetime = Field(sa_column=_at())
    feed_id: int | None = Field(default=None, sa_column=_to("feed.id", nullable=True))


class Consent(SQLModel, table=True):
    """
    One statement of a person about being contacted; append-only, the latest of its scope wins.

    `received_at` is when it was said to whom it was said to, `recorded_at` when it came into this book.
    `detail_json` holds windows, places, dates and debts where the kind has them.
    """

    __tablename__ = "consent"
    id: int | None = Field(default=None, sa_column=_key())
    person_id: int = Field(sa_column=_to("person.id", index=True))
    endpoint_id: int | None = Field(default=None, sa_column=_to("endpoint.id", nullable=True))
    kind: str
    scope: str = ""
    channels: str = ""
    purposes: str = ""
    given_to: str = "lender"
    how: str = ""
    evidence: str = ""
    received_at: datetime = Field(sa_column=_at())
    recorded_at: datetime = Field(sa_column=_at())
    until_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    detail_json: str = Field(default="{}", sa_column=_text())
    source: str = ""
    ref: str = Field(unique=True)


class Hold(SQLModel, table=True):
    """A state that forbids something, with an owner and a day on which it must be looked at again."""

    __tablename__ = "hold"
    id: int | None = Field(default=None, sa_column=_key())
    person_id: int = Field(sa_column=_to("person.id", index=True))
    loan_id: int | None = Field(default=None, sa_column=_to("loan.id", nullable=True))
    kind: str
    blocks: str = ""
    form: str = ""
    owner: str
    review_on: date
    starts_at: datetime = Field(sa_column=_at())
    ends_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    recorded_at: datetime = Field(sa_column=_at())
    reason: str = Field(default="", sa_column=Column(Sealed("hold.reason"), nullable=False))
    ref: str = Field(unique=True)


class Notice(SQLModel, table=True):
    """Evidence that a duty's notice was served: when sent, and from when it is deemed in force."""

    __tablename__ = "notice"
    id: int | None = Field(default=None, sa_column=_key())
    loan_id: int = Field(sa_column=_to("loan.id", index=True))
    person_id: int = Field(sa_column=_to("person.id"))
    kind: str
    sent_on: date
    effective_on: date
    how: str
    contact_id: str | None = None
    voided_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    recorded_at: datetime = Field(sa_column=_at())
    ref: str = Field(unique=True)


class Duty(SQLModel, table=True):
    """
    Something that must be done by a day: the book of duties. One row per rule, subject and start, for ever.

    `rule` is the pack's; `subject` is what it is about: `loan:12`, `hold:3`, `consent:5`, `notice:8`, `agency:North`. What the match of
    receipts, contacts and the log finds stands here as well, under rules that begin with `match.`.
    `status`: open, lapsed (its day is over), done, void (the loan is closed, or what asked for it is gone). `escalated_at`
    and `lapsed_at` say when that was found, and stay. `closed_by` is who said that it was done, or `duecourse`.
    """

    __tablename__ = "duty"
    __table_args__ = (UniqueConstraint("rule", "subject", "start_on"), Index("ix_duty_due", "status", "due_on"))
    id: int | None = Field(default=None, sa_column=_key())
    rule: str
    subject: str
    start_on: date
    what: str
    person_id: int | None = Field(default=None, sa_column=_to("person.id", nullable=True))
    loan_id: int | None = Field(default=None, sa_column=_to("loan.id", nullable=True, index=True))
    due_on: date
    escalate_on: date
    owner: str
    status: str = "open"
    escalated_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    lapsed_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    closed_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    closed_by: str = ""
    evidence: str = ""
    recorded_at: datetime = Field(sa_column=_at())


class Promise(SQLModel, table=True):
    """A promise to pay. `status`: open, kept, broken, withdrawn; judged from the ledger after `due_on` and the grace."""

    __tablename__ = "promise"
    id: int | None = Field(default=None, sa_column=_key())
    loan_id: int = Field(sa_column=_to("loan.id", index=True))
    amount_minor: int = Field(sa_column=_minor())
    made_at: datetime = Field(sa_column=_at())
    due_on: date
    status: str = "open"
    paid_minor: int = Field(default=0, sa_column=_minor(default=0))
    settled_on: date | None = None
    contact_id: str | None = None
    ref: str = Field(unique=True)


class Feed(SQLModel, table=True):
    """
    One imported file: what it was, its hash, and how old its content is.

    `status`: `loading` until the import's last transaction, then `done`; a killed import continues.
    """

    __tablename__ = "feed"
    __table_args__ = (UniqueConstraint("kind", "digest"),)
    id: int | None = Field(default=None, sa_column=_key())
    kind: str
    file: str
    digest: str
    as_of_at: datetime = Field(sa_column=_at())
    imported_at: datetime = Field(sa_column=_at())
    rows: int = 0
    rejected: int = 0
    status: str = "loading"


class Arrival(SQLModel, table=True):
    """
    Something from outside, as its sender meant it: written down before anything follows from it, and handled once.

    The inbox. (source, key) is unique: the same again is known, and a replay is harmless. `detail_json` names nobody;
    what identifies somebody, or was written by them, stands in `private_json` until it is handled, and is gone then.
    `state`: waiting, done, parked (a person has to look), closed (a person has looked). `why`: what it came to.
    """

    __tablename__ = "arrival"
    __table_args__ = (UniqueConstraint("source", "key"), Index("ix_arrival_state", "state", "due_at"))
    id: int | None = Field(default=None, sa_column=_key())
    source: str
    key: str
    kind: str
    detail_json: str = Field(default="{}", sa_column=_text())
    private_json: str | None = Field(default=None, sa_column=Column(SealedText("arrival.private_json"), nullable=True))
    state: str = "waiting"
    why: str = ""
    recorded_at: datetime = Field(sa_column=_at())
    due_at: datetime = Field(sa_column=_at())
    """When it is looked at next: what it is about may not be written down yet."""
    ended_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))


class Event(SQLModel, table=True):
    """News for the rules: something happened to somebody, so look again. (source, key) is unique; a replay is harmless."""

    __tablename__ = "event"
    __table_args__ = (UniqueConstraint("source", "key"),)
    id: int | None = Field(default=None, sa_column=_key())
    source: str
    key: str
    kind: str
    person_id: int | None = Field(default=None, sa_column=_to("person.id", nullable=True))
    loan_id: int | None = Field(default=None, sa_column=_to("loan.id", nullable=True))
    happened_at: datetime = Field(sa_column=_at())
    recorded_at: datetime = Field(sa_column=_at())
    detail_json: str = Field(default="{}", sa_column=_text())
    run_id: int | None = Field(default=None, sa_column=_to("run.id", nullable=True, index=True))
    parked: str | None = None


class Run(SQLModel, table=True):
    """
    One act of deciding. Freezes its now, its known-at and its hashes.

    `kind`: sweep, events (a micro-batch of them), by_hand (one contact), look (a round of second looks), entry (imported loans
    are placed). `status`: running, done, stopped. `done_to` is the last borrower id decided, so that a stopped run goes on.
    """

    __tablename__ = "run"
    id: int | None = Field(default=None, sa_column=_key())
    kind: str
    now_at: datetime = Field(sa_column=_at())
    known_at: datetime = Field(sa_column=_at())
    strategies_json: str = Field(default="{}", sa_column=_text())
    gate_digest: str = ""
    engine_version: str = ""
    status: str = "running"
    done_to: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, default=0))
    counts_json: str = Field(default="{}", sa_column=_text())
    started_at: datetime = Field(sa_column=_at())
    ended_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))


class DecisionRow(SQLModel, table=True):
    """The decision log: one row per loan and run, refusals and "nothing to do" included. Append-only."""

    __tablename__ = "decision"
    __table_args__ = (Index("ix_decision_loan", "loan_id", "now_at"),)
    run_id: int = Field(sa_column=_to("run.id", primary_key=True))
    loan_id: int = Field(sa_column=_to("loan.id", primary_key=True))
    borrower_id: int = Field(sa_column=_to("person.id"))
    now_at: datetime = Field(sa_column=_at())
    on_on: date
    strategy: str | None = None
    strategy_digest: str | None = None
    arm: str | None = None
    stage_before: str
    stage_after: str
    outcome: str
    rule: str | None = None
    covered_by: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    next_look_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    reasons: str = ""
    facts_json: str = Field(sa_column=_text())
    trace_json: str = Field(sa_column=_text())


class Snapshot(SQLModel, table=True):
    """
    What decisions of a run were made on, as it was read; append-only. Ids only: nobody is named in it.

    `content` is what `store.snapshots` packed, `digest` its SHA-256 in hex. The borrowers are from the first to the last id;
    not everybody between is in it. Of several snapshots with a borrower the newest is what was decided on. One from 0 to 0
    holds nobody: it says how the run gave out the seats of limited queues.
    """

    __tablename__ = "snapshot"
    __table_args__ = (Index("ix_snapshot_run", "run_id"),)
    id: int | None = Field(default=None, sa_column=_key())
    run_id: int = Field(sa_column=_to("run.id"))
    first_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    digest: str
    content: bytes = Field(sa_column=_bytes())


class StageChange(SQLModel, table=True):
    """One move of one loan, with its cause. `entry` is the stage entry it opened."""

    __tablename__ = "stage_change"
    __table_args__ = (UniqueConstraint("loan_id", "entry"),)
    id: int | None = Field(default=None, sa_column=_key())
    loan_id: int = Field(sa_column=_to("loan.id"))
    entry: int
    source: str
    target: str
    on_on: date
    at: datetime = Field(sa_column=_at())
    cause: str
    run_id: int | None = Field(default=None, sa_column=_to("run.id", nullable=True))
    reason: str = ""


class Contact(SQLModel, table=True):
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
    run_id: int | None = Field(default=None, sa_column=_to("run.id", nullable=True))
    loan_id: int = Field(sa_column=_to("loan.id"))
    person_id: int = Field(sa_column=_to("person.id"))
    role: str = "borrower"
    endpoint_id: int | None = Field(default=None, sa_column=_to("endpoint.id", nullable=True))
    channel: str
    direction: str = "out"
    purpose: str = "collect"
    rule: str | None = None
    name: str = ""
    queue: str | None = None
    stage_entry: int = 0
    slot: str = Field(unique=True)
    period_json: str = Field(default="{}", sa_column=_text())
    status: str
    outcome: str = ""
    planned_at: datetime = Field(sa_column=_at())
    not_before_at: datetime = Field(sa_column=_at())
    expires_at: datetime = Field(sa_column=_at())
    at: datetime = Field(sa_column=_at())
    """When it happened; until then when it is planned for. What limits count by."""
    claimed_by: str | None = None
    claimed_until_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    attempts: int = 0
    provider: str | None = None
    provider_ref: str | None = Field(default=None, index=True)
    error: str | None = None
    why: str = ""
    misdirected: bool = False
    cost_minor: int = Field(default=0, sa_column=_minor(default=0))
    by: str = "lender"
    rank: str | None = None
    kept_for: str | None = None


class ContactLoan(SQLModel, table=True):
    """Which loans a contact was about or was allocated to; always includes its own loan."""

    __tablename__ = "contact_loan"
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    loan_id: int = Field(sa_column=_to("loan.id", primary_key=True))


class ContactStatus(SQLModel, table=True):
    """Every change of a contact's status, with its cause; append-only."""

    __tablename__ = "contact_status"
    __table_args__ = (Index("ix_contact_status_failed", "at", sqlite_where=_FAILED, postgresql_where=_FAILED),)
    id: int | None = Field(default=None, sa_column=_key())
    contact_id: str = Field(foreign_key="contact.id", index=True)
    status: str
    at: datetime = Field(sa_column=_at())
    why: str = ""
    detail_json: str = Field(default="{}", sa_column=_text())


class MessageText(SQLModel, table=True):
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
    read_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))


class Batch(SQLModel, table=True):
    """
    Tasks that left together, in a file: letters for a print shop, calls for a dialler.

    `status`: writing, out (its file is there), doubt (the making was broken off), void (nothing of it was used).
    A batch that is still `writing` at `until_at` is in doubt.
    """

    __tablename__ = "batch"
    id: int | None = Field(default=None, sa_column=_key())
    kind: str
    queue: str
    status: str
    made_at: datetime = Field(sa_column=_at())
    made_by: str
    until_at: datetime = Field(sa_column=_at())
    digest: str = ""


class BatchItem(SQLModel, table=True):
    """
    One task of a batch: the file it became and that file's hash, or until when it may be called; and what was reported.

    A task that was given back and goes out again is an item of another batch.
    """

    __tablename__ = "batch_item"
    batch_id: int = Field(sa_column=_to("batch.id", primary_key=True))
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    until_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    file: str = ""
    digest: str = ""
    pages: int = 0
    post: str = ""
    result_json: str = Field(default="{}", sa_column=_text())


class Visit(SQLModel, table=True):
    """
    When a visit is planned for, and by whom: its day, its team (agents by name, separated by commas, the lead first), the
    place it has on their route, and the hours in which it may be made.
    """

    __tablename__ = "visit"
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    on_on: date = Field(index=True)
    team: str
    area: str = ""
    stop: int
    from_at: datetime = Field(sa_column=_at())
    until_at: datetime = Field(sa_column=_at())
    planned_by: str
    planned_at: datetime = Field(sa_column=_at())


class Proof(SQLModel, table=True):
    """
    What shows that a contact was made: who was there, and a file known by its hash alone; the file is kept elsewhere.

    `digest` is SHA-256 in hex.
    """

    __tablename__ = "proof"
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    digest: str = Field(primary_key=True)
    size_bytes: int = Field(sa_column=_minor())
    people: str
    at: datetime = Field(sa_column=_at())
    recorded_at: datetime = Field(sa_column=_at())


class OverrideRow(SQLModel, table=True):
    """A presumption that people set aside for one contact: which rule, on which ground, who, and where the proof is."""

    __tablename__ = "override"
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    rule: str
    ground: str
    evidence: str
    agent: str
    approved_by: str
    at: datetime = Field(sa_column=_at())


class Published(SQLModel, table=True):
    """Strategies and packs by content hash, kept for ever: a decision can be read with what decided it."""

    __tablename__ = "published"
    digest: str = Field(primary_key=True)
    kind: str
    name: str
    content: str = Field(sa_column=_text())
    published_at: datetime = Field(sa_column=_at())


class Deed(SQLModel, table=True):
    """
    What was done with the book and is in no other table of the log; append-only.

    `kind`: import, export (of the book, or of a person's data to that person), key (of the log's signer), purge, reveal (a
    number or address was shown), erasure. `subject` is a hash, a public key, a table or an id, never a name; `detail_json` holds
    counts, instants and hashes.
    """

    __tablename__ = "deed"
    id: int | None = Field(default=None, sa_column=_key())
    at: datetime = Field(sa_column=_at())
    kind: str
    subject: str
    detail_json: str = Field(default="{}", sa_column=_text())


class DeedNote(SQLModel, table=True):
    """Who did a deed about a person, and why, in their own words: not part of the log, and erased with the person."""

    __tablename__ = "deed_note"
    deed_id: int = Field(sa_column=_to("deed.id", primary_key=True))
    person_id: int = Field(sa_column=_to("person.id", index=True))
    by: str
    because: str


class ErasedRef(SQLModel, table=True):
    """The references of people who were erased, as keyed hashes: an import does not bring them back."""

    __tablename__ = "erased_ref"
    digest: str = Field(primary_key=True)
    at: datetime = Field(sa_column=_at())


class Job(SQLModel, table=True):
    """
    A job of the schedule, and how it last ran.

    `known_at` is when a scheduler first saw it. `state`: new (it never ran), running, done, refused (the workspace or
    the book would not have it), failed (a fault of ours), stopped (half-way, and to be gone on with). `why`: of the last
    two. `by` is the process. `done_at` is when it last ended well; `failures` counts those in a row that did not.
    """

    __tablename__ = "job"
    name: str = Field(primary_key=True)
    known_at: datetime = Field(sa_column=_at())
    state: str = "new"
    why: str = ""
    by: str = ""
    began_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    done_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))
    failures: int = 0


class JobAct(SQLModel, table=True):
    """
    That somebody paused a job or let it go on; append-only, the latest of a job counts.

    `act`: pause, resume. A pause ends by itself at `until_at`, where it has one.
    """

    __tablename__ = "job_act"
    id: int | None = Field(default=None, sa_column=_key())
    job: str
    act: str
    at: datetime = Field(sa_column=_at())
    by: str
    because: str = ""
    until_at: datetime | None = Field(default=None, sa_column=_at(nullable=True))


class LogQueue(SQLModel, table=True):
    """Rows of the log's tables that have no position yet; filled by triggers, in the transaction that wrote the row."""

    __tablename__ = "log_queue"
    id: int | None = Field(default=None, sa_column=_key())
    kind: str
    key: str


class LogLeaf(SQLModel, table=True):
    """
    One entry of the log: at which place, which row, and what it hashed to. Positions count from 0 without a gap.

    `kind` and `key` lead to the row, as `store.log_kinds` says.
    """

    __tablename__ = "log_leaf"
    __table_args__ = (Index("ix_log_leaf_entry", "kind", "key"),)
    position: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    kind: str
    key: str
    hash: bytes = Field(sa_column=_bytes())


class LogNode(SQLModel, table=True):
    """What every whole run of 256 ** level entries hashes to, from level 1 up; runs count from 0."""

    __tablename__ = "log_node"
    level: int = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    hash: bytes = Field(sa_column=_bytes())


class LogCheckpoint(SQLModel, table=True):
    """A signed checkpoint: `note` is the text that was signed and handed out. Numbers count from 1 without a gap."""

    __tablename__ = "log_checkpoint"
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: datetime = Field(sa_column=_at())
    note: str = Field(sa_column=_text())


class LogHandover(SQLModel, table=True):
    """That a witness took a checkpoint, and when."""

    __tablename__ = "log_handover"
    number: int = Field(sa_column=_to("log_checkpoint.number", primary_key=True))
    witness: str = Field(primary_key=True)
    at: datetime = Field(sa_column=_at())


class LogErased(SQLModel, table=True):
    """
    The commitment to a withheld text that was erased: the entry is still made of it, and hashes to what it did.

    `kind` and `key` are the entry's. The erasure's deed holds the digest of all its rows.
    """

    __tablename__ = "log_erased"
    kind: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    field: str = Field(primary_key=True)
    commitment: str
    deed_id: int = Field(sa_column=_to("deed.id", index=True))


class Setting(SQLModel, table=True):
    """What the database itself knows about being a database: `environment`, `sending`, `arm_key`, ..."""

    __tablename__ = "setting"
    name: str = Field(primary_key=True)
    value: str
