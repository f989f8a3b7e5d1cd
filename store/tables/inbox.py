"""What came in from outside: files, arrivals, and the news in them for the rules."""

from datetime import datetime

from sqlalchemy import Column, Index, UniqueConstraint
from sqlmodel import Field

from store.columns import SealedText
from store.tables.row import Row, instant, long_text, reference, row_key


class Feed(Row, table=True):
    """
    One imported file: what it was, its hash, and how old its content is.

    `status`: `loading` until the import's last transaction, then `done`; a killed import continues.
    """

    __tablename__ = "feed"
    __table_args__ = (UniqueConstraint("kind", "digest"),)
    id: int | None = Field(default=None, sa_column=row_key())
    kind: str
    file: str
    digest: str
    as_of_at: datetime = Field(sa_column=instant())
    imported_at: datetime = Field(sa_column=instant())
    rows: int = 0
    rejected: int = 0
    status: str = "loading"


class Arrival(Row, table=True):
    """
    Something from outside, as its sender meant it: written down before anything follows from it, and handled once.

    The inbox. (source, key) is unique: the same again is known, and a replay is harmless. `detail_json` names nobody;
    what identifies somebody, or was written by them, stands in `private_json` until it is handled, and is gone then.
    `state`: waiting, done, parked (a person has to look), closed (a person has looked). `why`: what it came to.
    """

    __tablename__ = "arrival"
    __table_args__ = (UniqueConstraint("source", "key"), Index("ix_arrival_state", "state", "due_at"))
    id: int | None = Field(default=None, sa_column=row_key())
    source: str
    key: str
    kind: str
    detail_json: str = Field(default="{}", sa_column=long_text())
    private_json: str | None = Field(default=None, sa_column=Column(SealedText("arrival.private_json"), nullable=True))
    state: str = "waiting"
    why: str = ""
    recorded_at: datetime = Field(sa_column=instant())
    due_at: datetime = Field(sa_column=instant())
    """When it is looked at next: what it is about may not be written down yet."""
    ended_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))


class Event(Row, table=True):
    """News for the rules: something happened to somebody, so look again. (source, key) is unique; a replay is harmless."""

    __tablename__ = "event"
    __table_args__ = (UniqueConstraint("source", "key"),)
    id: int | None = Field(default=None, sa_column=row_key())
    source: str
    key: str
    kind: str
    person_id: int | None = Field(default=None, sa_column=reference("person.id", nullable=True))
    loan_id: int | None = Field(default=None, sa_column=reference("loan.id", nullable=True))
    happened_at: datetime = Field(sa_column=instant())
    recorded_at: datetime = Field(sa_column=instant())
    detail_json: str = Field(default="{}", sa_column=long_text())
    run_id: int | None = Field(default=None, sa_column=reference("run.id", nullable=True, index=True))
    parked: str | None = None
