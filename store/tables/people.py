"""People, where they are reached, and what they said about being contacted."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, UniqueConstraint, event, inspect
from sqlmodel import Field

from store.columns import Sealed, but_erased
from store.sealing import sealing_of
from store.tables.row import Row, instant, keyed_hash, long_text, reference, row_key

ORAL: Final = ("phone", "call", "visit", "oral", "in_person")
"""Ways of saying something that leave nothing written; whatever else stands in a statement's `how` is taken as written."""

_WRITERS: Final = (r"agent:\S+", "[a-z0-9_-]+")
"""An agent, or a system or provider by its name; whatever else stands in a statement's `source` somebody said."""


class Person(Row, table=True):
    """
    Somebody we may address: borrower, guarantor, contact person.

    `zones` holds IANA names separated by a space (declared or from the address). `bucket` (0-9999) is a
    keyed hash of the reference: it deals strategy arms and never changes. `version` grows with every
    committed change that could forbid or change a contact; dispatch compares it.
    At `erased_at` everything that identified them was taken out; the row stays, for the log names them by its id.
    """

    __tablename__ = "person"
    id: int | None = Field(default=None, sa_column=row_key())
    ref: str = Field(unique=True)
    name: str = Field(sa_column=Column(Sealed("person.name"), nullable=False))
    language: str
    country: str
    region: str | None = None
    zones: str = ""
    preferred_channel: str | None = None
    bucket: int
    version: int = 0
    created_at: datetime = Field(sa_column=instant())
    erased_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))


class Endpoint(Row, table=True):
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
    id: int | None = Field(default=None, sa_column=row_key())
    person_id: int = Field(sa_column=reference("person.id"))
    kind: str
    value_hash: str | None = Field(default=None, sa_column=keyed_hash("value"))
    zone: str | None = None
    place: str | None = None
    valid: bool = True
    rank: int = 0
    basis: str = ""
    basis_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    source: str = ""
    marks: str = Field(default="", sa_column_kwargs={"server_default": ""})
    learnt_marks: str = Field(default="", sa_column_kwargs={"server_default": ""})
    lost_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    area: str = Field(default="", sa_column_kwargs={"server_default": ""})
    recorded_at: datetime = Field(sa_column=instant())
    value: str = Field(sa_column=Column(Sealed("endpoint.value"), nullable=False, server_default=""))


@event.listens_for(Endpoint, "before_update")
def _hash_anew(_mapper: Any, connection: Connection, endpoint: Endpoint) -> None:
    if inspect(endpoint).attrs.value.history.has_changes():
        endpoint.value_hash = sealing_of(connection.dialect).hashed(endpoint.value)


class Consent(Row, table=True):
    """
    One statement of a person about being contacted; append-only, the latest of its scope wins.

    `received_at` is when it was said to whom it was said to, `recorded_at` when it came into this book.
    `detail_json` holds windows, places, dates and debts where the kind has them. `given_to` is the lender or an agency,
    which decisions and reviews compare.
    """

    __tablename__ = "consent"
    id: int | None = Field(default=None, sa_column=row_key())
    person_id: int = Field(sa_column=reference("person.id", index=True))
    endpoint_id: int | None = Field(default=None, sa_column=reference("endpoint.id", nullable=True))
    kind: str
    scope: str = ""
    channels: str = ""
    purposes: str = ""
    given_to: str = "lender"
    how: str = Field(default="", sa_column=Column(Sealed("consent.how", but_erased("consent", *ORAL)), nullable=False))
    evidence: str = Field(
        default="", sa_column=Column(Sealed("consent.evidence", but_erased("consent")), nullable=False)
    )
    received_at: datetime = Field(sa_column=instant())
    recorded_at: datetime = Field(sa_column=instant())
    until_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    detail_json: str = Field(default="{}", sa_column=long_text())
    source: str = Field(
        default="", sa_column=Column(Sealed("consent.source", but_erased("consent", *_WRITERS)), nullable=False)
    )
    ref: str = Field(unique=True)
