"""A loan's decision as compact JSON for the log, and back: what was stored can be drawn without deciding again."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar

from engine.decision import ActJudged, ByHand, CandidateJudged, LoanDecision, MoveJudged, PlannedContact
from engine.gate import Override, Reason, Verdict

T = TypeVar("T")
Json = Mapping[str, Any]


def trace_json(decision: LoanDecision) -> str:
    """The decision with every candidate, act and verdict; fields in their order, what is at its default left out."""
    return json.dumps(_plain(decision), separators=(",", ":"), ensure_ascii=False)


def from_json(text: str) -> LoanDecision:
    """
    The decision that `trace_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: the text is not one of ours.
    """
    stored: Json = json.loads(text)
    return LoanDecision(
        **{
            **stored,
            "moves": _each(stored["moves"], _move),
            "candidates": _each(stored["candidates"], _candidate),
            "contacts": _each(stored["contacts"], _contact),
            "next_look": _instant(stored.get("next_look")),
            "by_hand": _by_hand(stored.get("by_hand")),
        }
    )


_SCALARS: Final = frozenset({str, int, bool, type(None)})


def _plain(value: Any) -> Any:
    kind = value.__class__
    if kind in _SCALARS:
        return value
    if kind is tuple:
        return [_plain(item) for item in value]
    if kind is datetime:
        return value.isoformat()
    plain = {}
    for name, default in _layout(kind):
        item = getattr(value, name)
        if default is MISSING or item != default:
            plain[name] = item if item.__class__ in _SCALARS else _plain(item)
    return plain


@cache
def _layout(kind: type) -> tuple[tuple[str, object], ...]:
    return tuple((field.name, field.default) for field in fields(kind))


def _each(items: list[Json], read: Callable[[Json], T]) -> tuple[T, ...]:
    return tuple(read(item) for item in items)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


def _reason(stored: Json) -> Reason:
    return Reason(**{**stored, "until": _instant(stored.get("until"))})


def _verdict(stored: Json | None) -> Verdict | None:
    if stored is None:
        return None
    reasons = _each(stored.get("reasons", []), _reason)
    return Verdict(**{**stored, "reasons": reasons, "until": _instant(stored.get("until"))})


def _move(stored: Json) -> MoveJudged:
    return MoveJudged(**{**stored, "verdict": _verdict(stored["verdict"])})


def _candidate(stored: Json) -> CandidateJudged:
    return CandidateJudged(**{**stored, "acts": _each(stored.get("acts", []), _act)})


def _by_hand(stored: Json | None) -> ByHand | None:
    if stored is None:
        return None
    override = Override(**stored["override"]) if "override" in stored else None
    # Decisions of former versions hold where the proof was, too.
    known = {name: value for name, value in stored.items() if name != "evidence"}
    return ByHand(**{**known, "acts": _each(stored["acts"], _act), "override": override})


def _act(stored: Json) -> ActJudged:
    return ActJudged(
        **{
            **stored,
            "verdict": _verdict(stored["verdict"]),
            "at": _instant(stored["at"]),
            "later": _instant(stored.get("later")),
            "delays": _each(stored.get("delays", []), _reason),
        }
    )


def _contact(stored: Json) -> PlannedContact:
    return PlannedContact(
        **{
            **stored,
            "not_before": datetime.fromisoformat(stored["not_before"]),
            "expires": datetime.fromisoformat(stored["expires"]),
            "covers": tuple(stored.get("covers", [])),
        }
    )
