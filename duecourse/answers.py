"""The gate's answers in words and as JSON, for every command that asks it."""

from collections.abc import Mapping
from typing import Any, Final

from compliance import sentence
from engine.gate import Verdict
from engine.situation import Person
from workflows.desk.asking import Answer, Spot

_DECISION: Final[Mapping[str, str]] = {"allow": "allow", "defer": "defer_until", "deny": "deny"}


def verdict_json(verdict: Verdict, language: str, person: Person) -> dict[str, Any]:
    """A verdict with every reason, as one JSON object; its sentence is in that language."""
    return {
        "decision": _DECISION[verdict.outcome],
        "until": verdict.until,
        "says": in_words(verdict, language, person),
        "reasons": [
            {
                "rule": reason.rule,
                "outcome": _DECISION[reason.outcome],
                "until": reason.until,
                "says": (reason.says_zh or reason.says) if language == "zh" else reason.says,
                "citation": reason.citation,
                "status": reason.status,
            }
            for reason in verdict.reasons
        ],
        "zones": list(person.zones),
    }


def answer_json(answer: Answer, language: str) -> dict[str, Any]:
    """The answer that counts, and beside it that for each number or address."""
    spots = [
        {"endpoint": spot.endpoint.id, "kind": spot.endpoint.kind, "decision": _DECISION[spot.verdict.outcome],
         "until": spot.verdict.until, "rules": [reason.rule for reason in spot.verdict.reasons]}
        for spot in answer.spots if spot.endpoint is not None
    ]  # fmt: skip
    endpoint = answer.best.endpoint
    return {
        **verdict_json(answer.best.verdict, language, answer.person),
        "endpoint": endpoint.id if endpoint is not None else None,
        "endpoints": spots,
    }


def in_words(verdict: Verdict, language: str, person: Person) -> str:
    """The sentence, with times at the person's own place."""
    return sentence(verdict, language, person.zones[0] if person.zones else "UTC")


def lines(answer: Answer, language: str) -> list[str]:
    """The sentence, and where there are several numbers or addresses, which may be used and why not the others."""
    said = [in_words(answer.best.verdict, language, answer.person)]
    if len(answer.spots) > 1:
        said += [f"{_name(spot)}: {in_words(spot.verdict, language, answer.person)}" for spot in answer.spots]
    return said


def _name(spot: Spot) -> str:
    return f"endpoint {spot.endpoint.id} ({spot.endpoint.kind})" if spot.endpoint is not None else "endpoint"
