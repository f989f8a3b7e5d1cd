"""The tree that explains a decision, and how its leaves are drawn: values, acts, and the gate's verdicts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from engine.decision import ActJudged
from engine.facts import Catalogue
from engine.gate import Reason, Verdict
from engine.interpreter import TraceNode
from engine.literals import minor_exponent
from engine.tree import FactValue

Mark = Literal["ok", "no", "unknown", "note"]
MARK: Final[Mapping[bool | None, Mark]] = {True: "ok", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True)
class ExplainNode:
    """One line of an explanation, how it came out, and the lines below it."""

    label: str
    mark: Mark = "note"
    children: tuple["ExplainNode", ...] = ()


def to_json(node: ExplainNode) -> dict[str, object]:
    """The tree as plain JSON values."""
    return {"label": node.label, "mark": node.mark, "children": [to_json(child) for child in node.children]}


@dataclass(frozen=True, slots=True)
class Values:
    """How values are shown: money in major units of the strategy's currency."""

    catalogue: Catalogue | None
    currency: str

    def condition(self, node: TraceNode) -> ExplainNode:
        """A condition's trace, each comparison with the value it saw."""
        saw = f" (saw {self.said(node.fact, node.value)})" if node.fact is not None else ""
        children = tuple(self.condition(child) for child in node.children)
        return ExplainNode(f"{node.text}{saw}", MARK[node.result], children)

    def said(self, name: str, value: FactValue) -> str:
        """A fact's value as people write it."""
        if value is None:
            return "nothing: unknown"
        if isinstance(value, bool):
            return "yes" if value else "no"
        fact = self.catalogue.facts.get(name) if self.catalogue is not None else None
        if isinstance(value, int) and fact is not None and fact.type == "money":
            return f"{Decimal(value).scaleb(-(minor_exponent(self.currency) or 0))} {self.currency}"
        return str(value)


def draw_act(act: ActJudged) -> ExplainNode:
    """One act for one addressee: whether and when it may go, and what the gate said."""
    endpoint = f", endpoint {act.endpoint}" if act.endpoint is not None else ""
    if act.at is not None:
        state = f"may go at {moment(act.at)}"
    elif act.later is not None:
        state = f"not before {moment(act.later)}, {act.note}"
    else:
        state = act.note or "denied"
    label = f"{act.channel} to {act.role} {act.person}{endpoint}: {state}"
    delays = tuple(_reason(reason) for reason in act.delays if act.verdict is None or reason not in act.verdict.reasons)
    return ExplainNode(label, MARK[act.at is not None], (*delays, *draw_verdict(act.verdict)))


def draw_verdict(verdict: Verdict | None) -> Iterator[ExplainNode]:
    """The gate's answer with every reason and its citation; nothing where it was not asked."""
    if verdict is None:
        return
    until = f" until {moment(verdict.until)}" if verdict.until is not None else ""
    reasons = tuple(_reason(reason) for reason in verdict.reasons)
    yield ExplainNode(f"gate: {verdict.outcome}{until}", MARK[verdict.outcome == "allow"], reasons)


def _reason(reason: Reason) -> ExplainNode:
    until = f" until {moment(reason.until)}" if reason.until is not None else ""
    label = f"{reason.rule}: {reason.outcome}{until}: {reason.says} [{reason.citation}]"
    return ExplainNode(label, MARK[reason.outcome == "allow"])


def moment(at: datetime) -> str:
    """An instant to the minute."""
    return f"{at:%Y-%m-%d %H:%M %Z}"
