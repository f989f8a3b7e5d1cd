"""The demo: a real loan book, collected for some weeks, over real SMTP and HTTP to stand-ins on this machine."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, cast

from pydantic import SecretStr
from rich.console import Console

from channels.mail import MailAdapter, MailSettings
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider, Fault
from duecourse.commands.init import create_workspace
from duecourse.demo.report import Book, Summary, draw, draw_story, summarise, take_stock
from duecourse.demo.world import World
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from engine.errors import Problem, SettingsError
from store.fact_query import days_of, facts_of
from workflows.importing import import_folder
from workflows.sending.dispatch import Outward

START: Final = date(2026, 3, 2)
"""The shipped book is as of the day before."""
_MARK: Final = ".duecourse-demo"
_BUCKET_KEY: Final = "00" * 16
"""Deals the strategy arms: no secret here, so that the same seed gives the same history."""
_NIGHT: Final = time(0, 5)
_SWEEP: Final = time(0, 30)
_ROUNDS: Final = (time(10, 30), time(23, 15))
"""When dispatch and agents work, UTC: early evening in China, then late afternoon and evening in America."""
_SETTINGS: Final = """\
# The demo's own workspace; `duecourse -w . ...` works here like in any other.
database: sqlite:///data/duecourse.db
zone: Asia/Shanghai
language: en
lender: {name: Harbour Lending, phone: "+1 800 555 0199", url: https://harbour.example, email: care@harbour.example}
backlog_share_max: 1   # half of this book is behind on purpose; a real one would brake here
"""
_CAPACITY: Final = re.compile(r"([0-9]+)/day")
_SCALE: Final = 400
_FAULTS: Final[tuple[tuple[float, Fault], ...]] = ((0.004, 21610), (0.012, 30005), (0.02, 30003))
"""How often the provider stand-in says: this person has opted out, this number is dead, try again later."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo ended with."""

    workspace: Path
    start: Book
    end: Book
    summary: Summary
    messages: int
    mails: int


def run_demo(
    folder: Path, *, days: int, seed: int, database: str | None = None, tell: Callable[[int, int], None]
) -> Outcome:
    """
    Make the workspace, import the shipped book, and live through the days. Same seed, same history.

    Args:
        tell: told after each day: days done, days in all.
    Raises:
        SettingsError: the folder holds something that is not a demo of ours.
    """
    prepare(folder, database)
    workspace = open_workspace(folder, {})
    judge = partial(_judge, seed)
    with FakeProvider(seed=seed, judge=judge) as provider, FakeMailServer() as mails:
        works = Works(workspace, workspace.open_database(), _outward(provider, mails))
        try:
            start, end = _live(works, folder, days, seed, tell)
            with works.database.session() as session:
                summary = summarise(session, _at(START, time(0)))
            return Outcome(folder, start, end, summary, len(provider.accepted), len(mails.taken))
        finally:
            works.close()


def prepare(folder: Path, database: str | None = None) -> None:
    """Lay out the demo's workspace, in place of an earlier demo's."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise SettingsError(Problem(f"`{folder}` is not an earlier demo's", "name a new folder with --workspace"))
        shutil.rmtree(folder)
    create_workspace(folder, database, bucket_key=_BUCKET_KEY)
    text = _SETTINGS if database is None else _SETTINGS.replace("sqlite:///data/duecourse.db", database)
    (folder / "duecourse.yaml").write_text(text, encoding="utf-8")
    # The shipped queues are sized for a lender with a hundred thousand loans; this one has a few hundred.
    queues = folder / "config" / "queues.yaml"
    text = queues.read_text(encoding="utf-8")
    queues.write_text(_CAPACITY.sub(lambda match: f"{max(2, int(match[1]) // _SCALE)}/day", text), encoding="utf-8")
    (folder / _MARK).write_text("Made by `duecourse demo`; replaced by the next one.\n", encoding="utf-8")


def print_demo(console: Console, works: Works, outcome: Outcome) -> None:
    """The report, and one loan's story."""
    draw(console, outcome.start, outcome.end, outcome.summary)
    console.print(f"{outcome.messages:,} text messages over HTTP, {outcome.mails:,} mails over SMTP, each seen once")
    with works.database.session() as session:
        draw_story(console, session, _at(START, time(0)))


def _live(works: Works, folder: Path, days: int, seed: int, tell: Callable[[int, int], None]) -> tuple[Book, Book]:
    born = _at(START, time(0))
    book = Path(__file__).parent / "book"
    import_folder(works.database, book, as_of=born - timedelta(hours=1), now=born, catalogue=works.workspace.catalogue)
    works.enter(born)
    world = World(works, seed, folder / "feeds")
    world.begin()
    start = _stock(works, world, born)
    for number in range(days):
        day = START + timedelta(days=number)
        world.night(day, _at(day, _NIGHT))
        works.check_promises(_at(day, _NIGHT))
        works.keep_duties(_at(day, _NIGHT))
        world.review(day, _at(day, _NIGHT))
        works.handle_events(_at(day, _NIGHT))
        works.sweep(_at(day, _SWEEP), lambda _done, _total: None)
        for hour in _ROUNDS:
            now = _at(day, hour)
            works.dispatch_all(now)
            world.work(now)
        tell(number + 1, days)
    return start, _stock(works, world, _at(START + timedelta(days=days), time(0)))


def _stock(works: Works, world: World, now: datetime) -> Book:
    borrowers = sorted({loan.borrower_id for loan in world.loans.values()})
    duckdb, _ = works.reader.facts(works.database, borrowers, now=now)
    facts = facts_of(duckdb, list(world.loans))
    days = days_of(duckdb)
    rows = [
        (str(f["stage"]), str(f["currency"]), cast("int", f.get("dpd", 0)), cast("int", f.get("overdue_amount", 0)))
        for f in facts.values()
    ]
    return take_stock(rows, max(days.values()))


def _outward(provider: FakeProvider, mails: FakeMailServer) -> Outward:
    sms = SmsSettings(ACCOUNT_SID, SecretStr(AUTH_TOKEN), from_number=FROM_NUMBER, base_url=provider.base_url)
    mail = MailSettings(mails.host, mails.port, "Harbour Lending <care@harbour.example>", security="plain")
    clock = _at(START, time(0))
    return Outward({"sms": SmsAdapter(sms), "email": MailAdapter(mail, lambda: clock)}, stand_in=True)


def _judge(seed: int, number: str, tries: int) -> Fault | None:
    drawn = Random(f"{seed}:{number}:{tries}").random()
    for share, fault in _FAULTS:
        drawn -= share
        if drawn < 0:
            return fault
    return None


def _at(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, UTC)
