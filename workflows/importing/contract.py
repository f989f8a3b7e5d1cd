"""The data contract: what a file of each kind holds. `docs/data-contract.md` is written from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

VERSION: Final = 1
"""Grows when a file that was good would be refused or would mean something else."""

ColumnType = Literal[
    "ref", "text", "word", "words", "int", "money", "amount", "date", "instant", "bool", "zone", "zones", "hours",
    "country", "region", "currency", "endpoint", "value", "person", "loan", "movement",
]  # fmt: skip

MEANINGS: Final[Mapping[ColumnType, str]] = {
    "ref": "a name of the lender's own, 1 to 100 printable characters",
    "text": "one line, at most 2000 characters",
    "word": "one of the words listed",
    "words": "some of the words listed, separated by one space",
    "int": "a whole number from 0 to 999999999",
    "money": "an amount of 0 or more in major units, with no more decimals than the currency has, e.g. 1234.50",
    "amount": "an amount above 0 in major units, with no more decimals than the currency has, e.g. 1234.50",
    "date": "a day, e.g. 2026-03-31",
    "instant": "a moment with its distance from UTC, e.g. 2026-03-31T09:00:00+08:00",
    "bool": "true or false",
    "zone": "an IANA time zone, e.g. Asia/Shanghai",
    "zones": "IANA time zones separated by one space",
    "hours": "stretches of the local day separated by one space, e.g. 12:00-14:00 22:00-24:00",
    "country": "an ISO 3166 country code, e.g. CN",
    "region": "an ISO 3166-2 code of a region of that country, e.g. US-MA",
    "currency": "an ISO 4217 code, e.g. CNY",
    "endpoint": "a phone number in international form, a mail address or a postal address",
    "value": "as the fact's own type has it; money in major units",
    "person": "the ref of a person who is known",
    "loan": "the ref of a loan that is known",
    "movement": "the ref of a movement that is known or in the same file",
}


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of one kind of file.

    Attributes:
        values: of a `word` or `words` column.
        default: what an empty value means, as it would be written.
        past: a date or instant that cannot lie in the future.
    """

    name: str
    type: ColumnType
    meaning: str
    required: bool = False
    values: tuple[str, ...] = ()
    default: str | None = None
    past: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of file.

    Attributes:
        table: where its rows go.
        key: the columns that name a row; the same key with the same content changes nothing.
        replaces: whether a known key with other content is an update; otherwise it is rejected.
        whole: a column whose rows stand or fall together (a loan's schedule), or None.
        dated: what the file says ages by the hour, so that whoever imports it has to say of when it is.
    """

    name: str
    table: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    replaces: bool = False
    whole: str | None = None
    dated: bool = False

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)
