"""A decision in the log: written out field by field for speed, and the same as any JSON writer would have it."""

import json
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from engine.decision import LoanDecision
from engine.decision_json import from_json, trace_json
from store.decisions import canonical_json

INSTANTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-5))]))


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type, every field of a dataclass filled, those with a default as well."""
    origin, within = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(within)
    if origin in (Union, UnionType):
        return st.one_of([any_of(one) for one in within])
    if origin is tuple:
        return st.lists(any_of(within[0]), max_size=2).map(tuple)
    if is_dataclass(kind):
        return st.builds(kind, **{name: any_of(hint) for name, hint in get_type_hints(kind).items()})
    if kind is int:
        return st.integers(-(2**63), 2**63 - 1)  # what the columns of ids and amounts can hold
    return INSTANTS if kind is datetime else st.from_type(kind)


def plain(value: Any) -> Any:
    """Every field in its order, but for those at their default."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if not is_dataclass(value):
        return value
    said = ((field, getattr(value, field.name)) for field in fields(value))
    return {field.name: plain(item) for field, item in said if field.default is MISSING or item != field.default}


@given(any_of(LoanDecision))
def test_what_is_logged_is_what_any_writer_of_json_would_log(decision):
    """Whatever is decided, to the byte, and whatever stands in its texts: else a log of last year would not derive again."""
    text = trace_json(decision)
    assert text == json.dumps(plain(decision), separators=(",", ":"), ensure_ascii=False)
    assert from_json(text) == decision


NUMBERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)
)


@given(VALUES)
def test_a_value_has_the_one_spelling_that_any_writer_of_json_gives_it(value):
    """Deeds and facts of last year were written, and hashed, by another writer."""
    assert canonical_json(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
