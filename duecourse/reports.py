"""What people report of a contact, as options of the commands that take it."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duecourse.clock import instant, now
from engine.errors import Problem, SettingsError

if TYPE_CHECKING:
    from workflows.desk.outcomes import Promised
    from workflows.desk.sayings import Learnt

Amount = Annotated[str | None, typer.Option(help="amount promised, e.g. 1200.50")]
Due = Annotated[str | None, typer.Option(help="day promised, e.g. 2026-03-09")]
Said = Annotated[
    list[str] | None,
    typer.Option(help="what they said about being contacted, e.g. `no_medium call`; may be given several times"),
]
Mark = Annotated[
    list[str] | None, typer.Option(help="what is known now against the number or address, e.g. known_disclosure")
]

CallAt = Annotated[
    str | None, typer.Option("--call-at", help="when they want to be called, e.g. 2026-03-09T15:00+08:00")
]
Proof = Annotated[
    Path | None, typer.Option(help="a file that shows it, e.g. of a visit; its hash is kept, the file stays yours")
]
With = Annotated[list[str] | None, typer.Option("--with", help="who goes along; may be given several times")]


def happened(at: str | None) -> datetime:
    """
    When something was: the instant given, or this moment.

    Raises:
        SettingsError: it has not come yet.
    """
    moment = instant(at)
    if at is not None and moment > now():
        raise SettingsError(Problem(f"`{at}` has not come yet", "write when it happened, or leave `--at` out"))
    return moment


def called_at(at: str | None) -> datetime | None:
    """
    When somebody wants to be called.

    Raises:
        SettingsError: no instant, or one without a zone.
    """
    return instant(at) if at is not None else None


def promised_of(amount: str | None, due: str | None, currency: str) -> "Promised | None":
    """
    A promise as it was written.

    Raises:
        SettingsError: half of one, no amount, no day.
    """
    from duecourse.money import minor
    from workflows.desk.outcomes import Promised

    if amount is None and due is None:
        return None
    if amount is None or due is None:
        raise SettingsError(Problem("a promise needs its amount and day", "write `--amount 500 --due 2026-03-09`"))
    try:
        value = Decimal(amount)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        raise SettingsError(Problem(f"`{amount}` is no amount", "write it like `1200.50`"))
    try:
        return Promised(minor(value, currency), date.fromisoformat(due))
    except ValueError:
        raise SettingsError(Problem(f"`{due}` is no day", "write it like `2026-03-09`")) from None


def learnt_of(said: Sequence[str] | None, marks: Sequence[str] | None, given_to: str) -> "Learnt":
    """
    What else was said and found out, as it was written.

    Raises:
        DataError: a statement that cannot be read.
    """
    from workflows.desk.sayings import Learnt, read_saying

    return Learnt(tuple(read_saying(text) for text in said or ()), tuple(marks or ()), given_to)
