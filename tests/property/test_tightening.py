"""A rule that the loader takes for tighter never answers more permissively than the law it tightens."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from compliance import Gate, Pack, Rule
from compliance.clock import microseconds
from compliance.pack import (
    Addressee,
    Also,
    Consent,
    Content,
    Cooldown,
    Count,
    Duty,
    Element,
    Holds,
    Hours,
    Lift,
    Limit,
    Scope,
    Selector,
    Span,
    Statements,
    Wording,
)  # fmt: skip
from compliance.tightening import loosened
from compliance.timetable import Timetable
from compliance.wording import text_facts
from engine.errors import Place
from engine.gate import STRICTNESS, Ask, Endpoint, Hold, LocalWindow, PastContact, Statement

Draw = st.DrawFn
_CHANNELS = ("call", "sms", "email", "visit")
_PURPOSES = ("collect", "service", "reply", "legally_required")
_ROLES = ("borrower", "guarantor", "contact_person")
_OUTCOMES = ("no_answer", "conversation", "delivered", "planned", "busy", "failed", "met", "nobody_met")
_FLAGS = ("recorded", "threat", "opt_out_notice")
_NOTICES = ("visit_notice", "prelegal_notice")
_DAY = timedelta(days=1)


def some(*of: str) -> st.SearchStrategy[frozenset[str]]:
    return st.one_of(st.just(frozenset[str]()), st.frozensets(st.sampled_from(of), min_size=1, max_size=3))


def at_least_one(*of: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(of), min_size=1, max_size=3)


maybe_few = st.one_of(st.none(), st.integers(1, 4))
givens = st.dictionaries(st.sampled_from(_FLAGS), st.booleans(), max_size=2)
spans = st.one_of(
    st.builds(Span, st.just("dates"), st.integers(1, 10)),
    st.builds(Span, st.just("hours"), st.sampled_from([4, 24, 48, 168, 192])),
    st.sampled_from([Span("weeks"), Span("months"), Span("ever")]),
)
pauses = spans.filter(lambda span: span.unit not in {"weeks", "months"})
lifts = st.one_of(
    st.none(),
    st.builds(Lift, st.sampled_from(["contact_time", "call_frequency"]), st.booleans(), maybe_few, st.booleans()),
)
windows = (
    st.tuples(st.integers(0, 23), st.integers(0, 24))
    .filter(lambda w: w[0] != w[1])
    .map(lambda w: (w[0] * 60, w[1] * 60))
)
days = st.lists(windows, max_size=2).map(tuple)
tables = st.builds(
    lambda every, week_end, holiday, opens: Timetable((*(every,) * 5, *(week_end,) * 2, *holiday), opens),
    days, days, st.one_of(st.just(()), days.map(lambda one: (one,))), st.booleans(),
)  # fmt: skip
selectors = st.builds(
    Selector,
    channels=some(*_CHANNELS),
    directions=at_least_one("in", "out"),
    outcomes=some(*_OUTCOMES),
    except_outcomes=some(*_OUTCOMES),
    purposes=some(*_PURPOSES),
    except_purposes=some(*_PURPOSES),
    same=some("debt", "endpoint", "actor"),
    any_person=st.booleans(),
    where=some("home", "work", "elsewhere"),
    except_where=some("home", "work", "elsewhere"),
    since=st.sampled_from([None, "days_in_episode"]),
)
alsos = st.builds(Also, at_least_one(*_ROLES), some(*_PURPOSES), givens, maybe_few, maybe_few)
elements = st.lists(
    st.builds(
        Element, st.sampled_from(["pressure", "help"]),
        st.dictionaries(
            st.sampled_from(["any", "en", "zh"]),
            st.lists(st.sampled_from(["now", "help*", "call us", "today"]), min_size=1, max_size=3, unique=True).map(tuple),
            min_size=1,
        ),
    ),
    max_size=2, unique_by=lambda element: element.name,
).map(tuple)  # fmt: skip

LIMITS: dict[type, dict[str, st.SearchStrategy[Any]]] = {
    Hours: {"table": tables, "lifted_by": lifts},
    Count: {
        "max": st.integers(1, 3), "spans": st.lists(spans, min_size=1, max_size=2).map(tuple), "counts": selectors,
        "lifted_by": lifts,
    },
    Cooldown: {"after": selectors, "span": pauses, "lifted_by": lifts},
    Statements: {
        "honours": at_least_one("opt_out", "no_medium", "inconvenient_time", "no_work_contact"), "lifted_by": lifts,
        "as_one": some("call", "sms"), "oral_dates_max": maybe_few,
        "hours_a_week_max": st.sampled_from([None, 10, 60, 168]), "channels_max": maybe_few,
    },
    Consent: {
        "basis": some("contract", "direct_consent"), "scope": st.sampled_from(["electronic", "contact_time"]),
        "directly": st.booleans(), "renewed_within_days": st.sampled_from([None, 3, 30]),
    },
    Holds: {"kinds": at_least_one("dispute", "cease"), "forms": some("oral", "written")},
    Addressee: {"roles": at_least_one(*_ROLES), "also": st.lists(alsos, max_size=2).map(tuple)},
    Content: {
        "required": some(*_FLAGS), "forbidden": some(*_FLAGS),
        "at_least": st.dictionaries(st.just("collectors_present"), st.integers(1, 3)),
    },
    Wording: {"requires": elements, "forbids": elements, "before_due": st.booleans()},
    Duty: {"notice": st.sampled_from(["visit_notice", "prelegal_notice"]), "in_force_days": st.integers(0, 5), "to": some("legal")},
}  # fmt: skip
SCOPE: dict[str, st.SearchStrategy[Any]] = {
    "channels": some(*_CHANNELS),
    "purposes": some(*_PURPOSES),
    "except_purposes": some(*_PURPOSES),
    "roles": some(*_ROLES),
    "except_roles": some(*_ROLES),
    "where": some("home", "work"),
    "except_where": some("home", "work"),
    "given": givens,
    "reply_dates_max": maybe_few,
}


def rule_of(limit: Limit, scope: Scope) -> Rule:
    return Rule(
        "us.some.rule", "law", "verified", date(2000, 1, 1), None, "a test", date(2030, 1, 1), "It.", "它。", scope, limit,
        Place("a test"),
    )  # fmt: skip


@st.composite
def pairs(draw: Draw, kind: type, *, proved: bool) -> tuple[Rule, Rule]:
    """A rule of law, and the same with some of its parts drawn anew; `proved`: those that the proof accepts."""
    keys = LIMITS[kind]
    law = rule_of(kind(**{name: draw(values) for name, values in keys.items()}), Scope(**draw(_scopes)))
    ours = law
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 4)) == 0:
            name = draw(st.sampled_from(sorted(SCOPE)))
            other = replace(ours, scope=replace(ours.scope, **{name: draw(SCOPE[name])}))
        else:
            name = draw(st.sampled_from(sorted(keys)))
            value, old = draw(keys[name]), getattr(ours.limit, name)
            if isinstance(old, Selector):
                inner = draw(st.sampled_from([field.name for field in fields(Selector)]))
                value = replace(old, **{inner: getattr(value, inner)})
            other = replace(ours, limit=replace(ours.limit, **{name: value}))
        ours = ours if proved and loosened(other, law) else other
    return law, ours


_scopes = st.fixed_dictionaries({}, optional={"channels": SCOPE["channels"], "except_purposes": SCOPE["except_purposes"],
                                              "reply_dates_max": maybe_few})  # fmt: skip


def question(chance: Random) -> tuple[datetime, Ask]:
    """Anybody, with enough on file for any kind of limit to bind."""
    now = datetime(2026, 3, 7, tzinfo=UTC) + timedelta(minutes=chance.randrange(3 * 1440))
    channel = chance.choice(_CHANNELS)
    facts: dict[str, Any] = {"dpd": chance.randrange(3)}
    if chance.random() < 0.5:
        facts["days_in_episode"] = chance.randrange(7)
    content: dict[str, Any] = {name: chance.random() < 0.5 for name in _FLAGS if chance.random() < 0.5}
    if chance.random() < 0.5:
        content["collectors_present"] = chance.randrange(4)
    mobile = Endpoint(1, "mobile", basis="contract", basis_us=_ago(now, 5 * 1440))
    holds = (Hold("dispute", _ago(now, 900), _ago(now, -2000), form="oral"),), (Hold("cease", _ago(now, 9)),), ()
    notices = {name: (now - chance.randrange(7) * _DAY).date() for name in _NOTICES if chance.random() < 0.5}
    return now, Ask(
        "contact", channel, chance.choice(_PURPOSES), chance.choice(_ROLES),  # type: ignore[arg-type]
        person=1, debts=chance.choice([(1,), (1, 2), ()]), jurisdictions=("US",),
        zones=tuple(chance.sample(["America/New_York", "Pacific/Honolulu"], chance.randint(1, 2))),
        endpoint=chance.choice([None, mobile, Endpoint(1, "landline", place="work")]),
        history=tuple(_past(chance, now) for _ in range(chance.randrange(9))),
        shared=tuple(replace(_past(chance, now), person=3) for _ in range(chance.randrange(3))),
        statements=tuple(_said(chance, now) for _ in range(chance.randrange(5))),
        holds=chance.choice(holds), facts=facts, content=content, notices=notices,
    )  # fmt: skip


def _past(chance: Random, now: datetime) -> PastContact:
    return PastContact(
        _ago(now, chance.randint(-2 * 1440, 9 * 1440)),
        chance.choice(["out", "out", "in"]),  # type: ignore[arg-type]
        chance.choice(_CHANNELS),
        chance.choice(_OUTCOMES),
        chance.choice(_PURPOSES),
        chance.choice([1, 1, 1, 2]),
        chance.choice([(1,), (2,), (1, 2), ()]),
        endpoint=chance.choice([None, 1, 2]),
        by=chance.choice(["lender", "agency-1", ""]),
        place=chance.choice([None, "home", "work", "elsewhere"]),
    )


def _said(chance: Random, now: datetime) -> Statement:
    kind = chance.choice(
        ["opt_out", "no_medium", "inconvenient_time", "no_work_contact", "consent", "consent", "opt_in"]
    )
    scope = chance.choice(["electronic", "contact_time", "call_frequency"]) if kind == "consent" else ""
    start, end = chance.randrange(24) * 60, chance.randrange(25) * 60
    return Statement(
        kind,
        _ago(now, chance.randrange(9 * 1440)),
        scope=scope,
        channels=chance.choice([(), ("call",), ("sms",), ("email",)]),
        endpoint=chance.choice([None, None, 1, 2]),
        debts=chance.choice([(), (1,), (2,)]),
        given_to=chance.choice(["lender", "collector"]),
        until_us=chance.choice([None, _ago(now, -2000)]),
        windows=(LocalWindow(start, end),) if "time" in kind + scope and start != end else (),
        form=chance.choice(["", "oral", "written"]),
    )


def _ago(now: datetime, minutes: int) -> int:
    return microseconds(now - timedelta(minutes=minutes))


def gate_of(rule: Rule, *more: Rule) -> Gate:
    packs = [
        Pack(name, "t", "t", frozenset({"US"}), frozenset({"first_party"}), frozenset(), None, (one,), name, name)
        for name, one in zip(("us.one", "us.two"), (rule, *more), strict=False)
    ]
    return Gate(packs, places=["US"])


def no_looser(stricter: Gate, law: Gate, ask: Ask, now: datetime) -> None:
    ours, theirs = stricter.check(ask, now), law.check(ask, now)
    assert not any(reason.rule.startswith("gate.unknown") for reason in (*ours.reasons, *theirs.reasons))
    assert STRICTNESS[ours.outcome] >= STRICTNESS[theirs.outcome]
    if ours.until is not None and theirs.until is not None:
        assert ours.until >= theirs.until


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.__name__)
@given(st.data(), st.integers(0, 10_000))
def test_what_is_proved_tighter_never_answers_looser(kind: type, data: st.DataObject, seed: int) -> None:
    """For pairs of limits that the proof accepts: whatever the law withholds, the tightened rule withholds, and as long."""
    law, ours = data.draw(pairs(kind, proved=True))
    assume(ours != law)
    stricter, gate = gate_of(replace(ours, id="us.one.rule")), gate_of(replace(law, id="us.two.rule"))
    chance = Random(seed)
    for _ in range(10):
        now, ask = question(chance)
        said = _text(law, ours, ask) if isinstance(law.limit, Wording) else ask
        no_looser(stricter, gate, said, now)


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.__name__)
@given(st.data(), st.integers(0, 10_000))
def test_what_answers_looser_is_not_proved_tighter(kind: type, data: st.DataObject, seed: int) -> None:
    """The same from the other side: where some ask is answered looser, the proof names a key."""
    law, ours = data.draw(pairs(kind, proved=False))
    stricter, gate = gate_of(replace(ours, id="us.one.rule")), gate_of(replace(law, id="us.two.rule"))
    chance = Random(seed)
    asked = [question(chance) for _ in range(6)]
    if isinstance(law.limit, Wording):
        asked = [(now, _text(law, ours, ask)) for now, ask in asked]
    if any(
        STRICTNESS[stricter.check(ask, now).outcome] < STRICTNESS[gate.check(ask, now).outcome] for now, ask in asked
    ):
        assert loosened(ours, law)


def _text(law: Rule, ours: Rule, ask: Ask) -> Ask:
    """The same ask about a text, with what either rule finds in it."""
    text = ("please help now", "call us today", "nothing", "help helps")[len(ask.history) % 4]
    packs = [*gate_of(replace(ours, id="us.one.rule"), replace(law, id="us.two.rule")).packs]
    found = [text_facts(text, "en", ask.channel or "sms", ask.purpose, [pack]) for pack in packs]
    return replace(ask, content={**found[0], **found[1]})


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.__name__)
@given(st.data(), st.integers(0, 10_000), st.booleans())
def test_a_further_rule_never_permits_more(kind: type, data: st.DataObject, seed: int, proved: bool) -> None:
    """A gate with the law and a rule beside it, proved tighter or not, withholds whatever the law alone withholds."""
    law, ours = data.draw(pairs(kind, proved=proved))
    both = gate_of(replace(law, id="us.one.rule"), replace(ours, id="us.two.rule"))
    alone = gate_of(replace(law, id="us.one.rule"))
    chance = Random(seed)
    for _ in range(10):
        now, ask = question(chance)
        no_looser(both, alone, ask, now)
