"""
Dispatch: everything that is due goes out, each channel in a lane of its own.

A crash anywhere leaves a contact that was never offered to a provider (it is taken up again) or one in
`sending` (it becomes `unknown`, counts towards every limit, and is never sent again blindly).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from channels.message import Adapter, Receipt
from engine.errors import Problem, SettingsError, StoreError
from store.outbox import RECORDED_CALL, TASK_CHANNELS, expire, give_up_on, is_left
from workflows.alerts import alert_unknown
from workflows.brake import brake_channel, channel_brake
from workflows.sending.batches import doubt
from workflows.sending.budget import used_up
from workflows.sending.door import (
    LOOK_TO_SEND_MAX,
    Dispatched,
    Door,
    Lane,
    Outward,
    close_all,
    out_of_reach,
    reach,
    without_provider,
)
from workflows.sending.leaving import Offer, Taken, take
from workflows.sending.receipts import Answered, record_receipts

__all__ = ["Dispatched", "Door", "Outward", "dispatch"]

log = logging.getLogger(__name__)

MESSAGE_LANES: Final = ("sms", "email", RECORDED_CALL)
_FRUITLESS_MAX: Final = 3
"""Claims in a row that led to nothing but giving back, before a lane leaves the rest to the next dispatch."""
_PASSED_MAX: Final = 10
_PASSED_SECONDS: Final = 0.2
"""How often, and how soon, a lane looks again for what another worker passed over or was just choosing from."""
_UNANSWERED_MAX: Final = 10
"""After so many messages in a row that are in doubt a lane stands still until a person has looked: each is work for one."""
_HEED_SECONDS: Final = 0.5
"""How often a lane asks, while messages are under way, whether it is to stop or a switch was turned off."""
_LAST_SECONDS: Final = 10.0
"""How long a message that is under way may still take once dispatch is to stop. What takes longer is in doubt, if it was handed over."""
_WRITE_AGAIN_SECONDS: Final = (0.1, 1.0, 3.0)

_T = TypeVar("_T")


def _never() -> bool:
    return False


async def dispatch(
    door: Door,
    clock: Callable[[], datetime],
    *,
    paced: bool = True,
    limit: int = 200,
    stop: Callable[[], bool] = _never,
) -> Dispatched:
    """
    Close what is too late, then send and hand over until nothing more is due.

    Args:
        clock: the instant that every look is made for; a simulation's stands still.
        paced: keep to the rate of each provider account; only with a clock that runs.
        limit: contacts claimed at a time.
        stop: asked between messages; true ends after those under way.
    Raises:
        SettingsError: the brake is on, or nobody may be reached from here.
        StoreError: the database cannot be read or written; what was sent meanwhile becomes `unknown`.
    """
    # The database's work is done in one thread of its own, so that a lane that waits for a lock keeps nobody
    # from hearing a provider's answer.
    with ThreadPoolExecutor(1, thread_name_prefix="dispatch") as desk:
        done = await asyncio.get_running_loop().run_in_executor(desk, _begin, door, clock)
        traffic = _Traffic()
        lanes = [_Lane(door, clock, desk, done, traffic, TASK_CHANNELS, None, Lane(), stop)]
        for name, adapter in door.outward.adapters.items():
            lane = door.outward.lane(name)
            pace = lane if paced else Lane(lane.at_once)
            lanes.append(_Lane(door, clock, desk, done, traffic, (name,), adapter, pace, stop))
        lanes = [lane for lane in lanes if not await lane.stands_still()]
        try:
            # What is due on all channels is looked at together once: of a small book that is everything.
            paces = {name: per_second for lane in lanes for name, per_second in lane.paces.items()}
            loop = asyncio.get_running_loop()
            began = loop.time()
            first = await loop.run_in_executor(desk, partial(take, door, paces, clock, limit=limit))
            _count(done, first)
            ended = await asyncio.gather(
                *(lane.run(first.of(lane.names), began, limit) for lane in lanes), return_exceptions=True
            )
        finally:
            await close_all(door.outward.adapters.values())
    alert_unknown(done.counts)
    for error in ended:
        if error is not None:
            raise error
    return done


def _count(done: Dispatched, taken: Taken) -> None:
    done.counts["claimed"] += taken.claimed
    done.counts.update(taken.counts)


def _begin(door: Door, clock: Callable[[], datetime]) -> Dispatched:
    now = clock()
    done = Dispatched()
    # First, and also while nothing may leave: a switch that is off must not leave a dead worker's messages undecided.
    done.counts["expired"] = expire(door.database, now=now)
    lost = [*give_up_on(door.database, now=now), *doubt(door.database, now=now)]
    done.counts["unknown"] = len(lost)
    for contact in lost:
        log.warning(
            "a message needs somebody to look", extra={"action": "alert", "contact": contact, "status": "unknown"}
        )
    with door.database.session() as session:
        reach(door, session)
        done.problems += without_provider(door, session, MESSAGE_LANES, now)
    return done


@dataclass(slots=True)
class _Traffic:
    """
    Which lanes have messages under way.

    Whoever one of them is for gets nothing else meanwhile, on any channel: what waits for that is claimed afterwards.
    """

    lanes: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """While a lane sends."""
        self.lanes += 1
        try:
            yield
        finally:
            self.lanes -= 1
            self._changed.set()
            self._changed = asyncio.Event()

    async def eases(self) -> bool:
        """Wait until a lane has done sending; False, at once, when none is."""
        if not self.lanes:
            return False
        await self._changed.wait()
        return True


@dataclass(slots=True)
class _Lane:
    """One lane out, or those of all tasks: rounds of claiming, sending and writing down."""

    door: Door
    clock: Callable[[], datetime]
    desk: ThreadPoolExecutor
    done: Dispatched
    traffic: _Traffic
    names: Sequence[str]
    adapter: Adapter | None
    pace: Lane
    stop: Callable[[], bool]
    unheard: int = 0
    """Messages that nobody was there to take."""
    unanswered: int = 0
    """Messages in a row of which the provider never said what became of them."""
    under_way: set[asyncio.Timeout] = field(default_factory=set)

    @property
    def paces(self) -> dict[str, float | None]:
        """Its names and how fast each may go."""
        return dict.fromkeys(self.names, self.pace.per_second)

    async def run(self, first: Sequence[Offer], began: float, limit: int) -> None:
        """Send these, taken at a time of the event loop's clock, and then whatever else is due."""
        try:
            if first:
                await self._send_all(first, began)
            await self._rounds(limit)
        finally:
            if self.unheard:
                self.done.problems.append(out_of_reach(self.names[0], self.unheard))

    async def _rounds(self, limit: int) -> None:
        fruitless = passed = 0
        while not self.stop() and fruitless < _FRUITLESS_MAX and not await self.stands_still():
            began = asyncio.get_running_loop().time()
            taken = await self._at_desk(partial(take, self.door, self.paces, self.clock, limit=limit))
            if not taken.claimed:
                if await self.traffic.eases():
                    continue
                if passed < _PASSED_MAX and await self._at_desk(self._is_left):
                    passed += 1
                    await asyncio.sleep(_PASSED_SECONDS)
                    continue
                return
            passed = 0
            _count(self.done, taken)
            back = taken.counts["redo"] + taken.counts["waiting"]
            if taken.offers:
                back += await self._send_all(taken.offers, began)
            fruitless = fruitless + 1 if back == taken.claimed else 0

    def _is_left(self) -> bool:
        return is_left(self.door.database, self.names, now=self.clock())

    async def stands_still(self) -> bool:
        """Whether the brake is on for its channel, or its day's budget is used up; the dispatch then says why."""
        problem = await self._at_desk(self._hindrance) if self.adapter is not None else None
        if problem is not None:
            self.done.problems.append(problem)
        return problem is not None

    def _hindrance(self) -> Problem | None:
        name = self.names[0]
        with self.door.database.session() as session:
            return channel_brake(session, name) or used_up(session, self.door.outward, name, self.clock())

    def _is_switched_off(self) -> bool:
        """Whether a person or another worker said meanwhile that nothing more is to leave."""
        try:
            with self.door.database.session() as session:
                reach(self.door, session)
                return channel_brake(session, self.names[0]) is not None
        except SettingsError:
            return True
        except StoreError:
            # Whether it is cannot be known now. What is under way was committed, and the next claim asks again.
            return False

    async def _send_all(self, offers: Sequence[Offer], began: float) -> int:
        """Send, and write down what comes back as it comes; returns how many were not offered after all."""
        with self.traffic.one_more():
            return await self._send_each(offers, began)

    async def _send_each(self, offers: Sequence[Offer], began: float) -> int:
        arrived: asyncio.Queue[Answered] = asyncio.Queue()
        busy = asyncio.Semaphore(self.pace.at_once)
        halt = asyncio.Event()

        async def one(offer: Offer) -> None:
            receipt = await self._send(offer, began, busy, halt)
            if receipt is not None and receipt.status == "retry" and receipt.meaning == "misconfigured":
                # Every other would fail alike, and use up its tries.
                halt.set()
            # Told to stop, it is we who did not wait for the answer.
            if receipt is not None and not self.stop():
                self.unanswered = self.unanswered + 1 if receipt.status == "unknown" else 0
            if self.unanswered >= _UNANSWERED_MAX:
                halt.set()
            self.unheard += receipt is not None and (receipt.status, receipt.code) == ("retry", "unreachable")
            arrived.put_nowait(Answered(offer, receipt, self.clock()))

        async def heed() -> None:
            while not self.stop():
                await asyncio.sleep(_HEED_SECONDS)
                if not halt.is_set() and await self._at_desk(self._is_switched_off):
                    halt.set()
            halt.set()
            last = asyncio.get_running_loop().time() + _LAST_SECONDS
            for limit in self.under_way:
                if not limit.expired():
                    limit.reschedule(min(last, limit.when() or last))

        sends = [asyncio.create_task(one(offer)) for offer in offers]
        heeding = asyncio.create_task(heed())
        waiting = 0
        try:
            left = len(sends)
            while left:
                answered = [await arrived.get()]
                while not arrived.empty():
                    answered.append(arrived.get_nowait())
                counts = await self._write_down(answered)
                self.done.counts.update(counts)
                waiting += counts["waiting"]
                left -= len(answered)
        finally:
            # Where writing down failed: let those under way end, for a message cut off in the middle is in doubt.
            halt.set()
            heeding.cancel()
            await asyncio.gather(*sends, heeding, return_exceptions=True)
        self.done.counts["offered"] -= waiting
        if self.unanswered >= _UNANSWERED_MAX:
            await self._at_desk(self._put_brake_on)
        return waiting

    def _put_brake_on(self) -> None:
        assert self.adapter is not None  # noqa: S101 - only lanes with an adapter have offers
        who = self.adapter.name or "its provider"
        why = f"{who} did not say what became of {self.unanswered} messages in a row"
        with self.door.database.write() as session:
            brake_channel(session, self.names[0], why)

    async def _send(self, offer: Offer, began: float, busy: asyncio.Semaphore, halt: asyncio.Event) -> Receipt | None:
        assert self.adapter is not None  # noqa: S101 - only lanes with an adapter have offers
        await self._turn(offer, halt)
        async with busy:
            # By two clocks: the one that says what day it is may have been set back meanwhile.
            passed = timedelta(seconds=asyncio.get_running_loop().time() - began)
            if halt.is_set() or max(self.clock() - offer.looked_at, passed) > LOOK_TO_SEND_MAX:
                return None
            limit = asyncio.timeout(self.door.outward.send_seconds_max)
            self.under_way.add(limit)
            try:
                async with limit:
                    return await self.adapter.send(offer.message)
            except TimeoutError:
                words = "the provider did not answer in time"
                return Receipt("unknown", self.adapter.name, "", "timeout", "unclear", words)
            except Exception as error:  # noqa: BLE001 - the message may be out, so whatever went wrong, it is in doubt
                extra = {"action": "alert", "contact": offer.message.contact_id, "error": type(error).__name__}
                log.error("an adapter broke its promise to answer", extra=extra)  # noqa: TRY400 - no personal data
                words = f"the adapter broke ({type(error).__name__})"
                return Receipt("unknown", self.adapter.name, "", "broken", "unclear", words)
            finally:
                self.under_way.discard(limit)

    async def _turn(self, offer: Offer, halt: asyncio.Event) -> None:
        if offer.turn_at is None:
            return
        # No longer than its look is good for, whatever becomes of the clock on the wall.
        wait = min(offer.turn_at - self.clock(), LOOK_TO_SEND_MAX).total_seconds()
        with suppress(TimeoutError):
            await asyncio.wait_for(halt.wait(), max(0, wait))

    async def _write_down(self, answered: Sequence[Answered]) -> Counter[str]:
        record = partial(record_receipts, self.door.database, answered, self.door.dates)
        for seconds in _WRITE_AGAIN_SECONDS:
            try:
                return await self._at_desk(record)
            except StoreError:
                # A receipt that is lost makes a contact `unknown`, and work for people.
                await asyncio.sleep(seconds)
        return await self._at_desk(record)

    async def _at_desk(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self.desk, work)
