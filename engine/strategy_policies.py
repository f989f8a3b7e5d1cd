"""Reads the policies of a strategy file: its currency and arms, promises, when a claim is paid, how fresh the feed must be."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final, cast

from engine.durations import read_days_before, read_length, read_percent
from engine.fields import Fields
from engine.gate import CHANNELS, Channel
from engine.literals import minor_exponent
from engine.source import Table, Text
from engine.strategy import CurePolicy, PromisePolicy

_PROMISE_KEYS: Final = ("max_days", "grace_days", "kept_at", "remind", "blocks")


def read_currency(fields: Fields) -> str | None:
    """The currency of every money literal of the file; None and a problem when there is none."""
    currency = fields.text("currency", required="CNY")
    if currency is not None and minor_exponent(currency) is None:
        at = fields.table.items["currency"].at
        fields.refuse(f"`{currency}` is no currency", "write its ISO 4217 code in capitals, such as `CNY`", at)
        return None
    return currency


def read_cure(fields: Fields, currency: str | None) -> CurePolicy:
    """When a claim counts as paid; without `cure:` when nothing is open."""
    node = fields.node("cure")
    if node is None:
        return CurePolicy()
    cure = Fields.of(node, "`cure`", ("tolerance",), fields.problems, example="cure: {tolerance: 5}")
    tolerance = cure.required("tolerance", "5") if cure is not None else None
    if tolerance is None or currency is None:
        return CurePolicy()
    value = tolerance.value if isinstance(tolerance, Text) and not tolerance.quoted else None
    minor = Decimal(-1)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        minor = Decimal(value).scaleb(minor_exponent(currency) or 0)
    if minor < 0 or minor != minor.to_integral_value():
        fields.refuse(f"`tolerance` of `cure` is no amount of {currency}", "write `tolerance: 5`", tolerance.at)
        return CurePolicy()
    return CurePolicy(int(minor))


def read_feed(fields: Fields) -> timedelta | None:
    """How old the payment feed may be; None when the strategy does not say."""
    node = fields.node("feed")
    if node is None:
        return None
    feed = Fields.of(node, "`feed`", ("max_age",), fields.problems, example="feed: {max_age: 36 hours}")
    if feed is None:
        return None
    feed.required("max_age", "36 hours")
    return feed.parsed("max_age", read_length, "a length of time", "36 hours")


def read_promise(fields: Fields) -> PromisePolicy:
    """What a promise may be, and what it holds back; every part has a usual value."""
    node = fields.node("promise")
    if node is None:
        return PromisePolicy()
    promise = Fields.of(
        node, "`promise`", _PROMISE_KEYS, fields.problems, example="promise: {max_days: 7, grace_days: 1}"
    )
    if promise is None:
        return PromisePolicy()
    usual = PromisePolicy()
    max_days = promise.whole("max_days", 1, 90)
    grace_days = promise.whole("grace_days", 0, 30)
    kept_at = promise.parsed("kept_at", read_percent, "a share from 1% to 100%", "90%")
    remind = promise.parsed("remind", read_days_before, "a number of days before", "1 day before")
    if remind is None and "remind" in promise.table.items:
        remind = 1  # the file is refused; conditions that use what it defines need not be
    return PromisePolicy(
        max_days=usual.max_days if max_days is None else max_days,
        grace_days=usual.grace_days if grace_days is None else grace_days,
        kept_at=usual.kept_at if kept_at is None else kept_at,
        remind_days_before=remind,
        blocks=tuple(sorted(cast("tuple[Channel, ...]", promise.words("blocks", "channel", CHANNELS)))),
    )


def read_arms(fields: Fields) -> Mapping[str, int]:
    """The arms and their shares, by name: the order of the keys has no meaning in YAML and none here."""
    node = fields.node("arms")
    if node is None:
        return {}
    if not isinstance(node, Table) or len(node.items) < 2:
        fields.refuse("`arms` is not a table of two arms or more", "write `arms: {control: 10, champion: 90}`", node.at)
        return {}
    arms = Fields(node, "`arms`", fields.problems)
    return {name: arms.whole(name, 1, 1_000_000) or 0 for name in sorted(node.items)}
