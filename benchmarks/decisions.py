"""
How many verdicts and decisions one core gives in a second, without a database in the way.

    python -m benchmarks.decisions [--seconds N]

Verdicts: a call and a text to a borrower with 20 contacts in the last 30 days, in China and in Massachusetts, under
every pack that Duecourse ships with. Decisions: the borrowers of a synthetic book of whom a sweep finds that anything
matches, each decided anew, with each of the three matchers. Counts processor time. Prints a table.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance import Gate
from duecourse.workspace import open_workspace, shipped_folder
from engine.decision import Decision
from engine.gate import Ask, Channel, Endpoint, PastContact
from engine.matching import InterpreterMatcher, LiveMatcherSet, Matcher
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Situation
from store.columns import to_us
from tests.opening import open_database
from workflows.deciding.chunk import ChunkReader, SweptChunk

T = TypeVar("T")

SECONDS = 2.0
LOANS = 5000
ASKS = 400
CONTACTS = 20
PLACES = {
    "CN": (("CN", "CN-SH"), "Asia/Shanghai", "CNY"),
    "US-MA": (("US", "US-MA"), "America/New_York", "USD"),
}
_OUTCOMES = {"call": ("no_answer", "no_answer", "busy", "voicemail", "conversation"), "sms": ("delivered", "failed")}


def asks(place: str, channel: Channel, chance: Random) -> list[Ask]:
    """Questions about as many borrowers, each with a history of their own."""
    jurisdictions, zone, currency = PLACES[place]
    mobile = Endpoint(1, "mobile", basis="contract", basis_us=to_us(NOW - timedelta(days=90)))
    one = Ask(
        act="contact", channel=channel, purpose="collect", role="borrower", person=1, debts=(1,),
        jurisdictions=jurisdictions, zones=(zone,), endpoint=mobile,
        facts={"product": "personal", "currency": currency, "dpd": 12, "overdue_amount": 1200_00},
        content={"recorded": True, "opt_out_notice": True},
    )  # fmt: skip
    return [replace(one, history=tuple(_past(chance) for _ in range(CONTACTS))) for _ in range(ASKS)]


def _past(chance: Random) -> PastContact:
    channel = chance.choice(("call", "sms"))
    at = NOW - timedelta(minutes=chance.randrange(30, 30 * 24 * 60))
    outcome = chance.choice(_OUTCOMES[channel])
    return PastContact(to_us(at), "out", channel, outcome, "collect", 1, (1,), 1)


def busy(rulebook: Rulebook, folder: Path) -> SweptChunk:
    """The borrowers of a book of whom anything matches, as a sweep reads them."""
    database = open_database(f"sqlite:///{folder / 'book.db'}")
    database.create(bucket_key="00" * 16)
    write_book(database, LOANS, on=ON)
    with ChunkReader(rulebook, actor="first_party") as reader:
        swept = reader.sweep(database, range(1, LOANS + 1), now=NOW, retry={})
    database.close()
    return swept


def rate(work: Callable[[T], object], items: Iterable[T], seconds: float) -> float:
    """How often a second of processor time, over and over for that long."""
    done, start = 0, time.process_time()
    for item in itertools.cycle(items):
        work(item)
        done += 1
        if done % 100 == 0 and time.process_time() - start > seconds:
            break
    return done / (time.process_time() - start)


def verdicts(gate: Gate, seconds: float) -> Iterator[tuple[str, float]]:
    """Rows of the table: verdicts a second by place and channel."""
    channels: Sequence[Channel] = ("call", "sms")
    for place, channel in itertools.product(PLACES, channels):
        questions = asks(place, channel, Random(0))
        allowed = sum(gate.check(ask, NOW).outcome == "allow" for ask in questions)
        per_second = rate(lambda ask: gate.check(ask, NOW), questions, seconds)
        yield f"verdicts, {channel}, {place}, {CONTACTS} contacts ({allowed * 100 // ASKS} % allowed)", per_second


def decisions(rulebook: Rulebook, gate: Gate, swept: SweptChunk, seconds: float) -> Iterator[tuple[str, float]]:
    """Rows of the table: borrowers decided a second by matcher."""
    matchers: dict[str, Matcher] = {
        "as in a sweep": swept.matcher,
        "live": LiveMatcherSet(rulebook.strategies),
        "interpreter": InterpreterMatcher(rulebook.strategies),
    }
    people: Sequence[Situation] = swept.chunk.situations
    for name, matcher in matchers.items():

        def one(situation: Situation, matcher: Matcher = matcher) -> Decision:
            return decide(situation, rulebook, gate, NOW, matcher)

        yield f"borrowers decided, {name} ({len(people):,} with something to decide)", rate(one, people, seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each row")
    options = parser.parse_args(arguments)
    workspace = open_workspace(shipped_folder(), {})
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as folder:
        swept = busy(workspace.rulebook, Path(folder))
    print("| what | a second, one core |\n| --- | --: |")
    rows = itertools.chain(
        verdicts(workspace.gate, options.seconds),
        decisions(workspace.rulebook, workspace.gate, swept, options.seconds),
    )
    for what, per_second in rows:
        print(f"| {what} | {per_second:,.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
