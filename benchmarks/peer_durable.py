"""`durable-rules` with the sixty rules: as our live target uses it, and as an event of which one rule makes use."""

from collections.abc import Callable
from typing import Any, Final

from benchmarks.peer import Peer
from benchmarks.sixty import NOBODY, Row, Test, Tests, rulebook
from engine.matching import LiveMatcherSet
from engine.situation import Loan


class Live(Peer):
    """`durable-rules` as our live target uses it: every rule that matches a loan's facts is found; here the first is taken."""

    name = "durable-rules, as our live target"
    module = "durable"
    loans = 5_000

    def __init__(self, tests: Tests) -> None:
        strategies = rulebook().strategies
        (self._strategy,) = strategies.values()
        self._matchers = LiveMatcherSet(strategies)
        self._number = {
            rule.id: test.number
            for stage, rules in self._strategy.rules.items()
            for rule, test in zip(rules, tests[stage], strict=True)
        }

    def first(self, row: Row) -> int:
        loan = Loan(1, "", row["stage"], 0, row)
        matching = self._matchers.rules(self._strategy, loan, loan.stage, row)
        return min((self._number[rule] for rule in matching), default=NOBODY)


class Durable(Peer):
    """`durable-rules`, one loan at a time as an event: of one stage's rules the first by priority fires, and that is all."""

    name = "durable-rules, first match only"
    module = "durable"
    loans = 20_000

    def __init__(self, tests: Tests) -> None:
        from durable.engine import Host

        self._fired = [NOBODY]
        rules: dict[str, dict[str, Any]] = {}
        for stage, mine in tests.items():
            rules[stage] = {
                f"rule_{test.number}": {
                    "pri": test.number, "all": [{"m": _pattern(test)}], "run": self._firing(test.number),
                }
                for test in mine
            }  # fmt: skip
            # An event that fires nothing is an error to the engine.
            rules[stage]["nobody"] = {"pri": 1000, "all": [{"m": {"marker": 1}}], "run": self._firing(NOBODY)}
        self._host = type("QuietHost", (Host,), {"_run": lambda _: None})(rules)

    def first(self, row: Row) -> int:
        self._host.post(row["stage"], {**row, "marker": 1})
        return self._fired[0]

    def _firing(self, number: int) -> Callable[[object], None]:
        fired = self._fired

        # One parameter only: with a second one the engine takes the action for an asynchronous one.
        def run(_: object) -> None:
            fired[0] = number

        return run


_DURABLE_OPS: Final = {"!=": "$neq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def _pattern(test: Test) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for leaf in test.leaves:
        match leaf.op:
            case "between":
                parts += [{"$gte": {leaf.fact: leaf.values[0]}}, {"$lte": {leaf.fact: leaf.values[1]}}]
            case "in":
                parts.append({"$or": [{leaf.fact: value} for value in leaf.values]})
            case "not in":
                parts += [{"$neq": {leaf.fact: value}} for value in leaf.values]
            case "=":
                parts.append({leaf.fact: leaf.values[0]})
            case op:
                parts.append({_DURABLE_OPS[op]: {leaf.fact: leaf.values[0]}})
    return {"$and": parts} if len(parts) > 1 else parts[0]
