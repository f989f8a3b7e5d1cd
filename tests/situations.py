"""Small people, loans, strategies and gates, put together in code, for the tests of resolution."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from engine.decision import Decision, LoanDecision
from engine.errors import Place
from engine.facts import Catalogue
from engine.gate import Ask, Endpoint, Reason, Source, Verdict
from engine.matching import InterpreterMatcher
from engine.resolution import always, decide
from engine.rulebook import Rulebook
from engine.situation import Loan, Person, Situation
from engine.stages import Stage
from engine.strategy import Act, CurePolicy, MoveRule, PromisePolicy, Repeat, Rule, Send, Strategy
from engine.tree import All, Condition, FactValue, Leaf

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TODAY = date(2026, 11, 24)
HERE = Place("test.yaml", 1, 1)
TRUE: Condition = All(())


def leaf(fact: str, value: int | bool | str, op: str = "=") -> Leaf:
    return Leaf(fact, op, (value,), f"{fact} {op} {value}", HERE)  # type: ignore[arg-type]


def rule(rule_id: str, **changes: object) -> Rule:
    """A rule of stage `reminded` that always matches and sends a text message."""
    defaults: dict[str, object] = {
        "id": rule_id,
        "stage": "reminded",
        "when": TRUE,
        "acts": (Act("sms", "reminder"),),
        "purpose": "collect",
        "to": ("borrower",),
        "repeat": Repeat(1, per="episode"),
        "send": Send(),
        "valid_for": timedelta(hours=24),
        "on": frozenset(),
        "valid_from": None,
        "valid_until": None,
        "was": (),
        "because": "a test",
        "at": HERE,
    }
    return Rule(**(defaults | changes))  # type: ignore[arg-type]


def strategy(*rules: Rule, **changes: object) -> Strategy:
    stages: dict[Stage, list[Rule]] = {}
    for each in rules:
        stages.setdefault(each.stage, []).append(each)
    defaults: dict[str, object] = {
        "id": "test",
        "applies_to": TRUE,
        "currency": "EUR",
        "title": "Test",
        "define": {},
        "arms": {},
        "promise": PromisePolicy(),
        "cure": CurePolicy(),
        "feed_age_max": None,
        "entry": (),
        "moves": (),
        "rules": {stage: tuple(each) for stage, each in stages.items()},
        "file": "test.yaml",
    }
    return Strategy(**(defaults | changes))  # type: ignore[arg-type]


def move(move_id: str, source: Stage, target: Stage, when: Condition = TRUE, *, notice_days: int = 0) -> MoveRule:
    return MoveRule(move_id, (source,), target, when, HERE, notice_days=notice_days)


def book(*strategies: Strategy) -> Rulebook:
    return Rulebook({each.id: each for each in strategies}, Catalogue({}, {}), "digest")


def person(person_id: int = 1, **changes: object) -> Person:
    """Somebody in Berlin with a mobile, a landline, a mailbox and a postal address."""
    first = person_id * 10
    endpoints = (
        Endpoint(first, "mobile"),
        Endpoint(first + 1, "landline"),
        Endpoint(first + 2, "email"),
        Endpoint(first + 3, "postal", place="home"),
    )
    defaults: dict[str, object] = {
        "id": person_id,
        "zones": ("Europe/Berlin",),
        "jurisdictions": ("DE",),
        "language": "en",
        "endpoints": endpoints,
    }
    return Person(**(defaults | changes))  # type: ignore[arg-type]


def loan(loan_id: int = 100, stage: Stage = "reminded", **changes: object) -> Loan:
    facts: dict[str, FactValue] = {"dpd": 5, "feed_age": 3, "promise_open": False, "stage": stage, "days_in_stage": 4}
    facts |= changes.pop("facts", {})  # type: ignore[arg-type]
    defaults: dict[str, object] = {
        "id": loan_id,
        "ref": f"L{loan_id}",
        "stage": stage,
        "stage_entry": 2,
        "facts": facts,
        "periods": {"episode": "3", "due_date": "2026-11-19"},
    }
    return Loan(**(defaults | changes))  # type: ignore[arg-type]


def situation(*loans: Loan, **changes: object) -> Situation:
    defaults: dict[str, object] = {"borrower": person(), "loans": loans, "others": {}, "on": TODAY}
    return Situation(**(defaults | changes))  # type: ignore[arg-type]


@dataclass
class FakeGate:
    """Allows everything but what `answer` says otherwise about, and remembers what it was asked."""

    answer: Callable[[Ask, datetime], Verdict | None] = lambda _ask, _now: None
    asked: list[tuple[Ask, datetime]] = field(default_factory=list)
    digest: str = "fake"
    sources: tuple[Source, ...] = ()

    def check(self, ask: Ask, now: datetime) -> Verdict:
        self.asked.append((ask, now))
        return self.answer(ask, now) or Verdict("allow")


def denying(**wanted: object) -> FakeGate:
    """Denies every question whose fields have these values, e.g. `channel="call"`."""

    def answer(ask: Ask, _now: datetime) -> Verdict | None:
        hit = all(getattr(ask, name) == value for name, value in wanted.items())
        return Verdict("deny", (Reason("test.deny", "deny", "a law", "no"),)) if hit else None

    return FakeGate(answer)


def deferring(until: datetime, channels: Iterable[str] = ("sms", "email", "call", "visit", "letter")) -> FakeGate:
    """Defers until an instant; allows from then on."""

    def answer(ask: Ask, now: datetime) -> Verdict | None:
        if now >= until or ask.channel not in set(channels):
            return None
        return Verdict("defer", (Reason("test.later", "defer", "a law", "later", until),), until)

    return FakeGate(answer)


def resolve(
    case: Situation,
    rules: Rulebook,
    gate: FakeGate | None = None,
    *,
    now: datetime = NOW,
    queue_open: Callable[[int, str], bool] = always,
) -> Decision:
    return decide(case, rules, gate or FakeGate(), now, InterpreterMatcher(rules.strategies), queue_open=queue_open)


def only(decision: Decision) -> LoanDecision:
    (answer,) = decision.loans
    return answer


def states(answer: LoanDecision) -> Mapping[str, str]:
    return {candidate.rule: candidate.state for candidate in answer.candidates}
