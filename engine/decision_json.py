"""A loan's decision as compact JSON for the log, and back: what was stored can be drawn without deciding again."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from functools import cache
from json.encoder import encode_basestring as _quoted
from typing import Any, Final, TypeVar

from engine.decision import ActJudged, ByHand, CandidateJudged, LoanDecision, MoveJudged, PlannedContact
from engine.gate import Override, Reason, Verdict

T = TypeVar("T")
Json = Mapping[str, Any]


def trace_json(decision: LoanDecision) -> str:
    """
    The decision with every candidate, act and verdict; fields in their order, what is at its default left out.

    Written out for what every decision has, since a sweep writes hundreds of thousands: a tenth of its work otherwise.
    """
    one = decision
    return (
        f'{{"loan":{one.loan},"strategy":{_scalar(one.strategy)},"arm":{_scalar(one.arm)}'
        f',"stage_before":"{one.stage_before}","stage_after":"{one.stage_after}","outcome":"{one.outcome}"'
        f',"rule":{_scalar(one.rule)},"moves":{_list(one.moves, _json)}'
        f',"candidates":{_list(one.candidates, _candidate_json)},"contacts":{_list(one.contacts, _contact_json)}'
        f"{_field('covered_by', one.covered_by)}{_field('next_look', one.next_look)}{_field('by_hand', one.by_hand)}}}"
    )


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


def _candidate_json(one: CandidateJudged) -> str:
    acts = f',"acts":{_list(one.acts, _act_json)}' if one.acts else ""
    return f'{{"rule":{_quoted(one.rule)},"purpose":"{one.purpose}","state":"{one.state}"{acts}{_note(one.note)}}}'


def _act_json(one: ActJudged) -> str:
    allowed = one.verdict is not None and one.verdict == _ALLOW
    delays = f',"delays":{_list(one.delays, _json)}' if one.delays else ""
    return (
        f'{{"person":{one.person},"role":"{one.role}","channel":"{one.channel}","endpoint":{_scalar(one.endpoint)}'
        f',"verdict":{_ALLOWED if allowed else _json(one.verdict)},"at":{_scalar(one.at)}'
        f"{_note(one.note)}{_field('later', one.later)}{delays}}}"
    )


def _contact_json(one: PlannedContact) -> str:
    covers = f',"covers":{list(one.covers)}'.replace(" ", "") if one.covers else ""
    return (
        f'{{"loan":{one.loan},"rule":{_quoted(one.rule)},"person":{one.person},"role":"{one.role}"'
        f',"channel":"{one.channel}","endpoint":{_scalar(one.endpoint)},"purpose":"{one.purpose}"'
        f',"name":{_quoted(one.name)},"queue":{_scalar(one.queue)},"not_before":{_scalar(one.not_before)}'
        f',"expires":{_scalar(one.expires)},"slot":{_quoted(one.slot)},"stage_entry":{one.stage_entry}{covers}}}'
    )


_ALLOW: Final = Verdict("allow")
_ALLOWED: Final = '{"outcome":"allow"}'


def _list(items: Iterable[T], write: Callable[[T], str]) -> str:
    return f"[{','.join([write(item) for item in items])}]"


def _note(note: str) -> str:
    return f',"note":{_quoted(note)}' if note else ""


def _field(name: str, value: object) -> str:
    return f',"{name}":{_json(value)}' if value is not None else ""


def _scalar(value: str | int | datetime | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    return _quoted(value) if isinstance(value, str) else f'"{value.isoformat()}"'


def _json(value: object) -> str:
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


_SCALARS: Final = frozenset({str, int, bool, type(None)})


def _plain(value: Any) -> Any:
    """What JSON can say of one of our values: what only some decisions have is not written out."""
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
