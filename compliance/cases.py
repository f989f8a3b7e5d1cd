"""Cases an officer can read: a situation, an ask, and the answer that the packs must give."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from compliance.case_file import REJECTED, Case, read_cases
from compliance.gate import Gate
from compliance.pack import Pack
from engine.gate import Verdict

TOLERANCE: Final = timedelta(seconds=60)
"""An engine may open at 08:00:00 or 08:00:01."""

_DECISION: Final = {"allow": "allow", "defer": "defer_until", "deny": "deny"}


@dataclass(frozen=True, slots=True)
class CaseResult:
    """
    What became of one case.

    Attributes:
        decision: allow, defer_until or deny; rejected when its overrides are refused; empty when it was skipped, could not
            be read, or asks about days only.
        passed: decision, instant and, where the case names them, reasons are as wanted.
        skipped: why it was not run: it names a pack that is not here; empty otherwise.
        trace: what was wanted and what came, line by line; empty when it passed.
    """

    id: str
    title: str
    decision: str
    until: datetime | None
    reasons: tuple[str, ...]
    passed: bool
    skipped: str = ""
    trace: tuple[str, ...] = ()


def run_cases(text: str, file: str, packs: Iterable[Pack]) -> list[CaseResult]:
    """
    Run every case of a file against the packs it names, and no others.

    Raises:
        RuleError: the file is not a case file at all; a case that cannot be read is a failed case.
    """
    shelf = {pack.id: pack for pack in packs}
    return [_run(case, shelf) for case in read_cases(text, file, shelf)]


def _run(case: Case, shelf: dict[str, Pack]) -> CaseResult:
    if case.problems:
        lines = tuple(line for problem in case.problems for line in str(problem).splitlines())
        return CaseResult(case.id, case.title, "", None, (), passed=False, trace=lines)
    missing = [name for name in case.policy if name not in shelf]
    if missing:
        return CaseResult(case.id, case.title, "", None, (), passed=False, skipped=f"no pack {', '.join(missing)} here")
    if case.rejected:
        passed = REJECTED in case.decisions
        told = tuple(line for problem in case.rejected for line in str(problem).splitlines())
        return CaseResult(case.id, case.title, REJECTED, None, (), passed=passed, trace=() if passed else told)
    packs = [*(shelf[name] for name in case.policy), *([case.overrides] if case.overrides else [])]
    days = case.dated.differences(packs) if case.dated is not None else ()
    if case.ask is None or case.at is None:
        return CaseResult(case.id, case.title, "", None, (), passed=not days, trace=days)
    verdict = Gate(packs).check(case.ask, case.at)
    reasons = tuple(reason.rule for reason in verdict.reasons)
    trace = (*_differences(case, verdict, reasons), *days)
    return CaseResult(
        case.id, case.title, _DECISION[verdict.outcome], verdict.until, reasons, passed=not trace, trace=trace
    )


def _differences(case: Case, verdict: Verdict, reasons: tuple[str, ...]) -> Iterator[str]:
    decision = _DECISION[verdict.outcome]
    until_wrong = (
        decision == "defer_until"
        and bool(case.untils)
        and not any(verdict.until is not None and abs(verdict.until - until) <= TOLERANCE for until in case.untils)
    )
    unnamed = [rule for rule in case.because if rule not in reasons]
    if decision in case.decisions and not until_wrong and not unnamed:
        return
    wanted = " or ".join(case.decisions)
    if case.untils:
        wanted += " until " + " or ".join(until.isoformat() for until in case.untils)
    if case.because:
        wanted += f" because of {', '.join(case.because)}"
    yield f"wanted {wanted}"
    yield f"got    {decision}" + (f" until {verdict.until.isoformat()}" if verdict.until else "")
    for reason in verdict.reasons:
        until = f" until {reason.until.isoformat()}" if reason.until else ""
        yield f"  {reason.rule}: {reason.outcome}{until}; {reason.says} ({reason.citation})"
