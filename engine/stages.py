"""
The stages of a loan and the moves between them, as data.

From this one table come the `transitions` machine in `workflows/`, the checks of `rules check`, the
generated SQL, and the diagram that `duecourse stages --diagram` draws.
"""

from dataclasses import dataclass
from typing import Final, Literal

Stage = Literal["current", "reminded", "phone", "field_visit", "legal", "closed"]
STAGES: Final[tuple[Stage, ...]] = ("current", "reminded", "phone", "field_visit", "legal", "closed")
SEVERITY: Final = {stage: rank for rank, stage in enumerate(STAGES[:-1])} | {"closed": -1}
"""Worst stage last: decides which of a person's loans speaks for all."""

Duty = Literal["visit_notice", "prelegal_notice"]
"""What must be in force before a move: a notice of this kind, deemed service included."""

Direction = Literal["forward", "back", "cure", "close"]


@dataclass(frozen=True, slots=True)
class Edge:
    """
    A move that is possible.

    Attributes:
        direction: forward moves worsen the treatment; back moves must carry a reason; cure returns
            to `current` when the claim is paid with cleared funds; close ends treatment.
        duty: the evidence the gate must accept before the move, or None.
    """

    source: Stage
    target: Stage
    direction: Direction
    duty: Duty | None = None


_DUTIES: Final[dict[str, Duty]] = {"field_visit": "visit_notice", "legal": "prelegal_notice"}
_LADDER: Final[tuple[Stage, ...]] = STAGES[:-1]


def _edges() -> tuple[Edge, ...]:
    edges: list[Edge] = []
    for i, source in enumerate(_LADDER):
        for j, target in enumerate(_LADDER):
            if j > i:
                # Not every ladder has every stage, so a skip is an edge; it owes the duty of where it arrives.
                edges.append(Edge(source, target, "forward", _DUTIES.get(target)))
            elif 0 < j < i:
                edges.append(Edge(source, target, "back"))
        if i > 0:
            edges.append(Edge(source, "current", "cure"))
        edges.append(Edge(source, "closed", "close"))
    # A bounced final payment reopens the claim.
    edges.append(Edge("closed", "current", "back"))
    return tuple(edges)


def begins_episode(source: Stage, target: Stage) -> bool:
    """Whether a spell of delinquency begins with this move: the loan enters treatment. It ends with cure or close."""
    return source in {"current", "closed"} and target not in {"current", "closed"}


EDGES: Final = _edges()
EDGE: Final = {(edge.source, edge.target): edge for edge in EDGES}
