"""
Days of collections on several machines that fail in every way, from one seed.

Machines are killed at any statement, the database errs, providers lose answers and report twice, clocks go wrong, and
between any two statements of one machine another one works, somebody pays, says stop or start, disputes or moves, or
switches sending off.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from channels.message import Adapter
from channels.reports import InboundText
from duecourse.demo import run
from duecourse.incoming import handle_inbox, look_up_unknown, nonce
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from store.identity import declare_environment
from store.inbox import put
from store.outbox import RECORDED_CALL
from store.settings import read_setting, write_setting
from tests.opening import open_database
from tests.simulation import order
from tests.simulation.carriers import Carrier, MailLine, TextLine
from tests.simulation.fleet import AHEAD_SECONDS_MAX, Fleet, Job
from tests.simulation.machines import Machine
from tests.simulation.records import Handed, Told, Violation
from tests.simulation.small_book import write_small_book
from tests.simulation.town import Town
from tests.simulation.virtual_time import Time, simulated, us_of
from tests.simulation.weather import Weather
from workflows.brake import release_brake
from workflows.importing import import_folder
from workflows.inbox.arriving import Received, arrival_of
from workflows.sending.door import Lane, Outward

BORROWERS: Final = 30
_NIGHT, _SWEEP = time(0, 5), time(0, 30)
_ROUNDS: Final = (time(1, 30), time(11, 0), time(23, 15))
"""When messages leave and agents work, UTC: morning and evening in China, then evening in America."""
_CLOSES: Final = time(21, 0)
_CLOSING: Final = (
    "Asia/Shanghai", "Asia/Shanghai", "Asia/Shanghai",
    "America/New_York", "America/Chicago", "America/Los_Angeles", "Pacific/Honolulu",
)  # fmt: skip
"""Where hours end when a day begins late: there at nine in the evening, by the house's rules."""
_BEFORE_SECONDS: Final = (0.1, 0.5, 2.0, 10.0, 40.0, 70.0, 300.0)
"""So long before that."""
_RECORDED: Final = """\
    - id: call-back
      when: [dpd >= 1, days_since_call >= 2]
      act: {call: {recorded: please-call-back}}
      repeat: {max: 3, in: 30 days}
      because: The shipped strategy has no recorded call, and storms are to strike some.
"""
_WORDS: Final = ("opt_out sms", "no_medium sms", "no_medium call", "opt_out", "opt_in sms", "opt_in")
"""What people say to agents."""
_ANSWERED: Final = 0.6
"""How likely a person has looked, or has let sending go on, by the next round."""
_AT_ONCE: Final = 0.3
"""Share of the dispatches that two machines begin at the same moment."""


@dataclass(frozen=True, slots=True)
class Survived:
    """A finished run: its database and folder, what the world outside saw, what broke, and how often what struck."""

    database: Path
    workspace: Path
    handed: tuple[Handed, ...]
    told: Told
    broke: tuple[Violation, ...]
    struck: Counter[str]


def weather_storm(folder: Path, *, days: int, seed: int, weather: Weather | None = None) -> Survived:
    """Live through that many days in a folder of its own. Same seed, same history."""
    write_small_book(folder / "book", borrowers=BORROWERS, seed=seed)
    true_time = Time(us_of(_at(run.START, time(0))))
    with simulated(true_time):
        storm = Storm(folder, true_time, seed, weather or Weather.of(seed))
        try:
            return storm.live(days)
        finally:
            storm.close()


class Storm:
    """One run under way."""

    def __init__(self, folder: Path, true_time: Time, seed: int, weather: Weather) -> None:
        self.folder, self.time, self.seed = folder, true_time, seed
        _prepare(folder / "demo", weather.share_max)
        workspace = open_workspace(folder / "demo", {})
        self.path = folder / "demo" / "data" / "duecourse.db"
        self.weather = weather
        self.switched_at: dict[str, int] = {}
        self.stopped: list[str] = []
        with closing(open_database(workspace.database_url)) as database, database.write() as session:
            declare_environment(database, session, "production")
            write_setting(session, "sending", "on")
        order.keep(self.path)
        self.witness = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, check_same_thread=False)
        self.carrier = Carrier(true_time, Random(f"{seed}:carrier"), self._committed, weather.providers, self._off_for)
        # Whoever looks on from outside is no machine of ours: nothing strikes it.
        self.observer = Works(workspace, open_database(workspace.database_url))
        self.town = Town(self.observer, seed, folder / "feeds")
        self.chance = Random(f"{seed}:storm")
        self.fleet = Fleet(self.chance, weather, self._intrude, self._in_hand, self.carrier.doubted)
        for name in ("one", "two", "three"):
            self.fleet.machines.append(Machine(name, workspace, true_time, self.fleet.strike, self._outward))

    def close(self) -> None:
        """Let go of everything."""
        for machine in self.fleet.machines:
            machine.scrap()
        self.observer.close()
        self.witness.close()

    def live(self, days: int) -> Survived:
        """Begin, live through the days, and let what is under way end."""
        born, book = self.time.at(), self.folder / "book"
        catalogue = self.observer.workspace.catalogue
        import_folder(self.observer.database, book, as_of=born - timedelta(hours=1), now=born, catalogue=catalogue)
        self.observer.enter(born)
        self.town.learn_names(book)
        self.town.begin()
        self.fleet.calm = False
        for number in range(days):
            self._day(run.START + timedelta(days=number))
        self.fleet.calm = True
        self._settle()
        doubted = frozenset(self.carrier.doubted)
        told = Told(doubted, self.time.us, AHEAD_SECONDS_MAX * 1_000_000, self.weather.share_max)
        handed = tuple(self.carrier.handed)
        return Survived(self.path, self.folder / "demo", handed, told, tuple(self.fleet.broke), self.fleet.struck)

    # -- what a day is made of ------------------------------------------------------------------------------

    def _day(self, day: date) -> None:
        do = self.fleet.somebody
        self.time.reach(_at(day, _NIGHT))
        for kind, path in self.town.files(day, self.time.at()):
            do("import", partial(self._import, kind, path))
        do("promises", _promises)
        do("duties", _duties)
        do("review", partial(self._as, lambda machine: self.town.review(day, machine.now())))
        self.time.reach(_at(day, _SWEEP))
        do("events", _events)
        do("sweep", _sweep)
        for at in self._begins(day):
            self.time.reach(at)
            self._round()

    def _begins(self, day: date) -> list[datetime]:
        """When rounds begin: as usual, or nothing leaves until moments before hours end somewhere."""
        usual = [_at(day, hour) for hour in _ROUNDS]
        if self.chance.random() >= self.weather.late:
            return usual
        zone = ZoneInfo(self.chance.choice(_CLOSING))
        swept = _at(day, _SWEEP)
        ends = datetime.combine(swept.astimezone(zone).date(), _CLOSES, zone).astimezone(UTC)
        late = ends - timedelta(seconds=self.chance.choice(_BEFORE_SECONDS))
        return [late, *(at for at in usual if at > late)]

    def _round(self) -> None:
        do = self.fleet.somebody
        if self.chance.random() < _ANSWERED:
            do("sending on", partial(self._switch, on=True))
            do("somebody looks", _look)
        if self.stopped and self.chance.random() < _ANSWERED:
            do("texts", partial(_keep, [self._text(self.chance.choice(self.stopped), "START")]))
        do("reports", self._reports)
        do("inbox", _inbox)
        do("events", _events)
        do("dispatch", self.fleet.two_dispatch if self.chance.random() < _AT_ONCE else _dispatch)
        do("work", partial(self._as, lambda machine: self.town.work(machine.now())))
        do("reconcile", _reconcile)

    def _settle(self) -> None:
        """No more trouble: what was in a dead machine's hands is found, what is under way arrives, late looks are made."""
        for machine in self.fleet.machines:
            machine.ahead = 0
        do = self.fleet.somebody
        do("sending on", partial(self._switch, on=True))
        for hours in (1, 24, 48):
            do("somebody looks", _look)
            self.time.pass_by(hours * 3600)
            do("reports", self._reports)
            do("inbox", _inbox)
            do("dispatch", _dispatch)
            do("reconcile", _reconcile)
        do("duties", _duties)
        do("sweep", _sweep)

    # -- what comes in between ------------------------------------------------------------------------------

    def _intrude(self) -> None:
        name = self.fleet.weather.who_comes(self.chance)
        self.fleet.struck[name] += 1
        before, self.town.works = self.town.works, self.observer
        try:
            job = self._jobs.get(name) or self._act_of_somebody(name)
            if job is not None:
                self.fleet.somebody(name, job)
        finally:
            self.town.works = before

    @property
    def _jobs(self) -> Mapping[str, Job]:
        return {
            "dispatch": _dispatch, "reports": self._reports, "inbox": _inbox, "events": _events,
            "reconcile": _reconcile, "promises": _promises, "switch": self._switch, "somebody looks": _look,
        }  # fmt: skip

    def _act_of_somebody(self, name: str) -> Job | None:
        """Something that one of those who are about to hear from us does."""
        now = self.time.at()
        if not (targets := self.town.targets(now + timedelta(hours=1))):
            return None
        target = self.chance.choice(targets)
        if name == "a bank's file":
            return partial(self._import, "movements", self.town.many_pay(targets, now.date(), now))
        if name == "tells an agent":
            words = self.chance.choice(_WORDS)
            return partial(self._as, lambda machine: self.town.tells(target, words, machine.now()))
        if name == "pays":
            return partial(self._import, "movements", self.town.pays_up(target.loan_id, now.date(), now))
        if name == "opts out":
            return partial(self._import, "consents", self.town.speaks(target.person, "opt_out", now))
        if name == "disputes":
            return partial(self._import, "holds", self.town.disputes(target.person, target.loan, now))
        if name == "moves":
            return partial(self._import, "people", self.town.moves(target.person, self.chance, now))
        if target.number is None or not target.number.startswith("+"):
            return None
        if name == "texts start":
            return partial(_keep, [self._text(target.number, "START")])
        if name == "wavers":
            return partial(self._waver, target.number)
        self.stopped.append(target.number)
        return partial(_keep, [self._text(target.number, "STOP")])

    def _text(self, number: str, word: str) -> InboundText:
        return InboundText("carrier", number, "+15005550006", word, f"in-{word}-{self.time.us}", word)

    def _waver(self, number: str, machine: Machine) -> None:
        """Stop, start, and stop again, as fast as one can write, each heard by whoever is free."""
        for word in ("STOP", "START", "STOP"):
            _keep([self._text(number, word)], machine)
            machine.cross("word")
            self.fleet.somebody("inbox", _inbox)

    # -- what stops everything ---------------------------------------------------------------------------------

    def _switch(self, machine: Machine, *, on: bool | None = None) -> None:
        """Somebody switches sending off, or on again; `on`: only that."""
        with machine.database.write() as session:
            is_on = read_setting(session, "sending") == "on"
            if is_on and on is None:
                self.switched_at = {other.name: other.ran for other in self.fleet.machines}
            write_setting(session, "sending", "off" if is_on and on is None else "on")

    def _off_for(self, machine: Machine) -> int | None:
        """For how long a machine has worked on since sending was switched off; None: it is on."""
        (value,) = self.witness.execute("select value from setting where name = 'sending'").fetchone()
        return None if value == "on" else machine.ran - self.switched_at[machine.name]

    # -- jobs that need to know the world -------------------------------------------------------------------

    def _import(self, kind: str, path: Path, machine: Machine) -> None:
        self._as(lambda machine: self.town.take_in(kind, path, machine.now()), machine)

    def _as(self, act: Callable[[Machine], object], machine: Machine) -> None:
        """What the town does through a machine."""
        before, self.town.works = self.town.works, machine.works
        try:
            act(machine)
        finally:
            self.town.works = before

    def _reports(self, machine: Machine) -> None:
        """The carrier reports; what is not taken comes again."""
        arriving = self.carrier.arriving()
        try:
            _keep(arriving, machine)
        except BaseException:
            self.carrier.again(arriving)
            raise

    def _outward(self, machine: Machine) -> Outward:
        lines: dict[str, Adapter] = {"sms": TextLine(machine, self.carrier), "email": MailLine(machine, self.carrier)}
        lines[RECORDED_CALL] = TextLine(machine, self.carrier)
        return Outward(lines, lanes={"sms": Lane(2, 1.0), RECORDED_CALL: Lane(2, 2.0)})

    def _committed(self, contact: str) -> str | None:
        row = self.witness.execute("select status from contact where id = ?", (contact,)).fetchone()
        return row[0] if row else None

    def _in_hand(self, machine: Machine) -> Mapping[str, str]:
        query = (
            "select id, status from contact where claimed_by = ?"
            " and (status in ('claimed', 'sending') or (status = 'unknown' and error is null))"
        )
        return dict(self.witness.execute(query, (machine.works.door.worker,)).fetchall())


def _dispatch(machine: Machine) -> None:
    machine.works.dispatch_all(machine.now(), clock=machine.now, stop=lambda: not machine.on)


def _inbox(machine: Machine) -> None:
    handle_inbox(machine.works, machine.now)


def _events(machine: Machine) -> None:
    machine.works.handle_events(machine.now())


def _reconcile(machine: Machine) -> None:
    look_up_unknown(machine.works, machine.now)


def _promises(machine: Machine) -> None:
    machine.works.check_promises(machine.now())


def _duties(machine: Machine) -> None:
    machine.works.keep_duties(machine.now())


def _sweep(machine: Machine) -> None:
    machine.works.sweep(machine.now(), lambda _done, _total: None)


def _look(machine: Machine) -> None:
    """A person has looked at what the brake stopped."""
    with machine.database.write() as session:
        release_brake(session)


def _keep(received: list[Received], machine: Machine) -> None:
    """What the web endpoints do with what is posted to them."""
    with machine.database.write() as session:
        put(session, [arrival_of(one, nonce=nonce) for one in received], now=machine.now())


def _prepare(folder: Path, share_max: float) -> None:
    """The demo's workspace, in which recorded calls are made, and a sweep that plans too much brakes."""
    run.prepare(folder)
    settings, cards = folder / "duecourse.yaml", folder / "rules" / "us_card.yaml"
    for file, found, instead in (
        (settings, "backlog_share_max: 1 ", f"backlog_share_max: {share_max} "),
        (cards, "  reminded:\n", f"  reminded:\n{_RECORDED}"),
    ):
        text = file.read_text(encoding="utf-8")
        assert text.count(found) == 1, file
        file.write_text(text.replace(found, instead), encoding="utf-8")


def _at(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, tzinfo=UTC)
