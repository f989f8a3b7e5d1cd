"""The machines of a storm: who does a job, what strikes them while they do, and whether how it ended is right."""

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Final

from engine.errors import DataError, DuecourseError, SettingsError, StoreError
from store.lock import Busy
from tests.simulation.machines import Killed, Machine
from tests.simulation.records import Violation
from tests.simulation.weather import Weather, broken
from workflows.sending.dispatch import dispatch

Job = Callable[[Machine], object]

_TRIES_MAX: Final = 40
_DEPTH_MAX: Final = 2
"""How many machines may stand between two statements while another one works."""
_STOPPED: Final = ("sending is off", "the brake is on")
"""What a dispatch says that a person has stopped."""
AHEAD_SECONDS_MAX: Final = 30 * 60
"""How wrong a clock goes."""


@dataclass
class Fleet:
    """
    Several machines on one database.

    Attributes:
        intrude: does something else, from beginning to end, with machines that are idle.
        in_hand: which contacts a machine has claimed or begun to send, and not reported on; and their status, which is
            `unknown` where others have given them up.
        doubted: gets those it has begun to send, where the machine, or the database, fails it.
    """

    chance: Random
    weather: Weather
    intrude: Callable[[], None]
    in_hand: Callable[[Machine], Mapping[str, str]]
    doubted: set[str]
    machines: list[Machine] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    broke: list[Violation] = field(default_factory=list)
    calm: bool = True
    depth: int = 0

    def somebody(self, name: str, job: Job) -> None:
        """Let a machine do it; another one, where it died over it; as often as it takes."""
        for _ in range(_TRIES_MAX):
            idle = self._idle()
            if not idle or self._does(self.chance.choice(idle), name, job):
                return
            self.machines[0].time.pass_by(self.chance.uniform(1, 120))
        self.broke.append(Violation("run", name, f"came to no end at {self.machines[0].time.at()}"))

    def two_dispatch(self, machine: Machine) -> None:
        """This machine and another one dispatch at the same moment."""
        idle = self._idle()
        if not idle:
            machine.works.dispatch_all(machine.now(), clock=machine.now, stop=lambda: not machine.on)
            return
        other = self.chance.choice(idle)
        self._begin(other, "dispatch")
        ended: dict[str, BaseException | None] = {}

        async def one(mine: Machine) -> None:
            try:
                await dispatch(mine.works.door, mine.now, stop=lambda: not mine.on)
            except BaseException as error:  # noqa: BLE001 - of one machine; the other goes on
                ended[mine.name] = error

        async def both() -> None:
            await asyncio.gather(one(machine), one(other))

        try:
            asyncio.run(both())
        except RuntimeError as error:
            # Whoever died in the middle never ends.
            ended = {mine.name: error for mine in (machine, other) if not mine.on} | ended
        finally:
            self._end(other)
        if (error := ended.get(other.name)) is not None:
            self._is_answer(other, "dispatch", error)
        if (error := ended.get(machine.name)) is not None:
            raise error

    def strike(self, machine: Machine, where: str) -> None:
        """What every machine asks wherever something may happen."""
        if self.calm:
            return
        holds = machine.job == "dispatch" and any(one != "unknown" for one in self.in_hand(machine).values())
        what = self.weather.at(where, machine.job, self.chance, in_hand=holds)
        if what == "intruder" and (machine.writes or self.depth >= _DEPTH_MAX):
            # Whoever holds the write lock keeps the others waiting; nothing comes in between.
            return
        if not what:
            return
        self.struck[what] += 1
        if what == "clock":
            machine.ahead = self.chance.choice((0, self.chance.randrange(AHEAD_SECONDS_MAX))) * 1_000_000
            machine.set_at = machine.time.us
        elif what == "intruder":
            self._let_in()
        else:
            self.doubted |= {contact for contact, status in self.in_hand(machine).items() if status == "sending"}
            if what == "kill":
                machine.on = False
                return
            machine.errors += 1
            raise broken(self.chance)

    def _idle(self) -> list[Machine]:
        return [machine for machine in self.machines if not machine.busy]

    def _does(self, machine: Machine, name: str, job: Job) -> bool:
        self._begin(machine, name)
        try:
            job(machine)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is judged
            return self._is_answer(machine, name, error)
        else:
            return True
        finally:
            self._end(machine)

    def _begin(self, machine: Machine, job: str) -> None:
        if not machine.on:
            machine.boot()
        machine.busy, machine.job, machine.errors = True, job, 0

    def _end(self, machine: Machine) -> None:
        machine.busy = False
        # What it held for longer than a claim lasts, by somebody's clock, it may have given back all the same: too late.
        self.doubted |= {contact for contact, status in self.in_hand(machine).items() if status == "unknown"}
        if not machine.on:
            machine.down()

    def _is_answer(self, machine: Machine, name: str, error: BaseException) -> bool:
        """Whether the job is done with; what should not have been raised is written down."""
        if not machine.on or isinstance(error, Killed):
            return False
        if isinstance(error, Busy) or (isinstance(error, DataError) and "would undo what a file" in str(error)):
            # Somebody else is at it; or what it brings is older than what somebody else has brought.
            return True
        if isinstance(error, SettingsError) and str(error).startswith(_STOPPED):
            return True
        if isinstance(error, StoreError) and (machine.errors or "the clock went backwards" in str(error)):
            return False
        what = str(error) if isinstance(error, DuecourseError) else "".join(traceback.format_exception(error))
        self.broke.append(Violation("run", f"{name} on machine {machine.name}", what))
        return True

    def _let_in(self) -> None:
        self.depth += 1
        still = [machine for machine in self.machines if machine.busy and machine.still_since is None]
        for machine in still:
            machine.still_since = machine.time.us
        # In a thread of its own, for there may be an event loop in this one.
        with ThreadPoolExecutor(1) as aside:
            aside.submit(self.intrude).result()
        for machine in still:
            machine.stood += machine.time.us - (machine.still_since or 0)
            machine.still_since = None
        self.depth -= 1
