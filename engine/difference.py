"""Where two records of one decision first differ, as a tree that leads there."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from engine.explain_tree import ExplainNode

_NOTHING: Final = object()
_TOLD_MAX: Final = 200


def first_difference(label: str, logged: object, derived: object) -> ExplainNode | None:
    """
    The way from a record to the first value in it that is not the same.

    Args:
        label: what the whole is called.
        logged, derived: plain JSON values; `logged` says in which order they are compared.
    Returns:
        None where they are equal, in value and in type: 1 is not true.
    """
    if isinstance(logged, Mapping) and isinstance(derived, Mapping):
        return _first(label, ((str(key), *pair) for key, *pair in _by_key(logged, derived)))
    if isinstance(logged, list) and isinstance(derived, list):
        return _first(label, _by_place(logged, derived))
    if type(logged) is type(derived) and logged == derived:
        return None
    told = (ExplainNode(f"logged: {_told(logged)}", "no"), ExplainNode(f"derived: {_told(derived)}", "no"))
    return ExplainNode(label, "no", told)


def _first(label: str, parts: Iterator[tuple[str, Any, Any]]) -> ExplainNode | None:
    for part, logged, derived in parts:
        if (found := first_difference(part, logged, derived)) is not None:
            return ExplainNode(label, "no", (found,))
    return None


def _by_key(logged: Mapping[str, Any], derived: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in dict.fromkeys((*logged, *derived)):
        yield key, logged.get(key, _NOTHING), derived.get(key, _NOTHING)


def _by_place(logged: Sequence[Any], derived: Sequence[Any]) -> Iterator[tuple[str, Any, Any]]:
    for place in range(max(len(logged), len(derived))):
        one = logged[place] if place < len(logged) else _NOTHING
        other = derived[place] if place < len(derived) else _NOTHING
        yield _called(place, one if one is not _NOTHING else other), one, other


def _called(place: int, item: object) -> str:
    if isinstance(item, Mapping):
        if "rule" in item and "channel" not in item:
            return str(item["rule"])
        if "channel" in item:
            return f"{item['channel']} to {item.get('role', '')} {item.get('person', '')}".rstrip()
    return f"{place + 1}."


def _told(value: object) -> str:
    if value is _NOTHING:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _TOLD_MAX else f"{text[:_TOLD_MAX]} ..."
