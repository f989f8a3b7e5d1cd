"""
Conditions on `durable-rules`: what matches one borrower's loan now, because something happened.

A message that is asserted and retracted in the default context fires every rule that matches, whatever
the order. That is all we use of the engine; the rest of what it offers crashes or loses matches. How a
condition becomes rules it can hold is `engine.live_plan`'s business.
"""

from collections.abc import Mapping
from itertools import count
from threading import Lock
from typing import Final

from engine.facts import Facts
from engine.live_plan import MARKER, PREFIX, Plan, Planner, RuleBatch
from engine.tree import Condition, Value

_numbers: Final = count(1)
"""Ruleset names must be unique in the process."""


class LiveMatcher:
    """
    Which of a set of conditions match some facts, by `durable-rules`.

    Each instance costs about 2 MB (eighty conditions) that is never given back: keep one per published set of conditions and
    use it for every loan. Any thread may call it; one at a time gets through.

    Raises:
        RuntimeError: the engine could not take the rules; a bug in how they are planned.
    """

    def __init__(self, conditions: Mapping[str, Condition]) -> None:
        from durable.engine import Host

        planner = Planner()
        self._plans: dict[str, Plan] = {name: planner.plan(condition) for name, condition in conditions.items()}
        self._lock = Lock()
        self._fired: set[int] = set()
        self._last: tuple[Facts, frozenset[str]] | None = None
        self._batches = {f"duecourse_{next(_numbers)}": batch for batch in planner.batches}
        # A host starts two threads, for timers and for actions left over; we have neither, and a second thread
        # at work on a host loses matches without an error.
        quiet_host = type("QuietHost", (Host,), {"_run": lambda _: None})
        try:
            self._host = quiet_host({name: self._ruleset(batch) for name, batch in self._batches.items()})
        except Exception as e:
            raise RuntimeError(f"durable-rules refused the rules of {', '.join(conditions)}: {e}") from e

    def matching(self, facts: Facts) -> frozenset[str]:
        """Names of the conditions that are true of the facts; unknown does not match. None counts as missing."""
        with self._lock:
            # Asked for moves, then for rules: where nothing moved these are the very same facts.
            if self._last is None or self._last[0] is not facts:
                self._last = facts, self._matching(facts)
            return self._last[1]

    def _matching(self, facts: Facts) -> frozenset[str]:
        self._fired.clear()
        for ruleset, batch in self._batches.items():
            self._ask(ruleset, batch, facts)
        return frozenset(name for name, plan in self._plans.items() if plan.holds(self._fired))

    def _ask(self, ruleset: str, batch: RuleBatch, facts: Facts) -> None:
        message: dict[str, Value] = {MARKER: 1}
        for fact in batch.facts:
            if (value := facts.get(fact)) is not None:
                message[PREFIX + fact] = value
        try:
            self._host.assert_fact(ruleset, dict(message))
        finally:
            self._host.retract_fact(ruleset, dict(message))

    def _ruleset(self, batch: RuleBatch) -> dict[str, object]:
        # The marker's own rule fires always: a message that fires nothing is an error to the engine.
        rules: dict[str, object] = {"marker": {"all": [{"m": {MARKER: 1}}], "run": lambda _: None}}
        for number, pattern in batch.patterns.items():
            rules[f"rule_{number}"] = {"all": [{"m": pattern}], "run": self._firing(number)}
        return rules

    def _firing(self, number: int) -> object:
        fired = self._fired

        # A closure with one parameter: a second one, even with a default, means "asynchronous" to the engine.
        def run(_: object) -> None:
            fired.add(number)

        return run
