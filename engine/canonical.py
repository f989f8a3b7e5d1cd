"""The hash of what a strategy means: the same for two files that differ in layout, comments or the order of keys."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from engine.strategy import Strategy

_NOT_MEANING: Final = frozenset({"at", "file", "source", "reading", "digest", "text"})
"""Where something stands and how it is spelt."""


def digest(strategy: Strategy) -> str:
    """SHA-256 in hex over the canonical JSON of everything the strategy says, its reasons included."""
    return hashlib.sha256(canonical(strategy).encode()).hexdigest()


def canonical(value: object) -> str:
    """JSON with sorted keys and nothing optional: equal values give equal text."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(_plain(item) for item in value)  # type: ignore[type-var]  # sets of one kind of scalar only
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return value // timedelta(seconds=1)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if is_dataclass(value):
        plain = {
            field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.name not in _NOT_MEANING
        }
        # The kind tells `all` from `any`, which hold the same field.
        return {"kind": type(value).__name__, **plain}
    raise TypeError(f"a strategy holds no {type(value).__name__}")
