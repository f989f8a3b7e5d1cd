"""
What somebody said about being contacted, in the few words in which people write it down.

    no_medium call                        never call me
    no_endpoint                           not on this number
    no_work_contact                       not at work
    inconvenient_time 00:00-12:00         not before noon
    inconvenient_time sat sun             not at the weekend
    consent electronic sms until:2026-12-31

The kind comes first; what follows narrows it, in any order: channels, purposes, a consent's scope, hours and days at
their place, `home` or `work`, single dates, and `until:` the last day.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, get_args

from sqlmodel import Session

from compliance.consents import CONSENT_SCOPES
from engine.durations import read_date
from engine.errors import DataError, Problem, unknown_name
from engine.gate import CHANNELS, MARKS, STATEMENTS, LocalWindow, Purpose
from engine.timing import end_of_day
from store.consents import NewStatement, add_statement
from store.shared_endpoints import listings
from store.tables import Contact, Endpoint, Person

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PLACES: Final = ("home", "work")
_PURPOSES: Final = get_args(Purpose)
_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_END: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Saying:
    """One statement as written down, before it is known who said it where and when. `until_on` is the last day."""

    kind: str
    scope: str = ""
    channels: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    windows: tuple[LocalWindow, ...] = ()
    only_on: tuple[date, ...] = ()
    place: str | None = None
    until_on: date | None = None


@dataclass(frozen=True, slots=True)
class Learnt:
    """
    What a contact told us beside its outcome.

    Attributes:
        sayings: what the person said about being contacted.
        marks: what is known now against the number or address.
        given_to: who we are to them: `lender`, or `collector` where we collect for somebody else.
        zones: where they may be; says when a day is over.
    """

    sayings: tuple[Saying, ...] = ()
    marks: tuple[str, ...] = ()
    given_to: str = "lender"
    zones: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sayings or self.marks)


NOTHING_LEARNT: Final = Learnt()


def read_saying(text: str) -> Saying:
    """
    Read a statement as people write it down.

    Raises:
        DataError: a word that means nothing here, or a statement that leaves out what it is about.
    """
    kind, *words = text.split() or [""]
    if kind not in STATEMENTS:
        raise DataError(unknown_name("kind of statement", kind, STATEMENTS, at=None, otherwise=_one_of(STATEMENTS)))
    found: dict[str, list[Any]] = {}
    for word in words:
        for name, take in _WORDS:
            if (value := take(word)) is not None:
                found.setdefault(name, []).append(value)
                break
        else:
            mend = "write channels, purposes, a scope, hours like 00:00-12:00, days, dates, home or work"
            raise DataError(unknown_name("word of a statement", word, _KNOWN, at=None, otherwise=mend))
    days = tuple(sorted(found.get("days", ())))
    hours = found.get("hours") or ([(0, _DAY_END)] if days else [])
    saying = Saying(
        kind,
        scope=_one(found, "scope", ""),
        channels=tuple(dict.fromkeys(found.get("channels", ()))),
        purposes=tuple(dict.fromkeys(found.get("purposes", ()))),
        windows=tuple(LocalWindow(start, end, days) for start, end in hours),
        only_on=tuple(sorted(found.get("only_on", ()))),
        place=_one(found, "place", None),
        until_on=_one(found, "until", None),
    )
    _refuse_vague(saying)
    return saying


def given_to(actor: str) -> str:
    """Who somebody who speaks to us speaks to: the lender, or whoever collects for it."""
    return "lender" if actor == "first_party" else "collector"


def hear(session: Session, contact: Contact, learnt: Learnt, *, agent: str, now: datetime, live: bool) -> None:
    """
    Write down what a contact told us: each statement into the ledger, each mark to its number or address.

    Args:
        live: it is being said now, so it is their latest word, whatever clock heard the ones before.
    """
    for number, saying in enumerate(learnt.sayings):
        # Where it was said is not what it is about, but for `no_endpoint`.
        endpoint = contact.endpoint_id if saying.kind == "no_endpoint" else None
        said = statement(
            saying, contact.person_id, endpoint=endpoint, at=now, zones=learnt.zones,
            source=f"agent:{agent}", ref=f"contact:{contact.id}:{number}", given_to=learnt.given_to,
            how=contact.channel, evidence=f"contact:{contact.id}",
        )  # fmt: skip
        add_statement(session, said, now=now, live=live)
    if learnt.marks:
        if contact.endpoint_id is None:
            what = "there is no number or address to mark: the contact has none on file"
            raise DataError(Problem(what, "use `duecourse endpoints mark`"))
        mark(session, contact.endpoint_id, learnt.marks)


def statement(
    saying: Saying, person: int, *, endpoint: int | None, at: datetime, zones: Sequence[str], **rest: Any
) -> NewStatement:
    """
    What was said, as the ledger keeps it.

    Args:
        endpoint: the number or address it is about; None: all of them.
        rest: further fields of the statement.
    Raises:
        DataError: `no_endpoint`, and which one is not known.
    """
    if saying.kind == "no_endpoint" and endpoint is None:
        raise DataError(
            Problem("`no_endpoint` is about a number or address, and none is named", "write `--endpoint ID`")
        )
    until = None
    if saying.until_on is not None:
        ends = [end for zone in zones if (end := end_of_day(saying.until_on, (zone,))) is not None]
        if not ends:
            raise DataError(Problem("where they are, and so when a day is over, is not known", "leave `until:` out"))
        # What permits ends with the first of the places they may be in, what refuses with the last.
        until = min(ends) if saying.kind in {"consent", "opt_in"} else max(ends)
    return NewStatement(
        person, saying.kind, at, scope=saying.scope, channels=saying.channels, purposes=saying.purposes,
        endpoint=endpoint,
        windows=saying.windows, only_on=saying.only_on, place=saying.place, until_at=until, **rest,
    )  # fmt: skip


def own_endpoint(session: Session, person: Person, endpoint_id: int | None) -> int | None:
    """
    A number or address as one of this person's.

    Raises:
        DataError: it is somebody else's, or nobody's.
    """
    if endpoint_id is None:
        return None
    endpoint = session.get(Endpoint, endpoint_id)
    if endpoint is None or endpoint.person_id != person.id:
        what = f"`{endpoint_id}` is no number or address of theirs"
        raise DataError(Problem(what, "`duecourse endpoints list` shows their ids"))
    return endpoint_id


def mark(session: Session, endpoint_id: int, marks: Iterable[str], *, off: bool = False) -> None:
    """
    Keep what our people learnt of a number or address, or take it back, whatever it is listed as.

    Whoever calls bumps the person's version.

    Raises:
        DataError: no such mark.
    """
    named = set(marks)
    if unknown := sorted(named - set(MARKS)):
        raise DataError(unknown_name("mark", unknown[0], MARKS, at=None, otherwise=_one_of(MARKS)))
    for endpoint in listings(session, session.get_one(Endpoint, endpoint_id)):
        known = set(endpoint.learnt_marks.split())
        endpoint.learnt_marks = " ".join(sorted(known - named if off else known | named))
        session.add(endpoint)


def restore(session: Session, endpoint_id: int) -> None:
    """
    Take back that a number or address leads nowhere, or to somebody else: for all that was lost with it.

    Whoever calls bumps the person's version.
    """
    endpoint = session.get_one(Endpoint, endpoint_id)
    lost_at = endpoint.lost_at
    for one in listings(session, endpoint):
        if one.id == endpoint_id or (lost_at is not None and one.lost_at == lost_at):
            one.valid, one.lost_at = True, None
            session.add(one)


def _refuse_vague(saying: Saying) -> None:
    if saying.kind == "no_medium" and not saying.channels:
        raise DataError(Problem("`no_medium` does not say which", "write `no_medium call`"))
    if saying.kind == "inconvenient_time" and not saying.windows:
        raise DataError(Problem("`inconvenient_time` does not say when", "write `inconvenient_time 00:00-12:00`"))
    if saying.scope and saying.kind not in {"consent", "opt_out"}:
        what = f"`{saying.scope}` is the scope of a consent, and `{saying.kind}` is none"
        raise DataError(Problem(what, "leave it out"))


def _hours(word: str) -> tuple[int, int] | None:
    match = _HOURS.fullmatch(word)
    if match is None:
        return None
    start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    return (start, end) if start != end and end <= _DAY_END else None


def _until(word: str) -> date | None:
    return read_date(word.removeprefix("until:")) if word.startswith("until:") and _DATE.fullmatch(word[6:]) else None


def _among(known: Iterable[str]) -> Callable[[str], str | None]:
    names = frozenset(known)
    return lambda word: word if word in names else None


_WORDS: Final[tuple[tuple[str, Callable[[str], Any]], ...]] = (
    ("channels", _among(CHANNELS)),
    ("scope", _among(CONSENT_SCOPES)),
    ("days", lambda word: _DAYS.index(word) if word in _DAYS else None),
    ("place", _among(_PLACES)),
    ("purposes", _among(_PURPOSES)),
    ("hours", _hours),
    ("until", _until),
    ("only_on", lambda word: read_date(word) if _DATE.fullmatch(word) else None),
)
_KNOWN: Final = (*CHANNELS, *CONSENT_SCOPES, *_DAYS, *_PLACES, *_PURPOSES)


def _one(found: dict[str, list[Any]], name: str, otherwise: Any) -> Any:
    values = found.get(name, [])
    if len(values) > 1:
        raise DataError(Problem(f"a statement has one {name}, not several", "write two statements"))
    return values[0] if values else otherwise


def _one_of(names: Iterable[str]) -> str:
    return f"write one of {', '.join(names)}"
