"""The frame of a review: what it is about, at which hours contacts were made, and what it rests on."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Final

from compliance.checkpoint import Checkpoint
from compliance.pack import EVERYWHERE, Hours
from compliance.timetable import HOLIDAY, Timetable
from store.people import jurisdictions
from workflows.log.findings import Verified
from workflows.review.hours import closed_hours
from workflows.review.period import Month
from workflows.review.report import DAYS, Cell, HeatMap, Number, Section, Table
from workflows.review.work import Work

_DIGITS: Final = 12
_IDLE: Final = "{} more were loaded and are of places where nobody of this month is."
_NOT_COVERED: Final = (
    "Not covered: what texts said and what was kept to in calls and visits (the gate checks texts before they leave), and notices that moves and filings owe.",
    "By which basis a number is used is taken as it is on file now; where a contact went is not known of some made elsewhere, and rules on consent are not counted of these.",
    "A notice counts if it was sent to the borrower since the arrears of the time began, as far as the decision or the loan's present spell tells; what was found void later did count until then.",
    "Where a law lets people close only so many hours or ways of reaching them, what they said is not counted under it.",
    "Where somebody lives and which numbers are theirs is taken as it is on file now.",
    "Complaints are not kept in the book yet: this review says nothing of them.",
)


@dataclass(frozen=True, slots=True)
class Rests:
    """What the numbers can be held against: the newest checkpoint when the review was made, and whether the log fits it."""

    verified: Verified
    number: int | None
    checkpoint: Checkpoint | None
    witnesses: tuple[str, ...]


def scope(work: Work, month: Month, lender: str) -> Section:
    """What it covers."""
    query = "select position, 'run:' || id as entry, kind, moment(now_at) as \"at\", gate_digest from run"
    kinds = work.rows("select distinct kind from run order by kind")
    runs = tuple(
        (kind, work.lists.number(f"runs-{kind}", f"Runs: {kind}", f"{query} where kind = '{kind}'"))
        for (kind,) in kinds
    )
    places = _places(work)
    packs: list[tuple[Cell, ...]] = []
    idle = 0
    for law in work.laws.all:
        for pack in law.packs:
            binds = pack.reach.places == {EVERYWHERE} or not places.isdisjoint(pack.reach.places)
            idle += not binds
            if binds:
                packs.append((pack.id, pack.title_en, pack.digest[:_DIGITS], law.digest[:_DIGITS] or "the workspace's"))
    used: Counter[tuple[str, str]] = Counter()
    for (text,) in work.rows("select strategies_json from run"):
        used.update(dict(json.loads(text)).items())
    strategies = tuple((name, digest[:_DIGITS], f"{runs:,}") for (name, digest), runs in sorted(used.items()))
    text = [
        f"{lender}: the calendar month {month.name} in {month.zone}, from {month.start:%Y-%m-%d %H:%M %z} to before {month.end:%Y-%m-%d %H:%M %z}.",
        "Hours and dates of a contact are those at the person's place; where they may be in several zones, the strictest counts.",
        *_NOT_COVERED,
        *(
            f"The packs of some runs cannot be read any more, and those of the runs around them stand in: {why}."
            for why in work.laws.unread
        ),
    ]
    tables = (
        Table(("runs", "number"), runs or (("none", Number(0)),), "runs", (4, 1)),
        Table(("strategy", "digest", "runs"), strategies or (("none", "", ""),), "strategies that decided", (3, 2, 1)),
        Table(
            ("pack", "title", "digest", "gate"), tuple(packs), "packs in use", (1.6, 4, 1.6, 1.6), _IDLE.format(idle)
        ),
    )
    return Section("scope", "Scope", tuple(text), tables)


def _places(work: Work) -> frozenset[str]:
    """Where the persons of the month's contacts and decisions are."""
    who = "(select person_id from made where in_month union select borrower_id from decision)"
    found = work.rows(f"select distinct country, region from person where id in {who}")
    return frozenset(place for country, region in found for place in jurisdictions(country, region))


def hours(work: Work) -> Section:
    """When contacts were made, by the clock at the person's place, and which rules say when they may be."""
    of = "select contact from hour where weekday = {} and hour = {}"
    shown = 'position, entry, contact, loan, person, channel, purpose, outcome, asked_by, "at", local'
    known = {
        (day, hour): count for day, hour, count in work.rows("select weekday, hour, count(*) from hour group by all")
    }
    cells = tuple(
        tuple(
            work.lists.number(
                f"hour-{DAYS[day].lower()}-{hour:02}",
                f"Contacts on {DAYS[day]} from {hour:02}:00 to {hour:02}:59",
                f"select {shown} from listed_contact where contact in ({of.format(day, hour)})",
            )
            if (day, hour) in known
            else Number(0)
            for hour in range(24)
        )
        for day in range(7)
    )
    bound = dict(work.rows("select rule, count(*) from (select unnest(rules) as rule from hour) group by rule"))
    closed: set[tuple[int, int]] = set()
    rows: list[tuple[Cell, ...]] = []
    for rule in sorted(bound):
        limit = work.named[rule][1].limit
        if not isinstance(limit, Hours):
            continue
        closed |= {(day, hour) for day in range(7) for hour in closed_hours(limit.table, day)}
        count = work.contacts(
            f"hours-{rule}",
            f"Contacts that {rule} was about",
            f"contact in (select contact from hour where list_contains(rules, '{rule}'))",
        )
        rows.append((rule, work.citation(rule), _open(limit.table), count))
    text = (
        "Messages, calls and visits, those of our people included, by weekday and local hour. Letters are not here: they are read when they are read.",
        "A hatched hour is closed throughout by at least one rule that was about a contact of the month; another contact may not be under that rule.",
    )
    tables = (
        (Table(("rule", "citation", "hours", "contacts"), tuple(rows), "the hours that rules set", (2.4, 2.4, 3.4, 1)),)
        if rows
        else ()
    )
    return Section("hours", "Hours", text, tables, HeatMap(cells, frozenset(closed)))


def integrity(work: Work, rests: Rests) -> Section:
    """Whether the log stands as it was signed, and how much of the month is signed."""
    verified, checkpoint = rests.verified, rests.checkpoint
    size = checkpoint.size if checkpoint is not None else 0
    parts = (
        ("decision", "select position, 'decision:' || run_id || '-' || loan_id as entry, moment(now_at) as \"at\" from decision"),
        ("contact_status", "select position, 'contact_status:' || s.id as entry, moment(s.\"at\") as \"at\" from status s, month where s.\"at\" >= start_us and s.\"at\" < end_us"),
        ("override", "select position, 'override:' || contact_id as entry, moment(\"at\") as \"at\" from override"),
        ("consent", "select position, 'consent:' || id as entry, moment(recorded_at) as \"at\" from consent, month where recorded_at >= start_us and recorded_at < end_us"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for kind, query in parts:
        (count,) = work.rows(f"select count(*) from ({query})")[0]
        open_ones = f"select * from ({query}) where position is null or position >= {size}"
        rows.append((kind, f"{count:,}", work.lists.number(f"unsigned-{kind}", f"Not signed yet: {kind}", open_ones)))
    text = [_checkpoint(rests)]
    if rests.witnesses:
        text.append(f"Witnesses that took it: {', '.join(rests.witnesses)}.")
    elif checkpoint is not None:
        text.append("No witness took it.")
    text += [f"{one}." for one in verified.told]
    if verified.findings:
        text.append("The log does NOT stand as it was signed:")
        text += [f"{one}" for one in verified.findings[:20]]
        if len(verified.findings) > 20 or verified.more:
            text.append(
                f"and {len(verified.findings) - 20 + verified.more:,} more: `duecourse audit verify` tells them."
            )
    elif verified.unknown:
        text += [f"It cannot be told whether the log stands as it was signed: {why}." for why in verified.unknown]
    else:
        text.append(
            "Every row, entry, node of the tree and checkpoint was computed again: the log stands as it was signed."
        )
    table = Table(
        ("kind", "entries of the month", "not signed yet"), tuple(rows), "entries of the month", (3, 1.5, 1.5)
    )
    return Section("integrity", "Integrity", tuple(text), (table,), findings=len(verified.findings) + verified.more)


def _checkpoint(rests: Rests) -> str:
    signed = rests.checkpoint
    if signed is None:
        return "Nothing of the log is signed: run `duecourse audit keygen` and `duecourse audit checkpoint`."
    return (
        f"The review rests on checkpoint {rests.number} of `{signed.origin}`, signed {signed.at:%Y-%m-%d %H:%M:%S}Z over {signed.size:,} entries, "
        f"root {signed.root.hex()}."
    )


def _open(table: Timetable) -> str:
    """A timetable in words: the days that are alike together."""
    said: dict[str, list[str]] = {}
    for day, windows in enumerate(table.days):
        words = ", ".join(f"{_clock(start)}–{_clock(end)}" for start, end in windows) or "none"
        said.setdefault(words, []).append("holidays" if day == HOLIDAY else DAYS[day])
    parts = []
    for words, days in said.items():
        named = "every day" if len(days) == len(table.days) else ", ".join(days)
        parts.append(f"{named} {words}")
    return ("open " if table.opens else "closed ") + "; ".join(parts)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
