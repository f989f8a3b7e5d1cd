"""What is kept of deeds about people, outside the log, and of people who were erased."""

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field

from store.columns import Sealed
from store.tables.row import Row, instant, reference


class DeedNote(Row, table=True):
    """Who did a deed about a person, and why, in their own words: not part of the log, and erased with the person."""

    __tablename__ = "deed_note"
    deed_id: int = Field(sa_column=reference("deed.id", primary_key=True))
    person_id: int = Field(sa_column=reference("person.id", index=True))
    by: str
    because: str = Field(sa_column=Column(Sealed("deed_note.because"), nullable=False))


class ErasedRef(Row, table=True):
    """The references of people who were erased, as keyed hashes: an import does not bring them back."""

    __tablename__ = "erased_ref"
    digest: str = Field(primary_key=True)
    at: datetime = Field(sa_column=instant())
