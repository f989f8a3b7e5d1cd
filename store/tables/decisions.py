"""Acts of deciding, what they decided, on what, and by which strategies and packs."""

from datetime import date, datetime

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field

from store.tables.row import Row, instant, long_text, octets, reference, row_key


class Run(Row, table=True):
    """
    One act of deciding. Freezes its now, its known-at and its hashes.

    `kind`: sweep, events (a micro-batch of them), by_hand (what one person asked for), look (a round of second looks), entry (imported loans
    are placed). `status`: running, done, stopped; of a sweep also failed (all but some chunks are decided) and left (broken off, and
    another took its place). What a sweep planned leaves once it is none of running and stopped. `done_to` is the last borrower id
    decided, so that a stopped run goes on.
    """

    __tablename__ = "run"
    id: int | None = Field(default=None, sa_column=row_key())
    kind: str
    now_at: datetime = Field(sa_column=instant())
    known_at: datetime = Field(sa_column=instant())
    strategies_json: str = Field(default="{}", sa_column=long_text())
    gate_digest: str = ""
    engine_version: str = ""
    status: str = "running"
    done_to: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, default=0))
    counts_json: str = Field(default="{}", sa_column=long_text())
    started_at: datetime = Field(sa_column=instant())
    ended_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))


class DecisionRow(Row, table=True):
    """The decision log: one row per loan and run, refusals and "nothing to do" included. Append-only."""

    __tablename__ = "decision"
    __table_args__ = (Index("ix_decision_loan", "loan_id", "now_at"),)
    run_id: int = Field(sa_column=reference("run.id", primary_key=True))
    loan_id: int = Field(sa_column=reference("loan.id", primary_key=True))
    borrower_id: int = Field(sa_column=reference("person.id"))
    now_at: datetime = Field(sa_column=instant())
    on_on: date
    strategy: str | None = None
    strategy_digest: str | None = None
    arm: str | None = None
    stage_before: str
    stage_after: str
    outcome: str
    rule: str | None = None
    covered_by: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    next_look_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    reasons: str = ""
    facts_json: str = Field(sa_column=long_text())
    trace_json: str = Field(sa_column=long_text())


class Snapshot(Row, table=True):
    """
    What decisions of a run were made on, as it was read; append-only. Ids only: nobody is named in it.

    `content` is what `store.snapshots` packed, `digest` its SHA-256 in hex. The borrowers are from the first to the last id;
    not everybody between is in it. Of several snapshots with a borrower the newest is what was decided on. One from 0 to 0
    holds nobody: it says how the run gave out the seats of limited queues.
    """

    __tablename__ = "snapshot"
    __table_args__ = (Index("ix_snapshot_run", "run_id"),)
    id: int | None = Field(default=None, sa_column=row_key())
    run_id: int = Field(sa_column=reference("run.id"))
    first_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    digest: str
    content: bytes = Field(sa_column=octets())


class Published(Row, table=True):
    """Strategies and packs by content hash, kept for ever: a decision can be read with what decided it."""

    __tablename__ = "published"
    digest: str = Field(primary_key=True)
    kind: str
    name: str
    content: str = Field(sa_column=long_text())
    published_at: datetime = Field(sa_column=instant())
