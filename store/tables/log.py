"""The log: deeds, which nothing else writes down; and the tree, from what waits for a position to what was signed and handed out."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field

from store.tables.row import Row, instant, long_text, octets, reference, row_key


class Deed(Row, table=True):
    """
    What was done with the book and is in no other table of the log; append-only.

    `kind`: import, export (of the book, of people in a file for a dialler, a print shop or a team, or of a person's data to
    that person), key (of the log's signer), seal (another key for what is personal), purge, reveal (a number or address was
    shown), erasure. `subject` is a hash, a public key, a table or an id, never a name; `detail_json` holds
    counts, instants and hashes.
    """

    __tablename__ = "deed"
    id: int | None = Field(default=None, sa_column=row_key())
    at: datetime = Field(sa_column=instant())
    kind: str
    subject: str
    detail_json: str = Field(default="{}", sa_column=long_text())


class LogQueue(Row, table=True):
    """Rows of the log's tables that have no position yet; filled by triggers, in the transaction that wrote the row."""

    __tablename__ = "log_queue"
    id: int | None = Field(default=None, sa_column=row_key())
    kind: str
    key: str


class LogLeaf(Row, table=True):
    """
    One entry of the log: at which place, which row, and what it hashed to. Positions count from 0 without a gap.

    `kind` and `key` lead to the row, as `store.log_kinds` says.
    """

    __tablename__ = "log_leaf"
    __table_args__ = (Index("ix_log_leaf_entry", "kind", "key"),)
    position: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    kind: str
    key: str
    hash: bytes = Field(sa_column=octets())


class LogNode(Row, table=True):
    """What every whole run of 256 ** level entries hashes to, from level 1 up; runs count from 0."""

    __tablename__ = "log_node"
    level: int = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    hash: bytes = Field(sa_column=octets())


class LogCheckpoint(Row, table=True):
    """A signed checkpoint: `note` is the text that was signed and handed out. Numbers count from 1 without a gap."""

    __tablename__ = "log_checkpoint"
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: datetime = Field(sa_column=instant())
    note: str = Field(sa_column=long_text())


class LogHandover(Row, table=True):
    """That a witness took a checkpoint, and when."""

    __tablename__ = "log_handover"
    number: int = Field(sa_column=reference("log_checkpoint.number", primary_key=True))
    witness: str = Field(primary_key=True)
    at: datetime = Field(sa_column=instant())


class LogErased(Row, table=True):
    """
    The commitment to a withheld text that was erased: the entry is still made of it, and hashes to what it did.

    `kind` and `key` are the entry's. The erasure's deed holds the digest of all its rows.
    """

    __tablename__ = "log_erased"
    kind: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    field: str = Field(primary_key=True)
    commitment: str
    deed_id: int = Field(sa_column=reference("deed.id", index=True))
