"""Invariant 5: after each sweep every overdue loan has a contact, a scheduled next look, or a written reason for neither."""

import json
from collections import defaultdict
from collections.abc import Iterator

from tests.simulation.money import overdue
from tests.simulation.records import Records, Row, Violation, stamp

_SPEAKS_FOR_ITSELF = ("nothing", "stale_feed", "no_strategy", "overlap")
"""Outcomes whose name is the reason; the trace beside them holds what was looked at."""


def coverage(records: Records) -> Iterator[Violation]:
    """Arrears counted anew for every loan at every sweep, next to the log."""
    planned: defaultdict[int, set[int]] = defaultdict(set)
    for contact in records["contact"]:
        if contact["run_id"] is not None:
            planned[contact["run_id"]].update(records.debts[contact["id"]] | {contact["loan_id"]})
    runs = {row["id"]: row for row in records["run"] if row["kind"] == "sweep"}
    logged: defaultdict[int, set[int]] = defaultdict(set)
    columns = "run_id, loan_id, on_on, now_at, outcome, covered_by, next_look_at, reasons, facts_json, trace_json"
    for row in records.decisions(columns):
        run = runs.get(row["run_id"])
        if run is None:
            continue
        logged[row["run_id"]].add(row["loan_id"])
        yield from _answers(row, planned[row["run_id"]])
        yield from _true_facts(records, row, run)
    for run in runs.values():
        if run["status"] != "done":
            yield Violation("5", f"run {run['id']}", f"of {stamp(run['now_at'])} is {run['status']}")
        # Whoever pays or moves while it is under way may be found either way.
        begun = records.moment("run", run)
        moments = (begun, records.order.get(("run done", str(run["id"])), begun))
        for loan in records.loans.values():
            owed = [_owed(records, loan, run, moment) for moment in moments]
            if all(one is not None and one[0] > 0 for one in owed) and loan["id"] not in logged[run["id"]]:
                what = f"{owed[0]} days and minor units past due at the sweep of {stamp(run['now_at'])}, and nothing was logged"
                yield Violation("5", f"loan {loan['id']}", what)


def _owed(records: Records, loan: Row, run: Row, moment: int) -> tuple[int, int] | None:
    return overdue(records, loan["id"], records.on(loan["borrower_id"], run["now_at"], moment), moment)


def _answers(row: Row, planned: set[int]) -> Iterator[Violation]:
    outcome = row["outcome"]
    answered = {
        "contact": row["loan_id"] in planned,
        # What yields to another loan of the same person waits for the next sweep.
        "wait": row["next_look_at"] is not None or '"state":"yields"' in row["trace_json"],
        "covered": row["covered_by"] is not None and row["loan_id"] in planned,
        "withheld": bool(row["reasons"]) or _says_why(row),
    }.get(outcome, outcome in _SPEAKS_FOR_ITSELF)
    if not answered:
        what = f"decided `{outcome}` at {stamp(row['now_at'])} with neither contact, next look nor reason"
        yield Violation("5", f"loan {row['loan_id']}", what)


def _says_why(row: Row) -> bool:
    candidates = json.loads(row["trace_json"])["candidates"]
    return bool(candidates) and all(one["state"] for one in candidates)


def _true_facts(records: Records, row: Row, run: Row) -> Iterator[Violation]:
    facts = json.loads(row["facts_json"])
    moment = records.order.get(("decision", f"{row['run_id']}-{row['loan_id']}"), run["known_at"])
    want = _owed(records, records.loans[row["loan_id"]], run, moment)
    have = (facts.get("dpd"), facts.get("overdue_amount"))
    if want is not None and have != want:
        what = f"decided at {stamp(row['now_at'])} on dpd, overdue {have}, the ledger says {want}"
        yield Violation("5", f"loan {row['loan_id']}", what)
