"""Reading rules that set days: deemed service, deadlines, retention."""

from datetime import date
from typing import Final, get_args

from compliance.dated import (
    RECORDS,
    Deadline,
    Fulfilled,
    Length,
    Mark,
    Records,
    Retention,
    Service,
    Since,
    Started,
    read_length,
)
from compliance.pack import KNOWN_OUTCOMES, OUTCOMES
from engine.durations import read_days_before
from engine.fields import Fields
from engine.gate import CHANNELS
from engine.source import Node, Text

_SCOPE_KEYS: Final = (
    "acts", "purposes", "except_purposes", "reply_dates_max", "roles", "except_roles", "where", "except_where", "given", "when",
)  # fmt: skip
_FORMS: Final = ("written", "electronic", "oral")
_STARTED: Final = get_args(Started)
_FULFILLED: Final = get_args(Fulfilled)
_PLAIN: Final = ("limitation", "review", "agency", "end", "entry")
"""Marks that are one word: there are no kinds of them."""
_DUE_ITSELF: Final = ("limitation", "review")
_LENGTH_EXAMPLE: Final = "10 business days"
_SOME_DAY: Final = date(2026, 1, 1)
"""Lengths are compared from here."""


class DatedReader:
    """
    Reads the rules that set days.

    Args:
        holds, statements, notices: the kinds there are.
    """

    def __init__(self, holds: tuple[str, ...], statements: tuple[str, ...], notices: tuple[str, ...]) -> None:
        self._kinds = {"contact": CHANNELS, "hold": holds, "statement": statements, "notice": notices}

    def service(self, fields: Fields) -> Service | None:
        """After how long a notice is in force; which channels it is about is the rule's scope."""
        _refuse_scope(fields, but="channels")
        after = _length(fields, "after")
        notices = frozenset(fields.words("notices", "kind of notice", self._kinds["notice"]))
        return None if after is None else Service(after, notices)

    def deadline(self, fields: Fields) -> Deadline | None:
        """What must be done by when."""
        _refuse_scope(fields)
        starts, done_by = self._mark(fields, "starts", _STARTED), None
        if fields.required("starts", "{hold: [dispute]}") is not None and fields.node("done_by") is not None:
            done_by = self._mark(fields, "done_by", _FULFILLED)
        lead = fields.parsed("escalates", read_days_before, "a number of days before", "2 days before")
        if fields.node("escalates") is None:
            fields.refuse(f"{fields.what} does not say when it escalates", "write `escalates: 2 days before`")
        if starts is None or lead is None:
            return None
        within = self._within(fields, starts)
        owner = fields.text("owner")
        if starts.what == "review" and owner is not None:
            at = fields.table.items["owner"].at
            fields.refuse("a hold names its own owner", "delete `owner`", at)
        elif starts.what != "review" and fields.node("owner") is None:
            fields.refuse(f"{fields.what} has no `owner`", "write who sees to it: `owner: compliance`")
        if done_by is not None and done_by.what == "end" and starts.what not in {"hold", "review"}:
            at = fields.table.items["done_by"].at
            fields.refuse(f"a {starts.what} has no end", "start with a `hold`, or name what fulfils it", at)
        return Deadline(starts, within, done_by, owner, lead)

    def retention(self, fields: Fields) -> Retention | None:
        """What is kept for how long."""
        _refuse_scope(fields)
        before = len(fields.problems)
        records: dict[str, Records] = {name: name for name in RECORDS}
        kept = frozenset(records[name] for name in fields.words("records", "kind of record", RECORDS))
        if not kept and len(fields.problems) == before:
            fields.refuse(
                f"{fields.what} keeps nothing", f"write `records: [contacts]`, or some of {', '.join(RECORDS)}"
            )
        at_least = _length(fields, "at_least")
        at_most = None
        if fields.node("at_most") is not None:
            at_most = fields.parsed("at_most", read_length, "a length of time", "10 years")
        if (
            at_least is not None
            and at_most is not None
            and at_most.after(_SOME_DAY, ()) < at_least.after(_SOME_DAY, ())
        ):
            at = fields.table.key_at["at_most"]
            fields.refuse("`at_most` is shorter than `at_least`", "write a longer one, or leave it out", at)
        names: dict[str, Since] = {name: name for name in get_args(Since)}
        since = fields.one_of("since", "start", tuple(names))
        if fields.node("since") is None:
            fields.refuse(f"{fields.what} does not say since when", f"write `since: {'`, `'.join(names)}`")
        return Retention(kept, at_least, names[since], at_most) if kept and at_least and since else None

    def _within(self, fields: Fields, starts: Mark) -> Length | None:
        if starts.what not in _DUE_ITSELF:
            return _length(fields, "within")
        for key in ("within", "calendar"):
            if fields.node(key) is not None:
                what = f"`{key}` means nothing here: the {starts.what} is itself the last day"
                fields.refuse(what, f"delete `{key}`", fields.table.key_at[key])
        return None

    def _mark(self, fields: Fields, key: str, known: tuple[str, ...]) -> Mark | None:
        node = fields.node(key)
        if node is None:
            return None
        plain = [word for word in known if word in _PLAIN]
        if isinstance(node, Text):
            word = fields.one_of(key, "mark", plain)
            return next((Mark(name) for name in (*_STARTED, *_FULFILLED) if name == word), None)
        return self._table(node, fields, key, [word for word in known if word not in _PLAIN])

    def _table(self, node: Node, fields: Fields, key: str, known: list[str]) -> Mark | None:
        what = f"`{key}` of {fields.what}"
        inner = Fields.of(node, what, (*known, "outcomes", "forms"), fields.problems, example="{hold: [dispute]}")
        if inner is None:
            return None
        named = [name for name in (*_STARTED, *_FULFILLED) if name in known and inner.node(name) is not None]
        if len(set(named)) != 1:
            inner.refuse(f"{what} names not exactly one of {', '.join(known)}", "write one: `{hold: [dispute]}`")
            return None
        name = named[0]
        for other, owner in (("outcomes", "contact"), ("forms", "hold")):
            if name != owner and inner.node(other) is not None:
                inner.refuse(f"`{other}` means nothing of a {name}", f"delete `{other}`", inner.table.key_at[other])
        before = len(inner.problems)
        kinds = frozenset(inner.words(name, f"kind of {name}" if name != "contact" else "channel", self._kinds[name]))
        if not kinds and len(inner.problems) == before:
            inner.refuse(f"{what} names no kind of {name}", f"write `{name}: [{self._kinds[name][0]}]`")
        words = inner.words("outcomes", "outcome", sorted({*OUTCOMES, *KNOWN_OUTCOMES}))
        outcomes = frozenset().union(*(OUTCOMES.get(word, {word}) for word in words))
        if name == "contact" and not outcomes:
            inner.refuse(f"{what} does not say which outcomes count", "write `outcomes: [conversation, delivered]`")
        return Mark(name, kinds, outcomes, frozenset(inner.words("forms", "form", _FORMS)))


def _length(fields: Fields, key: str) -> Length | None:
    if fields.required(key, _LENGTH_EXAMPLE) is None:
        return None
    length = fields.parsed(key, read_length, "a length of time", _LENGTH_EXAMPLE)
    places = fields.names("calendar")
    if length is None or not places:
        return length
    if length.unit != "business days":
        at = fields.table.key_at["calendar"]
        fields.refuse("`calendar` is for business days only", f"write `{key}: {_LENGTH_EXAMPLE}`, or delete it", at)
    return Length(length.unit, length.n, places)


def _refuse_scope(fields: Fields, but: str = "") -> None:
    """What narrows a limit to some acts has no meaning for a day that the calendar sets."""
    for key in (*_SCOPE_KEYS, "channels"):
        if key != but and fields.node(key) is not None:
            what = f"`{key}` means nothing in a rule that sets a day"
            fields.refuse(what, f"delete `{key}`", fields.table.key_at[key])
