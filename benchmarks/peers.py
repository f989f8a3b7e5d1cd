"""
Other engines, given the sixty rules in their own tongue: each says which rule is the first that is true of a loan.

Whatever can be prepared is prepared when an engine is made: rules are compiled, by stage where an engine goes loan by
loan, and the facts come in the shape it takes. An engine without unknowns is told to ask first whether a fact is there.
"""

from collections.abc import Callable
from importlib.util import find_spec
from itertools import chain
from typing import Final

from benchmarks.peer import Peer, comparison, joined
from benchmarks.peer_durable import Durable, Live
from benchmarks.peer_zen import Zen, ZenExpression
from benchmarks.sixty import NOBODY, Row, Test, Tests, facts_used, nullable


class PlainPython(Peer):
    """A loop over functions, written as one would by hand."""

    name = "plain Python loop"
    module = "sys"
    loans = 200_000

    def __init__(self, tests: Tests) -> None:
        self._tests = {stage: [(test.number, _function(test)) for test in mine] for stage, mine in tests.items()}

    def first(self, row: Row) -> int:
        for number, test in self._tests[row["stage"]]:
            if test(row):
                return number
        return NOBODY


def _function(test: Test) -> Callable[[Row], bool]:
    parts = []
    for leaf in test.leaves:
        known = [f"'{leaf.fact}' in f"] if nullable(leaf) else []
        parts += [*known, comparison(leaf, f"f['{leaf.fact}']", equal="==")]
    made: Callable[[Row], bool] = eval(f"lambda f: {' and '.join(parts)}", {"true": True, "false": False})  # noqa: S307
    return made


class RuleEngine(Peer):
    """`rule-engine`: one compiled rule after the other."""

    name = "rule-engine"
    module = "rule_engine"
    loans = 5_000

    def __init__(self, tests: Tests) -> None:
        import rule_engine

        context = rule_engine.Context(default_value=None)
        self._tests = {
            stage: [(test.number, rule_engine.Rule(joined(test, " and "), context=context)) for test in mine]
            for stage, mine in tests.items()
        }

    def first(self, row: Row) -> int:
        return next((number for number, rule in self._tests[row["stage"]] if rule.matches(row)), NOBODY)


class Cel(Peer):
    """The Rust CEL interpreter with its Python binding: for each stage one compiled expression with a branch for each rule."""

    name = "CEL (Rust)"
    module = "cel"
    loans = 20_000

    def __init__(self, tests: Tests) -> None:
        import cel

        self._programs = {}
        for stage, mine in tests.items():
            branches = str(NOBODY)
            for test in reversed(mine):
                branches = f"{joined(test, ' && ')} ? {test.number} : ({branches})"
            self._programs[stage] = cel.compile(branches)
        self._missing = dict.fromkeys(facts_used(chain.from_iterable(tests.values())))

    def first(self, row: Row) -> int:
        return int(self._programs[row["stage"]].execute({**self._missing, **row}))


PEERS: Final[tuple[type[Peer], ...]] = (PlainPython, Zen, ZenExpression, Live, Durable, RuleEngine, Cel)


def absent(module: str) -> bool:
    """Whether a peer has to be left out because it is not installed."""
    return find_spec(module) is None
