"""What stands in the JSON of decisions and second looks, as rows: verdicts with citations, and contacts that were planned."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Row = tuple[Any, ...]


def verdicts(kind: str, position: int, fields: Mapping[str, Any]) -> Iterator[Row]:
    """Every reason that the gate gave in an entry, in the order in which it stands there."""
    if kind == "decision":
        trace = json.loads(fields["trace_json"])
        acts = [act for candidate in trace["candidates"] for act in candidate.get("acts", ())]
        acts += trace.get("by_hand", {}).get("acts", ())
        reasons = [reason for move in trace["moves"] for reason in _reasons(move)]
        reasons += [reason for act in acts for reason in (*_reasons(act), *act.get("delays", ()))]
    elif kind == "contact_status":
        reasons = json.loads(fields["detail_json"]).get("reasons", [])
    else:
        return
    for reason in reasons:
        yield position, reason["rule"], reason["outcome"], reason["citation"]


def contacts(kind: str, position: int, fields: Mapping[str, Any]) -> Iterator[Row]:
    """The contacts that a decision planned, or that somebody made by hand."""
    if kind != "decision":
        return
    trace, loan = json.loads(fields["trace_json"]), fields["loan_id"]
    for number, one in enumerate(trace["contacts"]):
        name = f"{fields['run_id']}-{loan}-{number}"
        yield (
            position,
            name,
            loan,
            one["person"],
            one["role"],
            one["channel"],
            one["purpose"],
            one["rule"],
            one.get("endpoint"),
        )
    by_hand = trace.get("by_hand") or {}
    if by_hand.get("contact") is not None and by_hand["acts"]:
        act = by_hand["acts"][0]
        yield (
            position,
            by_hand["contact"],
            loan,
            act["person"],
            act["role"],
            act["channel"],
            by_hand["purpose"],
            None,
            act.get("endpoint"),
        )


def _reasons(judged: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    verdict = judged.get("verdict") or {}
    found: list[Mapping[str, Any]] = verdict.get("reasons", [])
    return found
