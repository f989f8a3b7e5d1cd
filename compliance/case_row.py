"""The tables of a case file: plain values, unknown keys refused, times in the zone they name."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.errors import Place, Problem, RuleError, unknown_name
from engine.source import Listing, Node, Scalar, Table, Text

Plain = Scalar | list["Plain"] | dict[str, "Plain"]


class CaseRow:
    """A table of a case: unknown keys refused, values by the type they must have."""

    def __init__(self, values: dict[str, Plain], what: str, at: Place, keys: Collection[str] | None) -> None:
        self._values, self.what, self._at = values, what, at
        if keys is not None:
            unknown = [key for key in values if key not in keys]
            if unknown:
                others = f"use one of {', '.join(keys)}"
                raise RuleError(unknown_name(f"key of {what}", key, keys, at=at, otherwise=others) for key in unknown)

    def get(self, key: str) -> Plain:
        return self._values.get(key)

    def items(self) -> Iterable[tuple[str, Plain]]:
        return self._values.items()

    def text(self, key: str, otherwise: str | None = None) -> str:
        value = self._values.get(key)
        if value is None and otherwise is not None:
            return otherwise
        if not isinstance(value, str):
            raise RuleError(Problem(f"`{key}` of {self.what} is not a text", f"write `{key}: some-word`", self._at))
        return value

    def maybe(self, key: str) -> str | None:
        return None if self._values.get(key) is None else self.text(key)

    def texts(self, key: str) -> list[str]:
        value = self._values.get(key)
        items = [] if value is None else value if isinstance(value, list) else [value]
        return [str(item) for item in items]

    def rows(self, key: str, keys: Collection[str] | None) -> "list[CaseRow]":
        value = self._values.get(key) or []
        items = value if isinstance(value, list) else [value]
        return [CaseRow(table(item), f"`{key}`", self._at, keys) for item in items]

    def inner(self, key: str, keys: Collection[str] | None) -> "CaseRow":
        return CaseRow(table(self._values.get(key) or {}), f"`{key}`", self._at, keys)


def last_moment(value: str, zone: str) -> datetime:
    """When something ends: a date is the last one on which something holds; an instant is when it ends."""
    if len(value) > len("2026-01-01"):
        return instant(value, zone)
    return datetime.combine(date.fromisoformat(value) + timedelta(days=1), time.min, _zone_info(zone)).astimezone(UTC)


def instant(value: str, zone: str) -> datetime:
    """Wall-clock time in a zone, or an instant that brings its own offset, in UTC."""
    at = datetime.fromisoformat(value)
    return (at if at.tzinfo is not None else at.replace(tzinfo=_zone_info(zone))).astimezone(UTC)


def _zone_info(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except ZoneInfoNotFoundError as e:
        raise ValueError(f"no zone `{zone}`") from e


def plain(node: Node) -> Plain:
    """A node without its places."""
    match node:
        case Text():
            return node.value
        case Listing():
            return [plain(item) for item in node]
        case Table():
            return {key: plain(item) for key, item in node.items.items()}


def table(value: Plain) -> dict[str, Plain]:
    """A value that must be a table."""
    if not isinstance(value, dict):
        raise TypeError(f"`{value}` is not a table")
    return value
