"""A loan's decision as compact JSON for the log, and back: what was stored can be drawn without deciding again."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar

import orjson

from engine.decision import ActJudged, ByHand, CandidateJudged, LoanDecision, MoveJudged, PlannedContact
from engine.gate import Override, Reason, Verdict

T = TypeVar("T")
Json = Mapping[str, Any]


def trace_json(decision: LoanDecision) -> str:
    """
    The decision with every candidate, act and verdict; fields in their order, what is at its default left out.

    Each field is named here for what every decision has, since a sweep writes hundreds of thousands.
    """
    one = decision
    said = {
        "loan": one.loan, "strategy": one.strategy, "arm": one.arm, "stage_before": one.stage_before,
        "stage_after": one.stage_after, "outcome": one.outcome, "rule": one.rule, "moves": _plain(one.moves),
        "candidates": [_candidate_said(candidate) for candidate in one.candidates],
        "contacts": [_contact_said(contact) for contact in one.contacts],
    }  # fmt: skip
    for name, value in (("covered_by", one.covered_by), ("next_look", one.next_look), ("by_hand", one.by_hand)):
        if value is not None:
            said[name] = _plain(value)
    return orjson.dumps(said).decode()


def from_json(text: str) -> LoanDecision:
    """
    The decision that `trace_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: the text is not one of ours.
    """
    stored: Json = orjson.loads(text)
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


def _candidate_said(one: CandidateJudged) -> Json:
    said: dict[str, Any] = {"rule": one.rule, "purpose": one.purpose, "state": one.state}
    if one.acts:
        said["acts"] = [_act_said(act) for act in one.acts]
    if one.note:
        said["note"] = one.note
    return said


def _act_said(one: ActJudged) -> Json:
    allowed = one.verdict is not None and one.verdict == _ALLOW
    said: dict[str, Any] = {
        "person": one.person, "role": one.role, "channel": one.channel, "endpoint": one.endpoint,
        "verdict": _ALLOWED if allowed else _plain(one.verdict), "at": one.at,
    }  # fmt: skip
    if one.note:
        said["note"] = one.note
    if one.later is not None:
        said["later"] = one.later
    if one.delays:
        said["delays"] = _plain(one.delays)
    return said


def _contact_said(one: PlannedContact) -> Json:
    said: dict[str, Any] = {
        "loan": one.loan, "rule": one.rule, "person": one.person, "role": one.role, "channel": one.channel,
        "endpoint": one.endpoint, "purpose": one.purpose, "name": one.name, "queue": one.queue,
        "not_before": one.not_before, "expires": one.expires, "slot": one.slot, "stage_entry": one.stage_entry,
    }  # fmt: skip
    if one.covers:
        said["covers"] = one.covers
    return said


_ALLOW: Final = Verdict("allow")
_ALLOWED: Final[Json] = {"outcome": "allow"}


_SCALARS: Final = frozenset({str, int, bool, datetime, type(None)})


def _plain(value: Any) -> Any:
    """One of our values as JSON can say it; fields at their default are left out."""
    kind = value.__class__
    if kind in _SCALARS:
        return value
    if kind is tuple:
        return [_plain(item) for item in value]
    plain = {}
    for name, default in _layout(kind):
        item = getattr(value, name)
        if default is MISSING or item != default:
            plain[name] = _plain(item)
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
