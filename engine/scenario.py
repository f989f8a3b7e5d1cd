"""
Scenarios: what a strategy does in one situation, written so that a compliance officer can read it.

A scenario says not only what comes out but why (`because`), is run on every target, and counts
towards coverage: every rule and every move has one scenario that fires it and one that does not.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.decision import CandidateJudged, Decision, LoanDecision
from engine.errors import Place, Problem
from engine.gate import Gate, Reason
from engine.matching import Matcher
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Situation
from engine.stages import Stage
from engine.strategy import Strategy

_FIRED = frozenset({"chosen", "goes"})
_UNTRIED = frozenset({"not_reached", "covered", "yields"})
"""A rule behind the chosen one was not asked: that it made no contact proves nothing about it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """
    What must come out.

    Attributes:
        because: everything that decided it, exactly: see `causes`.
        stage: the stage afterwards.
        rule: the chosen `collect` rule; None does not check it.
        contacts: `rule channel role` of every contact, in any order; None does not check them.
        silent: rules and moves that must not fire.
    """

    outcome: str
    because: frozenset[str]
    stage: Stage
    rule: str | None = None
    contacts: tuple[str, ...] | None = None
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One situation of one loan, and what must come out of it."""

    name: str
    strategy: str
    situation: Situation
    now: datetime
    queues_full: frozenset[str]
    expected: Expected
    at: Place


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """
    What one target made of one scenario.

    Attributes:
        problems: wanted and got, for everything that differs; empty means passed.
        trace: the decision as lines, for whoever mends it.
        fired, held: rules and moves that fired; that were asked and did not.
    """

    name: str
    target: str
    at: Place
    problems: tuple[str, ...]
    trace: tuple[str, ...]
    fired: frozenset[str]
    held: frozenset[str]

    @property
    def passed(self) -> bool:
        return not self.problems


def run_scenarios(
    scenarios: Iterable[Scenario], rulebook: Rulebook, gate: Gate, matchers: Mapping[str, Matcher]
) -> list[ScenarioResult]:
    """
    Run every scenario on every target.

    Args:
        matchers: by name of the target; the first one is the definition that the others must equal.
    """
    return [result for scenario in scenarios for result in _run(scenario, rulebook, gate, matchers)]


def coverage(strategy: Strategy, scenarios: Iterable[Scenario], results: Iterable[ScenarioResult]) -> list[Problem]:
    """
    The rules and moves of a strategy that lack a scenario that fires them, or one that names them under
    `not:` in their own stage and shows them not firing.

    Returns:
        one problem per rule or move, in file order; none when the coverage is complete.
    """
    fired: set[str] = set()
    held: set[str] = set()
    named = {scenario.at: scenario.expected.silent for scenario in scenarios if scenario.strategy == strategy.id}
    for result in results:
        if result.at in named and result.passed:
            fired |= result.fired
            held |= result.held.intersection(named[result.at])
    rules = [(rule.id, "rule", rule.at) for stage_rules in strategy.rules.values() for rule in stage_rules]
    problems = []
    for name, kind, at in [*((move.id, "move", move.at) for move in strategy.moves), *rules]:
        if name not in fired:
            mend = "write a scenario in which it fires"
            problems.append(Problem(f"no scenario fires {kind} `{name}`", mend, at))
        if name not in held:
            mend = f"name it under `not:` of a scenario that reaches it; one behind the {kind} that wins is not reached"
            problems.append(Problem(f"no scenario shows {kind} `{name}` not firing", mend, at))
    return problems


def causes(decision: LoanDecision) -> frozenset[str]:
    """
    What decided a loan, as words to compare.

    A move or rule that fired is named by its id; a candidate that was asked and did not fire by its id and
    what became of it (`sms-day-1 repeated`); what the gate had against an act or a move by the limit's id.
    """
    words: set[str] = set()
    for move in decision.moves:
        words.add(move.rule if move.taken else f"{move.rule} refused")
        if move.verdict is not None:
            words |= _limits(move.verdict.reasons)
    for candidate in decision.candidates:
        if candidate.state in _FIRED:
            words.add(candidate.rule)
        elif candidate.state != "not_reached":
            words.add(f"{candidate.rule} {candidate.state.replace('_', ' ')}")
        for act in candidate.acts:
            words |= _limits(act.delays)
            if act.verdict is not None:
                words |= _limits(act.verdict.reasons)
    return frozenset(words)


def _limits(reasons: Iterable[Reason]) -> set[str]:
    return {reason.rule for reason in reasons if reason.outcome != "allow"}


def _run(
    scenario: Scenario, rulebook: Rulebook, gate: Gate, matchers: Mapping[str, Matcher]
) -> Iterator[ScenarioResult]:
    def queue_open(loan: int, queue: str) -> bool:
        del loan
        return queue not in scenario.queues_full

    strategy = rulebook.strategies[scenario.strategy]
    definition: Decision | None = None
    for target, matcher in matchers.items():
        decision = decide(scenario.situation, rulebook, gate, scenario.now, matcher, queue_open=queue_open)
        loan = decision.loans[0]
        problems = list(_differences(scenario, loan))
        if definition is None:
            definition = decision
        elif decision != definition:
            problems.append(f"decision: differs from what {next(iter(matchers))} decides")
        fired, held = _firing(strategy, loan)
        yield ScenarioResult(
            scenario.name, target, scenario.at, tuple(problems), tuple(trace(loan)) if problems else (), fired, held
        )


def _differences(scenario: Scenario, got: LoanDecision) -> Iterator[str]:
    want = scenario.expected
    if got.strategy != scenario.strategy:
        yield f"strategy: wanted {scenario.strategy}, got {got.strategy or 'none'}"
    if got.outcome != want.outcome:
        yield f"outcome: wanted {want.outcome}, got {got.outcome}"
    if got.stage_after != want.stage:
        yield f"stage: wanted {want.stage}, got {got.stage_after}"
    if want.rule is not None and got.rule != want.rule:
        yield f"rule: wanted {want.rule}, got {got.rule or 'none'}"
    because = causes(got)
    if because != want.because:
        yield f"because: wanted {_listed(want.because)}, got {_listed(because)}"
    contacts = [f"{contact.rule} {contact.channel} {contact.role}" for contact in got.contacts]
    if want.contacts is not None and sorted(contacts) != sorted(want.contacts):
        yield f"contacts: wanted {_listed(want.contacts)}, got {_listed(contacts)}"
    fired = {contact.rule for contact in got.contacts} | {move.rule for move in got.moves if move.taken}
    for name in want.silent:
        if name in fired:
            yield f"not: wanted {name} not to fire, and it did"


def _firing(strategy: Strategy, loan: LoanDecision) -> tuple[frozenset[str], frozenset[str]]:
    """The rules and moves that fired, and those that were asked and did not."""
    states = {candidate.rule: candidate.state for candidate in loan.candidates}
    fired = {rule for rule, state in states.items() if state in _FIRED}
    held = {rule.id for rule in strategy.rules.get(loan.stage_after, ()) if states.get(rule.id) not in _UNTRIED}
    taken = next((move.rule for move in loan.moves if move.taken), None)
    for move in strategy.moves:
        if move.id == taken:
            fired.add(move.id)
            break
        if loan.stage_before in move.sources:
            held.add(move.id)
    return frozenset(fired), frozenset(held - fired)


def trace(loan: LoanDecision) -> Iterator[str]:
    """A loan's decision as indented lines: moves, candidates, each act with what the gate had against it."""
    if loan.stage_before == loan.stage_after:
        yield f"stage {loan.stage_before}"
    else:
        yield f"stage {loan.stage_before} -> {loan.stage_after}"
    for move in loan.moves:
        yield f"  move {move.rule}: {'taken' if move.taken else 'not taken'}{_said(move.note)}"
        yield from _reasons(move.verdict.reasons if move.verdict else ())
    for candidate in loan.candidates:
        yield from _candidate(candidate)
    yield f"  outcome {loan.outcome}"


def _candidate(candidate: CandidateJudged) -> Iterator[str]:
    yield f"  rule {candidate.rule}: {candidate.state.replace('_', ' ')}{_said(candidate.note)}"
    for act in candidate.acts:
        verdict = act.verdict.outcome if act.verdict else "not asked"
        when = f" at {act.at.isoformat()}" if act.at else ""
        yield f"    {act.channel} to {act.role}: {verdict}{when}{_said(act.note)}"
        yield from _reasons((*act.delays, *(act.verdict.reasons if act.verdict else ())))


def _reasons(reasons: Sequence[Reason]) -> Iterator[str]:
    for reason in dict.fromkeys(reasons):
        if reason.outcome != "allow":
            until = f" until {reason.until.isoformat()}" if reason.until else ""
            yield f"      {reason.outcome}{until} by {reason.rule}: {reason.says} ({reason.citation})"


def _said(note: str) -> str:
    return f" ({note})" if note else ""


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "nothing"
