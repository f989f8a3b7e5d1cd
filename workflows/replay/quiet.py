"""A loan that nothing matched, derived again from its facts alone."""

import json
from datetime import date, datetime
from typing import Any

from engine.decision import LoanDecision
from engine.gate import Ask, Gate, Reason, Source, Verdict
from engine.matching import Matcher
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Loan, Person, Situation


class QuietAgain:
    """Decides about loans of which only the facts are known. What would need more comes out as a difference."""

    def __init__(self, rulebook: Rulebook, matcher: Matcher) -> None:
        self._rulebook = rulebook
        self._matcher = matcher

    def decide(self, row: dict[str, Any], now: datetime) -> LoanDecision | None:
        """The decision about the loan of a row of the log; None where its facts or its stage cannot be read."""
        try:
            facts = dict(json.loads(row["facts_json"]))
            on: date = row["on_on"]
            nobody = Person(0, (), (), "")
            loan = Loan(row["loan_id"], "", facts.get("stage", row["stage_before"]), 0, facts)
            situation = Situation(nobody, (loan,), {}, on)
            return decide(situation, self._rulebook, _NOBODY_TO_ASK, now, self._matcher).loans[0]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None


class _Unasked(Gate):
    """Refuses: there is nothing to tell the gate about."""

    @property
    def digest(self) -> str:
        return ""

    @property
    def sources(self) -> tuple[Source, ...]:
        return ()

    def check(self, ask: Ask, now: datetime) -> Verdict:  # noqa: ARG002
        return _REFUSED


_REFUSED = Verdict("deny", (Reason("replay.nothing_seen", "deny", "", "Nothing was kept of what was seen."),))
_NOBODY_TO_ASK = _Unasked()
