"""Why a loan was decided as it was: every move and rule with the values it saw, every verdict with its citation."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from engine.decision import CandidateJudged, CandidateState, Decision, LoanDecision, LoanOutcome, MoveJudged
from engine.decision_json import from_json, trace_json
from engine.explain_tree import MARK, ExplainNode, Mark, Values, draw_act, draw_verdict, moment, to_json
from engine.facts import Catalogue, Facts
from engine.interpreter import evaluate, trace
from engine.matching import after_move
from engine.rulebook import Rulebook
from engine.situation import Situation
from engine.strategy import MoveRule, Rule, Strategy
from engine.tree import Condition

__all__ = ["ExplainNode", "Mark", "explain", "explain_loan", "from_json", "to_json", "trace_json"]

_NO_NAMES: Final[Mapping[int, str]] = {}

_OUTCOME: Final[Mapping[LoanOutcome, str]] = {
    "contact": "a contact is planned",
    "wait": "nothing may go soon enough",
    "covered": "another loan's contact speaks for it",
    "withheld": "what was to be done was refused",
    "nothing": "no rule wants a contact now",
    "stale_feed": "dunning is withheld: the payment feed is too old",
    "no_strategy": "no strategy applies",
    "overlap": "more than one strategy applies",
    "recorded": "a person told us of a contact",
}
_STATE: Final[Mapping[CandidateState, str]] = {
    "chosen": "chosen",
    "goes": "goes",
    "covered": "could go; another loan's contact speaks for it",
    "yields": "could go; another loan speaks to this person, and may not speak for this one",
    "repeated": "not again yet",
    "refused": "refused",
    "too_late": "not in time",
    "no_endpoint": "nobody to reach",
    "queue_full": "no room in its queue",
    "stale_feed": "withheld: the payment feed is too old",
    "not_reached": "not reached: a rule above it goes",
}
_GOES: Final = frozenset({"chosen", "goes"})


def explain(decision: Decision, situation: Situation, rulebook: Rulebook) -> ExplainNode:
    """The whole decision as a tree, one branch for each loan."""
    loans = {loan.id: loan for loan in situation.loans}
    names = {loan.id: loan.ref for loan in situation.loans}
    branches = []
    for answer in decision.loans:
        facts = loans[answer.loan].facts
        strategy = rulebook.strategies.get(answer.strategy or "")
        branch = explain_loan(
            answer, on=decision.on, facts=facts, strategy=strategy, catalogue=rulebook.catalogue, names=names
        )
        if strategy is None:
            branch = ExplainNode(branch.label, branch.mark, (*_strategies(rulebook, facts), *branch.children))
        branches.append(branch)
    return ExplainNode(f"borrower {decision.borrower} on {decision.on}", children=tuple(branches))


def explain_loan(
    answer: LoanDecision,
    *,
    on: date,
    facts: Facts | None = None,
    strategy: Strategy | None = None,
    catalogue: Catalogue | None = None,
    names: Mapping[int, str] = _NO_NAMES,
) -> ExplainNode:
    """
    One loan's decision as a tree.

    Args:
        on: the day it was decided for.
        facts, strategy: as they stood before the decision; without them, as in a log whose strategy
            cannot be read any more, only what was written with the decision is drawn.
        names: loan id -> what people call the loan.
    """
    drawing = _Drawing(answer, on, facts, strategy, catalogue, names)
    name = names.get(answer.loan, str(answer.loan))
    label = f"loan {name}: {answer.outcome}, {_OUTCOME[answer.outcome]}"
    return ExplainNode(label, "ok" if answer.outcome == "contact" else "no", tuple(drawing.branches()))


def _strategies(rulebook: Rulebook, facts: Facts) -> Iterator[ExplainNode]:
    for strategy in rulebook.strategies.values():
        values = Values(rulebook.catalogue, strategy.currency)
        seen = values.condition(trace(strategy.applies_to, facts))
        yield ExplainNode(f"strategy {strategy.id}", seen.mark, (seen,))


@dataclass(frozen=True, slots=True)
class _Drawing:
    """One loan's tree, branch by branch."""

    answer: LoanDecision
    on: date
    facts: Facts | None
    strategy: Strategy | None
    catalogue: Catalogue | None
    names: Mapping[int, str]

    def branches(self) -> Iterator[ExplainNode]:
        answer, strategy = self.answer, self.strategy
        if answer.strategy is not None:
            arm = f", arm {answer.arm}" if answer.arm is not None else ""
            below = (self._condition(strategy.applies_to, self.facts),) if strategy and self.facts is not None else ()
            yield ExplainNode(f"strategy {answer.strategy}{arm}", "ok", below)
        moves = tuple(self._moves())
        if moves:
            moved = answer.stage_before != answer.stage_after
            label = f"stage {answer.stage_before}" + (f" → {answer.stage_after}" if moved else ": stays")
            yield ExplainNode(label, "ok" if moved else "no", moves)
        rules = tuple(self._rules())
        if rules:
            yield ExplainNode(f"rules of stage {answer.stage_after}", children=rules)
        yield from self._by_hand()
        yield from self._result()

    def _by_hand(self) -> Iterator[ExplainNode]:
        asked = self.answer.by_hand
        if asked is None:
            return
        acts = [draw_act(act) for act in asked.acts]
        if asked.override is not None:
            said = f"{asked.override.rule} set aside: {asked.override.ground}, approved by {asked.approved_by}"
            acts.append(ExplainNode(said))
        label = f"{asked.by}: {asked.what} ({asked.purpose})"
        yield ExplainNode(label, MARK[asked.contact is not None], tuple(acts))

    def _values(self) -> Values:
        return Values(self.catalogue, self.strategy.currency if self.strategy is not None else "")

    def _condition(self, condition: Condition, facts: Facts | None) -> ExplainNode:
        return self._values().condition(trace(condition, facts or {}))

    def _moves(self) -> Iterator[ExplainNode]:
        judged = {move.rule: move for move in self.answer.moves}
        if self.strategy is None or self.facts is None:
            yield from (self._move(each, None) for each in self.answer.moves)
            return
        taken = False
        for move in self.strategy.moves:
            if self.answer.stage_before not in move.sources:
                continue
            if move.id in judged:
                yield self._move(judged[move.id], move)
                taken = taken or judged[move.id].taken
            else:
                seen = self._condition(move.when, self.facts)
                why = "not reached" if taken else "does not match"
                mark: Mark = "note" if taken else seen.mark
                yield ExplainNode(f"move {move.id} to {move.target}: {why}", mark, (seen,))

    def _move(self, judged: MoveJudged, move: MoveRule | None) -> ExplainNode:
        state = "taken" if judged.taken else judged.note or "the gate does not let it"
        below: list[ExplainNode] = []
        if move is not None:
            below.append(self._condition(move.when, self.facts))
            if move.because:
                below.append(ExplainNode(f"because: {move.because}"))
        below.extend(draw_verdict(judged.verdict))
        return ExplainNode(f"move {judged.rule} to {judged.target}: {state}", MARK[judged.taken], tuple(below))

    def _rules(self) -> Iterator[ExplainNode]:
        judged = {candidate.rule: candidate for candidate in self.answer.candidates}
        if self.strategy is None or self.facts is None:
            yield from (self._candidate(each, ()) for each in self.answer.candidates)
            return
        moved = self.answer.stage_before != self.answer.stage_after
        facts = after_move(self.facts, self.answer.stage_after) if moved else self.facts
        for rule in self.strategy.rules.get(self.answer.stage_after, ()):
            seen = self._condition(rule.when, facts)
            below = (seen, ExplainNode(f"because: {rule.because}"))
            if rule.id in judged:
                yield self._candidate(judged[rule.id], below)
            elif evaluate(rule.when, facts) is True:
                yield ExplainNode(f"rule {rule.id} ({rule.purpose}): {self._unheard(rule)}", "no", below)
            else:
                why = "unknown" if seen.mark == "unknown" else "does not match"
                yield ExplainNode(f"rule {rule.id} ({rule.purpose}): {why}", seen.mark, below)

    def _unheard(self, rule: Rule) -> str:
        if rule.valid_from is not None and self.on < rule.valid_from:
            return f"matches, but begins on {rule.valid_from}"
        if rule.valid_until is not None and self.on > rule.valid_until:
            return f"matches, but ended on {rule.valid_until}"
        if rule.on:
            return f"matches, but listens only to {', '.join(sorted(rule.on))}"
        return "matches, but waits for the next sweep"

    def _candidate(self, judged: CandidateJudged, below: Iterable[ExplainNode]) -> ExplainNode:
        note = f" ({judged.note})" if judged.note else ""
        mark: Mark = "ok" if judged.state in _GOES else "note" if judged.state == "not_reached" else "no"
        acts = tuple(draw_act(act) for act in judged.acts)
        label = f"rule {judged.rule} ({judged.purpose}): {_STATE[judged.state]}{note}"
        return ExplainNode(label, mark, (*below, *acts))

    def _result(self) -> Iterator[ExplainNode]:
        answer = self.answer
        if answer.rule is not None:
            before = [each for each in answer.candidates if each.purpose == "collect"]
            place = [each.rule for each in before].index(answer.rule)
            passed = ", ".join(each.rule for each in before[:place])
            why = f"the rules before it could not: {passed}" if passed else "the first rule that matched may go"
            yield ExplainNode(f"{answer.rule} wins: {why}", "ok")
        if answer.covered_by is not None:
            yield ExplainNode(f"loan {self._name(answer.covered_by)} speaks for this loan")
        for contact in answer.contacts:
            covers = ", ".join(self._name(loan) for loan in contact.covers)
            also = f", also for loan {covers}" if covers else ""
            to = f"{contact.channel} `{contact.name}` to {contact.role} {contact.person}"
            yield ExplainNode(f"planned: {to}, {moment(contact.not_before)} to {moment(contact.expires)}{also}", "ok")
        if answer.next_look is not None:
            yield ExplainNode(f"could go from {moment(answer.next_look)}; the sweeps until then look again")

    def _name(self, loan: int) -> str:
        return self.names.get(loan, str(loan))
