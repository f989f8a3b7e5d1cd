"""
Other engines, given the sixty rules in their own tongue: each says which rule is the first that is true of a loan.

Whatever can be prepared is prepared when an engine is made: rules are compiled, by stage where an engine goes loan by
loan, and the facts come in the shape it takes. An engine without unknowns is told to ask first whether a fact is there.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Final

from benchmarks.sixty import NOBODY, Row, Test, Tests, facts_used, literals, nullable, rulebook
from engine.matching import LiveMatcherSet
from engine.situation import Loan
from engine.tree import Leaf

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


class Peer(ABC):
    """
    One engine with the rules in it, which is asked about one loan after the other.

    Attributes:
        name: how the table calls it.
        module: what must be installed for it.
        loans: how many loans it is timed on, at most: the slow ones are scaled.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    loans: ClassVar[int]

    @abstractmethod
    def __init__(self, tests: Tests) -> None:
        """Make the rules ready."""

    @abstractmethod
    def first(self, row: Row) -> int:
        """The number of the first rule that is true of a loan, or NOBODY."""

    def answers(self, rows: Sequence[Row]) -> list[int]:
        """The same of many."""
        first = self.first
        return [first(row) for row in rows]


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
        parts += [*known, _comparison(leaf, f"f['{leaf.fact}']", equal="==")]
    made: Callable[[Row], bool] = eval(f"lambda f: {' and '.join(parts)}", {"true": True, "false": False})  # noqa: S307
    return made


class Zen(Peer):
    """GoRules Zen: for each stage a decision table with the hit policy `first`, compiled once."""

    name = "GoRules Zen, a decision"
    module = "zen"
    loans = 20_000

    def __init__(self, tests: Tests) -> None:
        import zen

        engine = zen.ZenEngine()
        self._decisions = {
            stage: engine.create_decision(zen.ZenDecisionContent(json.dumps(_zen_table(mine))))
            for stage, mine in tests.items()
        }

    def first(self, row: Row) -> int:
        result = self._decisions[row["stage"]].evaluate(row)["result"]
        return int(result.get("answer", NOBODY))


def _zen_table(tests: Sequence[Test]) -> dict[str, Any]:
    facts = facts_used(tests)
    table = {
        "hitPolicy": "first",
        "inputs": [{"id": fact, "name": fact, "field": fact} for fact in facts],
        "outputs": [{"id": "answer", "name": "answer", "field": "answer"}],
        "rules": [
            {
                "_id": str(test.number),
                **dict.fromkeys(facts, ""),
                **{leaf.fact: _zen_cell(leaf) for leaf in test.leaves},
                "answer": str(test.number),
            }
            for test in tests
        ],
    }
    nodes = [
        {"id": "in", "name": "in", "type": "inputNode"},
        {"id": "table", "name": "table", "type": "decisionTableNode", "content": table},
        {"id": "out", "name": "out", "type": "outputNode"},
    ]
    edges = [
        {"id": f"{source}-{target}", "sourceId": source, "targetId": target, "type": "edge"}
        for source, target in (("in", "table"), ("table", "out"))
    ]
    return {"nodes": nodes, "edges": edges}


def _zen_cell(leaf: Leaf) -> str:
    values = literals(leaf)
    match leaf.op:
        case "between":
            cell = f"[{values[0]}..{values[1]}]"
        case "in":
            cell = ", ".join(values)
        case "not in":
            cell = f"not($ in [{', '.join(values)}])"
        case "=":
            cell = values[0]
        case op:
            cell = f"$ {op} {values[0]}"
    return f"$ != null and {cell}" if nullable(leaf) and cell.startswith(("$", "not")) else cell


class ZenExpression(Peer):
    """Only Zen's expression language, without decisions: for each stage one compiled expression with a branch for each rule."""

    name = "GoRules Zen, a bare expression"
    module = "zen"
    loans = 20_000

    def __init__(self, tests: Tests) -> None:
        import zen

        self._expressions = {}
        for stage, mine in tests.items():
            branches = str(NOBODY)
            for test in reversed(mine):
                branches = f"{_joined(test, ' and ')} ? {test.number} : ({branches})"
            self._expressions[stage] = zen.compile_expression(branches)

    def first(self, row: Row) -> int:
        return int(self._expressions[row["stage"]].evaluate(row))


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


class RuleEngine(Peer):
    """`rule-engine`: one compiled rule after the other."""

    name = "rule-engine"
    module = "rule_engine"
    loans = 5_000

    def __init__(self, tests: Tests) -> None:
        import rule_engine

        context = rule_engine.Context(default_value=None)
        self._tests = {
            stage: [(test.number, rule_engine.Rule(_joined(test, " and "), context=context)) for test in mine]
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
                branches = f"{_joined(test, ' && ')} ? {test.number} : ({branches})"
            self._programs[stage] = cel.compile(branches)
        self._missing = dict.fromkeys(facts_used(chain.from_iterable(tests.values())))

    def first(self, row: Row) -> int:
        return int(self._programs[row["stage"]].execute({**self._missing, **row}))


def _joined(test: Test, word: str) -> str:
    """A rule in one of the languages that look alike."""
    parts = []
    for leaf in test.leaves:
        known = [f"{leaf.fact} != null"] if nullable(leaf) else []
        parts += [*known, _comparison(leaf, leaf.fact, equal="==", both=word, no="!" if word == " && " else "not ")]
    return word.join(parts)


def _comparison(leaf: Leaf, fact: str, *, equal: str, both: str = " and ", no: str = "not ") -> str:
    values = literals(leaf)
    match leaf.op:
        case "between":
            return f"{fact} >= {values[0]}{both}{fact} <= {values[1]}"
        case "in" | "not in":
            among = f"{fact} in [{', '.join(values)}]"
            return among if leaf.op == "in" else f"{no}({among})"
        case op:
            return f"{fact} {equal if op == '=' else op} {values[0]}"


PEERS: Final[tuple[type[Peer], ...]] = (PlainPython, Zen, ZenExpression, Live, Durable, RuleEngine, Cel)


class Polars:
    """One `when ... then` chain over columns, as one would write it by hand; it runs on every core."""

    name = "hand-written Polars expression"
    module = "polars"

    def __init__(self, tests: Tests) -> None:
        import polars as pl

        chained: Any = pl
        for stage, mine in tests.items():
            for test in mine:
                condition = pl.col("stage") == stage
                for leaf in test.leaves:
                    condition &= _polars(leaf)
                chained = chained.when(condition).then(pl.lit(test.number, pl.Int16))
        self._answer: pl.Expr = chained.otherwise(pl.lit(NOBODY, pl.Int16)).alias("answer")

    def frame(self, facts: "pa.Table") -> "pl.DataFrame":
        """The facts as it takes them."""
        import polars as pl

        frame = pl.from_arrow(facts)
        if not isinstance(frame, pl.DataFrame):
            raise TypeError("a table of facts has columns")
        return frame.rechunk()

    def run(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """The answers as a column."""
        return frame.lazy().select(self._answer).collect()


def _polars(leaf: Leaf) -> "pl.Expr":
    import polars as pl

    column, values = pl.col(leaf.fact), list(leaf.values)
    match leaf.op:
        case "between":
            return column.is_between(values[0], values[1])
        case "in":
            return column.is_in(values)
        case "not in":
            return ~column.is_in(values)
        case "=" if isinstance(values[0], bool):
            return column if values[0] else ~column
        case op:
            compare: dict[str, Callable[[Any], pl.Expr]] = {
                "=": column.eq, "!=": column.ne, "<": column.lt, "<=": column.le, ">": column.gt, ">=": column.ge,
            }  # fmt: skip
            return compare[op](values[0])


def absent(module: str) -> bool:
    """Whether a peer has to be left out because it is not installed."""
    return find_spec(module) is None
