"""
Providers of the simulation: what they took they remember, whatever their client heard of it.

Faults are drawn for each message: refusals, answers that are lost, silence; and afterwards reports that come twice, in the
wrong order, days late, or never.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal

from channels.message import Meaning, Message, Receipt, Sought
from channels.reports import CallOutcome, KeyPressed, MailReport, StatusReport
from store.columns import from_us
from tests.simulation.machines import Machine
from tests.simulation.records import Handed
from tests.simulation.virtual_time import Time, us_of

Report = StatusReport | MailReport | KeyPressed

_ANSWER_SECONDS: Final = 10.0
"""How long a client waits for an answer before it says that it does not know."""
_SILENCE_SECONDS: Final = 3600.0
_LISTED_AFTER_SECONDS: Final = 30.0
_HOLDS_SECONDS: Final = 4 * 3600
"""How long a text that nobody bounds is held."""
_SETTLED_SECONDS: Final = 3600.0
"""A message was looked at by the clock that it is handed over by, if that was set no later than so long before."""
_FATES: Final = (
    ("taken", 60), ("taken, and the answer is lost", 8), ("taken, then silence", 3), ("lost on the way", 5), ("busy", 6),
    ("no such address", 1), ("they have opted out", 1),
)  # fmt: skip
_ANSWERED_BY: Final[tuple[CallOutcome, ...]] = ("heard", "heard", "voicemail", "no_answer", "busy")
"""What the provider's machine detection makes of who picks up a recorded call, if anybody does."""
_PRESSES: Final = 0.5
"""Share of those who hear such a call to the end that press a key."""
_KEYS: Final[tuple[tuple[str, Literal["talk", "stop"]], ...]] = (("1", "talk"), ("9", "stop"))
_REFUSALS: Final[dict[str, Receipt]] = {
    "busy": Receipt("retry", "", "", "429", "slow_down", "too many at once"),
    "no such address": Receipt("failed", "", "", "21211", "bad_address", "no such number or address"),
    "they have opted out": Receipt("failed", "", "", "21610", "opted_out", "they have told the provider to stop"),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as the provider's own list has it."""

    ref: str
    contact: str
    to: str
    text: str
    us: int


@dataclass
class Carrier:
    """
    Everything outside that takes messages, for all machines together.

    Attributes:
        committed: what the database says of a contact now, read by a connection of its own.
        faulty: how likely something else than a plain yes is, against the usual.
        handed: every message taken, in order.
        doubted: contacts whose client was told nothing for certain.
        off_for: for how long a machine has worked on while sending was switched off; None: it is on.
        due: reports on their way: when they come, and what they say.
    """

    time: Time
    chance: Random
    committed: Callable[[str], str | None]
    faulty: float = 1.0
    off_for: Callable[[Machine], int | None] = lambda _machine: None
    handed: list[Handed] = field(default_factory=list)
    doubted: set[str] = field(default_factory=set)
    due: list[tuple[int, Report]] = field(default_factory=list)
    listed: list[Kept] = field(default_factory=list)

    def fate(self) -> str:
        """What happens to the next message."""
        if self.chance.random() > self.faulty:
            return "taken"
        return self.chance.choices([name for name, _ in _FATES], [weight for _, weight in _FATES])[0]

    def take(self, message: Message, machine: Machine) -> str:
        """Take a message from a machine; returns the provider's id of it."""
        ref, contact = f"R{len(self.listed)}", message.contact_id
        ended = self._report(message, ref)
        is_settled = self.time.us - machine.set_at > _SETTLED_SECONDS * 1_000_000
        at = us_of(machine.now()) if is_settled else None
        arrives = at + self._held(message) if at is not None else None
        self.handed.append(
            Handed(
                contact, message.channel, message.to, self.committed(contact), message.text, ended, at, arrives,
                self.off_for(machine),
            )
        )  # fmt: skip
        self.listed.append(Kept(ref, contact, message.to, message.text, self.time.us))
        return ref

    def arriving(self) -> list[Report]:
        """What arrives by now, in whatever order."""
        arriving = [one for one in self.due if one[0] <= self.time.us]
        self.due = [one for one in self.due if one[0] > self.time.us]
        self.chance.shuffle(arriving)
        return [report for _, report in arriving]

    def again(self, reports: Collection[Report]) -> None:
        """Nobody took them: they come once more."""
        self.due += [(self.time.us + 60_000_000, report) for report in reports]

    def _held(self, message: Message) -> int:
        """For how long it is held before it arrives, in microseconds: mostly not at all, now and then as long as it may be."""
        if message.channel != "sms":
            return 0
        most = message.valid_seconds if message.valid_seconds is not None else _HOLDS_SECONDS
        return int(self.chance.choice((0.0, 0.0, 0.0, self.chance.random(), 1.0)) * most * 1_000_000)

    def _report(self, message: Message, ref: str) -> str:
        chance = self.chance
        ends = chance.choices(("delivered", "failed", ""), (80, 10, 10))[0]
        if not ends:
            return ""
        final = self._final(message, ref, ends)
        # Seconds, as a rule; before the answer to the message itself, now and then; days, rarely.
        seconds = chance.choice((0.0, 0.05, 5.0, 60.0, 3600.0, chance.uniform(0, 200_000)))
        reports: list[tuple[float, Report]] = [(seconds, final)]
        if isinstance(final, StatusReport) and final.outcome == "heard" and chance.random() < _PRESSES:
            key, wish = chance.choice(_KEYS)
            reports.append((chance.uniform(0, 60), KeyPressed("carrier", message.contact_id, ref, key, wish)))
        if isinstance(final, StatusReport):
            started = StatusReport(final.provider, final.contact_id, ref, "sent")
            reports.append((seconds * chance.random() * 2, started))
        if chance.random() < 0.3:
            reports.append((seconds + chance.uniform(0, 100_000), final))
        self.due += [(self.time.us + int(after * 1_000_000), report) for after, report in reports]
        return ends

    def _final(self, message: Message, ref: str, ends: str) -> Report:
        meaning: Meaning = "ok"
        if ends == "failed":
            meaning = self.chance.choice(("try_later", "bad_address", "blocked"))
        code = "30003" if ends == "failed" else ""
        if message.channel == "email":
            status = "failed" if ends == "failed" else "delivered"
            return MailReport(message.contact_id, message.to, status, code, meaning, f"report-{ref}")  # type: ignore[arg-type]
        # Some providers know our contact, some only their own id of it.
        contact = message.contact_id if self.chance.random() < 0.8 else ""
        outcome: CallOutcome = self.chance.choice(_ANSWERED_BY) if message.channel == "call" and not code else ""
        return StatusReport("carrier", contact, ref, ends, code, meaning, outcome)  # type: ignore[arg-type]


@dataclass
class MailLine:
    """A machine's way to the carrier: an adapter. Nobody lists the mails that were taken."""

    machine: Machine
    carrier: Carrier
    name: str = "smtp"

    async def send(self, message: Message) -> Receipt:
        """Hand it over, or try to."""
        try:
            receipt = await self._send(message)
        except asyncio.CancelledError:
            # Whoever asked has waited long enough: this machine, or everything, stood still meanwhile.
            self.carrier.doubted.add(message.contact_id)
            raise
        if self.carrier.committed(message.contact_id) == "unknown":
            # It took longer than a claim lasts, by somebody's clock.
            self.carrier.doubted.add(message.contact_id)
        return receipt

    async def close(self) -> None:
        """Nothing is open."""

    async def _send(self, message: Message) -> Receipt:
        chance, fate = self.carrier.chance, self.carrier.fate()
        await asyncio.sleep(chance.uniform(0.01, 0.4))
        self.machine.cross("send")
        if fate in _REFUSALS:
            said = _REFUSALS[fate]
            return Receipt(said.status, self.name, "", said.code, said.meaning, said.detail)
        if fate == "lost on the way":
            return await self._unheard(message, _ANSWER_SECONDS)
        ref = self.carrier.take(message, self.machine)
        self.machine.cross("taken")
        await asyncio.sleep(chance.uniform(0.01, 0.4))
        if fate != "taken":
            return await self._unheard(message, _ANSWER_SECONDS if "answer" in fate else _SILENCE_SECONDS)
        return Receipt("sent", self.name, ref)

    async def _unheard(self, message: Message, seconds: float) -> Receipt:
        self.carrier.doubted.add(message.contact_id)
        await asyncio.sleep(seconds)
        return Receipt("unknown", self.name, "", "timeout", "unclear", "the provider did not answer in time")


@dataclass
class TextLine(MailLine):
    """The same, to a provider that can be asked what it took."""

    name: str = "carrier"

    async def find(self, sought: Sought) -> Receipt | None:
        """What the provider's list says."""
        self.machine.cross("find")
        if self.carrier.chance.random() < 0.15:
            return Receipt("unknown", self.name, "", "timeout", "unclear", "the provider did not answer in time")
        newest = self.carrier.time.us - int(_LISTED_AFTER_SECONDS * 1_000_000)
        for kept in self.carrier.listed:
            if (
                kept.to == sought.to
                and kept.us <= newest
                and sought.is_of_its_time(from_us(kept.us))
                and kept.ref not in sought.taken
                and sought.is_it(kept.text)
            ):
                return Receipt("sent", self.name, kept.ref)
        return None
