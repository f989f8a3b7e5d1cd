"""Reads the ladder of a strategy file: its moves between stages, and where a loan of a live book enters."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, cast

from engine.condition import Scope, parse_condition
from engine.errors import Place
from engine.fields import Fields
from engine.literals import minor_exponent
from engine.source import Node
from engine.stages import EDGE, STAGES, Edge, Stage
from engine.strategy import CurePolicy, EntryRule, MoveRule
from engine.tree import All, Any, Condition, Leaf, Op

MOVE_KEYS: Final = ("id", "from", "to", "when", "because", "notice_days")
ENTRY_KEYS: Final = ("id", "stage", "when")
_MOVE: Final = "{id: to-reminded, from: current, to: reminded, when: dpd >= 1}"
_ENTRY: Final = "{id: book-phone, stage: phone, when: dpd >= 8}"


def read_move(node: Node, scope: Scope, cure: CurePolicy) -> MoveRule | None:
    """
    Read a move; None when it means nothing, and every problem of it in `scope.problems`.

    A cure carries its own condition, that the claim is paid up to the tolerance, and needs no `when`;
    where a tolerance is set, a loan that owes no more than it is not moved forward either.
    """
    problems = scope.problems
    found = len(problems)
    fields = Fields.of(node, "move", MOVE_KEYS, problems, example=_MOVE)
    if fields is None:
        return None
    move_id = fields.identifier("id", required="to-reminded")
    if move_id is not None:
        fields = Fields(fields.table, f"move `{move_id}`", problems)
    fields.required("from", "current")
    fields.required("to", "reminded")
    sources = cast("tuple[Stage, ...]", fields.words("from", "stage", STAGES))
    target = cast("Stage | None", fields.one_of("to", "stage", STAGES))
    edges = _edges(fields, sources, target) if target is not None else []
    kinds: set[str] = {edge.direction for edge in edges}
    if len(kinds) > 1:
        mend = "write one move for each"
        fields.refuse(f"{fields.what} mixes {' and '.join(sorted(kinds))} moves", mend)
        return None
    because = fields.text("because", required="A payment bounced." if "back" in kinds else "")
    notice_days = fields.whole("notice_days", 1, 365)
    if notice_days is not None and edges and not any(edge.duty for edge in edges):
        mend = "delete `notice_days`; only field_visit and legal ask for a notice"
        fields.refuse(f"{fields.what} owes no notice", mend, fields.table.items["notice_days"].at)
    when = _when(fields, scope, kinds, cure)
    if len(problems) > found or move_id is None or target is None or when is None:
        return None
    if kinds == {"forward"} and cure.tolerance_minor:
        when = All((when, _owes_more(cure, scope.currency, fields.at)))
    return MoveRule(move_id, sources, target, when, fields.at, because or "", notice_days or 0)


def read_entry(node: Node, scope: Scope) -> EntryRule | None:
    """Read an entry rule; None when it means nothing, and every problem of it in `scope.problems`."""
    fields = Fields.of(node, "entry", ENTRY_KEYS, scope.problems, example=_ENTRY)
    if fields is None:
        return None
    entry_id = fields.identifier("id", required="book-phone")
    if entry_id is not None:
        fields = Fields(fields.table, f"entry `{entry_id}`", scope.problems)
    fields.required("stage", "phone")
    stage = cast("Stage | None", fields.one_of("stage", "stage", STAGES))
    when_node = fields.required("when", "dpd >= 8")
    when = parse_condition(when_node, scope) if when_node is not None else None
    if entry_id is None or stage is None or when is None:
        return None
    return EntryRule(entry_id, stage, when, fields.at)


def _edges(fields: Fields, sources: Iterable[Stage], target: Stage) -> list[Edge]:
    edges = []
    for source in sources:
        edge = EDGE.get((source, target))
        if edge is None:
            possible = ", ".join(end for start, end in EDGE if start == source)
            what = f"{fields.what}: no move leads from `{source}` to `{target}`"
            fields.refuse(what, f"from `{source}` a loan can move to {possible}", fields.table.items["from"].at)
        else:
            edges.append(edge)
    return edges


def _when(fields: Fields, scope: Scope, kinds: set[str], cure: CurePolicy) -> Condition | None:
    is_cure = kinds == {"cure"}
    node = fields.node("when") if is_cure else fields.required("when", "dpd >= 1")
    said = parse_condition(node, scope) if node is not None else None
    if not is_cure or (node is not None and said is None):
        return said
    paid = Any((Leaf("dpd", "=", (0,), "dpd = 0", fields.at), _owes("<=", cure, scope.currency, fields.at)))
    return paid if said is None else All((said, paid))


def _owes_more(cure: CurePolicy, currency: str | None, at: Place) -> Condition:
    unknown = Leaf("overdue_amount", "is null", (), "overdue_amount is null", at)
    return Any((_owes(">", cure, currency, at), unknown))


def _owes(op: Op, cure: CurePolicy, currency: str | None, at: Place) -> Leaf:
    # Said as its author would: in major units, like every money literal of the file.
    tolerance = Decimal(cure.tolerance_minor).scaleb(-(minor_exponent(currency or "") or 0))
    return Leaf("overdue_amount", op, (cure.tolerance_minor,), f"overdue_amount {op} {tolerance.normalize():f}", at)
