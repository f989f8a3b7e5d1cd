"""
From one borrower's situation to the decision: moves, candidates, the gate, one voice per person.

Pure, and the same for every target: what differs between them is only the `Matcher`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from engine.addressing import ask_move
from engine.decision import CandidateJudged, Decision, LoanDecision, LoanOutcome, MoveJudged, PlannedContact
from engine.gate import Channel, Gate
from engine.judging import Desk, Judged, judge, remember
from engine.matching import Matcher, after_move
from engine.rulebook import Rulebook
from engine.situation import Loan, Situation
from engine.stages import EDGE, Stage, begins_episode
from engine.strategy import Rule, Strategy
from engine.voices import Voice, settle

_NO_CHANNELS: frozenset[Channel] = frozenset()


def always(loan: int, queue: str) -> bool:
    """Every queue has room."""
    del loan, queue
    return True


def decide(
    situation: Situation,
    rulebook: Rulebook,
    gate: Gate,
    now: datetime,
    matcher: Matcher,
    *,
    queue_open: Callable[[int, str], bool] = always,
) -> Decision:
    """
    Decide everything that is to happen about one borrower's loans at one instant.

    Args:
        now: aware; the instant the decision is made for.
        matcher: who evaluates conditions; every target must give the same answers.
        queue_open: whether a queue has room for a loan; a full one sends the loan on to its next candidate.
    Returns:
        One entry per loan, in loan id order, whatever order they came in.
    """
    now = now.astimezone(UTC)
    loans = sorted(situation.loans, key=lambda loan: loan.id)
    sweep = not situation.events and not any(loan.events for loan in loans)
    desk = Desk(situation, gate, now, sweep, queue_open)
    cases = [_open(desk, rulebook, matcher, loan) for loan in loans]
    # Duties first: they do not compete, and what they use up of a person's limits is not there for dunning.
    for case in cases:
        _notices(desk, case)
    for case in cases:
        _choose(desk, case)
    settle(desk, [case.voice for case in cases if case.voice is not None])
    return Decision(situation.borrower.id, situation.on, now, tuple(_close(case) for case in cases))


@dataclass(slots=True)
class _Case:
    """One loan on its way through the decision; `loan` is as it stands after its move."""

    loan: Loan
    stage_before: Stage
    strategy: Strategy | None = None
    overlap: bool = False
    stale: bool = False
    moves: tuple[MoveJudged, ...] = ()
    candidates: list[Rule] = field(default_factory=list)
    judged: dict[str, Judged] = field(default_factory=dict)
    contacts: list[PlannedContact] = field(default_factory=list)
    choice: Rule | None = None
    voice: Voice | None = None


def _open(desk: Desk, rulebook: Rulebook, matcher: Matcher, loan: Loan) -> _Case:
    case = _Case(loan, loan.stage)
    names = matcher.strategies(loan)
    if len(names) != 1:
        case.overlap = bool(names)
        return case
    strategy = rulebook.strategies[names[0]]
    case.strategy = strategy
    case.stale = _is_stale(strategy, loan)
    case.moves = _move(desk, case, strategy, matcher)
    loan = case.loan
    rules = strategy.rules.get(loan.stage, ())
    if rules:
        matching = matcher.rules(strategy, loan, loan.stage, loan.facts)
        if matching:
            case.candidates = [rule for rule in rules if rule.id in matching and _is_wanted(desk, rule, loan)]
    return case


def _is_stale(strategy: Strategy, loan: Loan) -> bool:
    if strategy.feed_age_max is None:
        return False
    hours = loan.facts.get("feed_age")
    return type(hours) is not int or timedelta(hours=hours) > strategy.feed_age_max


def _move(desk: Desk, case: _Case, strategy: Strategy, matcher: Matcher) -> tuple[MoveJudged, ...]:
    """Take the first matching move that the gate accepts, which judges all that make the treatment harsher."""
    loan = case.loan
    if not strategy.moves:
        return ()
    matching = matcher.moves(strategy, loan)
    if not matching:
        return ()
    judged: list[MoveJudged] = []
    for move in strategy.moves:
        if move.id not in matching or loan.stage not in move.sources:
            continue
        edge = EDGE[loan.stage, move.target]
        if case.stale and edge.direction == "forward":
            judged.append(MoveJudged(move.id, move.target, None, False, "the payment feed is stale"))
            continue
        verdict = None
        if edge.direction == "forward":
            verdict = desk.gate.check(ask_move(desk.situation, loan, move.target, move.notice_days), desk.now)
        taken = verdict is None or verdict.outcome == "allow"
        judged.append(MoveJudged(move.id, move.target, verdict, taken))
        if taken:
            case.loan = replace(
                loan,
                stage=move.target,
                stage_entry=loan.stage_entry + 1,
                facts=after_move(loan.facts, move.target),
                periods=_periods(loan, move.target),
            )
            break
    return tuple(judged)


def _periods(loan: Loan, target: Stage) -> Mapping[str, str]:
    """The periods as they stand after a move: what an earlier episode used up is not held against the new one."""
    episode = loan.periods.get("episode")
    if episode is None or not begins_episode(loan.stage, target):
        return loan.periods
    # The book numbers its episodes; a scenario calls them by a word.
    return {**loan.periods, "episode": str(int(episode) + 1) if episode.isdecimal() else f"after {episode}"}


def _is_wanted(desk: Desk, rule: Rule, loan: Loan) -> bool:
    """Whether a rule listens to what is happening, and today is among its days."""
    if desk.sweep:
        if rule.on and rule.id not in loan.retry and loan.retry.isdisjoint(rule.was):
            return False
    elif rule.on.isdisjoint(desk.situation.events) and rule.on.isdisjoint(loan.events):
        return False
    on = desk.situation.on
    return (rule.valid_from is None or rule.valid_from <= on) and (rule.valid_until is None or on <= rule.valid_until)


def _notices(desk: Desk, case: _Case) -> None:
    for rule in case.candidates:
        if rule.purpose != "collect":
            judged = judge(desk, rule, case.loan, _NO_CHANNELS)
            case.judged[rule.id] = judged
            case.contacts.extend(judged.contacts)
            for contact in judged.contacts:
                remember(desk.planned, contact)


def _choose(desk: Desk, case: _Case) -> None:
    """Find the first `collect` candidate that may go."""
    if case.stale or case.strategy is None:
        return
    blocked = _promised(case.strategy, case.loan)
    for rule in case.candidates:
        if rule.purpose == "collect":
            judged = judge(desk, rule, case.loan, blocked)
            case.judged[rule.id] = judged
            if judged.state == "goes":
                case.choice = rule
                case.voice = Voice(case.loan, rule, judged.contacts)
                return


def _promised(strategy: Strategy, loan: Loan) -> frozenset[Channel]:
    blocks = strategy.promise.blocks
    # A guard: not knowing whether a promise is open holds back like an open one.
    return frozenset(blocks) if blocks and loan.facts.get("promise_open") is not False else _NO_CHANNELS


def _close(case: _Case) -> LoanDecision:
    voice = case.voice
    candidates = tuple(_candidate(case, rule) for rule in case.candidates)
    contacts = (*case.contacts, *(voice.contacts if voice is not None else ()))
    arm = case.loan.facts.get("arm")
    outcome = _outcome(case, candidates, contacts)
    return LoanDecision(
        loan=case.loan.id,
        strategy=case.strategy.id if case.strategy is not None else None,
        arm=arm if isinstance(arm, str) else None,
        stage_before=case.stage_before,
        stage_after=case.loan.stage,
        outcome=outcome,
        rule=case.choice.id if case.choice is not None and voice is not None and voice.state == "chosen" else None,
        moves=case.moves,
        candidates=candidates,
        contacts=contacts,
        covered_by=voice.covered_by if voice is not None else None,
        next_look=_next_look(candidates) if outcome == "wait" else None,
    )


def _candidate(case: _Case, rule: Rule) -> CandidateJudged:
    judged = case.judged.get(rule.id)
    if judged is None:
        return CandidateJudged(rule.id, rule.purpose, "stale_feed" if case.stale else "not_reached")
    state = case.voice.state if rule is case.choice and case.voice is not None else judged.state
    return CandidateJudged(rule.id, rule.purpose, state, judged.acts, judged.note)


def _outcome(case: _Case, candidates: tuple[CandidateJudged, ...], contacts: tuple[PlannedContact, ...]) -> LoanOutcome:
    if case.strategy is None:
        return "overlap" if case.overlap else "no_strategy"
    if contacts:
        return "contact"
    states = {candidate.state for candidate in candidates}
    if "covered" in states:
        return "covered"
    if case.stale:
        return "stale_feed"
    if not states.isdisjoint({"too_late", "yields"}):
        return "wait"
    held_back = any(move.verdict is not None and not move.taken for move in case.moves)
    return "withheld" if held_back or not states <= {"repeated"} else "nothing"


def _next_look(candidates: tuple[CandidateJudged, ...]) -> datetime | None:
    return min((act.later for candidate in candidates for act in candidate.acts if act.later is not None), default=None)
