"""GoRules Zen with the sixty rules: as decisions, and as bare expressions."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.peer import Peer, joined
from benchmarks.sixty import NOBODY, Row, Test, Tests, facts_used, literals, nullable
from engine.tree import Leaf


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
                branches = f"{joined(test, ' and ')} ? {test.number} : ({branches})"
            self._expressions[stage] = zen.compile_expression(branches)

    def first(self, row: Row) -> int:
        return int(self._expressions[row["stage"]].evaluate(row))
