"""The work of people: tasks that left in a file, visits, and proofs that somebody was there."""

from datetime import date, datetime

from sqlmodel import Field

from store.tables.row import Row, amount, instant, long_text, reference, row_key


class Batch(Row, table=True):
    """
    Tasks that left together, in a file: letters for a print shop, calls for a dialler.

    `status`: writing, out (its file is there), doubt (the making was broken off), void (nothing of it was used).
    A batch that is still `writing` at `until_at` is in doubt.
    """

    __tablename__ = "batch"
    id: int | None = Field(default=None, sa_column=row_key())
    kind: str
    queue: str
    status: str
    made_at: datetime = Field(sa_column=instant())
    made_by: str
    until_at: datetime = Field(sa_column=instant())
    digest: str = ""


class BatchItem(Row, table=True):
    """
    One task of a batch: the file it became and that file's hash, or until when it may be called; and what was reported.

    A task that was given back and goes out again is an item of another batch.
    """

    __tablename__ = "batch_item"
    batch_id: int = Field(sa_column=reference("batch.id", primary_key=True))
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    until_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    file: str = ""
    digest: str = ""
    pages: int = 0
    post: str = ""
    result_json: str = Field(default="{}", sa_column=long_text())


class Visit(Row, table=True):
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
    from_at: datetime = Field(sa_column=instant())
    until_at: datetime = Field(sa_column=instant())
    planned_by: str
    planned_at: datetime = Field(sa_column=instant())


class Proof(Row, table=True):
    """
    What shows that a contact was made: who was there, and a file known by its hash alone; the file is kept elsewhere.

    `digest` is SHA-256 in hex.
    """

    __tablename__ = "proof"
    contact_id: str = Field(foreign_key="contact.id", primary_key=True)
    digest: str = Field(primary_key=True)
    size_bytes: int = Field(sa_column=amount())
    people: str
    at: datetime = Field(sa_column=instant())
    recorded_at: datetime = Field(sa_column=instant())
