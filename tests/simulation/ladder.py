"""Stages: every loan's changes form one legal chain, each duty has its evidence, visits and filings their notice."""

from collections.abc import Iterator
from datetime import timedelta

from tests.simulation.money import overdue
from tests.simulation.records import MADE, Records, Row, Violation, grouped, stamp

_LADDER = ("current", "reminded", "phone", "field_visit", "legal")
_NOTICE = {
    # stage -> (kind of notice, days in force by the loan's currency), from the strategies' sentences
    "field_visit": ("visit_notice", {"CNY": 3, "USD": 3}),
    "legal": ("prelegal_notice", {"CNY": 14, "USD": 30}),
}
_TOLERANCE_MINOR = 100
_STOPS_ESCALATION = ("dispute", "cease", "bankruptcy", "deceased", "hardship", "moratorium", "manual")


def chains(records: Records) -> Iterator[Violation]:
    """From `current` on each change starts where the last one ended, and the loan stands where its history ends."""
    for loan in records["loan"]:
        stage, then = "current", 0
        changes = records.changes.get(loan["id"], [])
        for n, change in enumerate(changes, start=1):
            if change["entry"] != n:
                yield _wrong(change, f"is entry {change['entry']}, the one before was {n - 1}")
            if change["source"] != stage:
                yield _wrong(change, f"starts from {change['source']}, the loan was in {stage}")
            if change["at"] < then - records.apart:
                yield _wrong(change, "happened before the one before it")
            if not _is_edge(change["source"], change["target"]) and not change["cause"].startswith("entry:"):
                yield _wrong(change, "is no move that there is")
            stage, then = change["target"], change["at"]
        if loan["stage"] != stage or loan["stage_entry"] != len(changes):
            seen = f"says stage {loan['stage']} entry {loan['stage_entry']}, its history {stage} {len(changes)}"
            yield Violation("stages", f"loan {loan['id']}", seen)


def _is_edge(source: str, target: str) -> bool:
    if source == "closed":
        return target == "current"
    return source != target


def duties(records: Records) -> Iterator[Violation]:
    """Nobody is visited, sued or moved there without a notice in force; nobody is moved up while a hold stands."""
    notices, holds = grouped(records["notice"], "loan_id"), grouped(records["hold"], "loan_id")
    for change in records["stage_change"]:
        if change["cause"].startswith("entry:"):
            # Imported evidence or a reason why there is none: `entry:` rules take a live book as it is.
            yield from _entered(change, notices.get(change["loan_id"], []))
            continue
        if change["target"] == "current" and change["source"] != "closed":
            yield from _cured(records, change)
        if not _is_forward(change):
            continue
        for hold in holds.get(change["loan_id"], ()):
            ended = hold["ends_at"] is not None and hold["ends_at"] <= change["at"]
            came_first = records.moment("hold", hold) < records.moment("stage_change", change)
            if hold["kind"] in _STOPS_ESCALATION and came_first and not ended:
                yield _wrong(change, f"a {hold['kind']} hold stood since {stamp(hold['recorded_at'])}")
        if change["target"] in _NOTICE:
            kind, days = _NOTICE[change["target"]]
            wanted = days[records.loans[change["loan_id"]]["currency"]]
            if not _in_force(notices.get(change["loan_id"], []), kind, wanted, change["on_on"], change["at"]):
                yield _wrong(change, f"without a {kind} in force for {wanted} days")
    yield from _acts(records, notices)
    yield from _failed_notices(records)


def _is_forward(change: Row) -> bool:
    if "closed" in (change["source"], change["target"]):
        return False
    return _LADDER.index(change["target"]) > _LADDER.index(change["source"])


def _entered(change: Row, notices: list[Row]) -> Iterator[Violation]:
    if change["target"] not in _NOTICE:
        return
    kind, _ = _NOTICE[change["target"]]
    if not change["reason"] and not any(row["kind"] == kind for row in notices):
        yield _wrong(change, f"entered without imported evidence of a {kind}, and does not say so")


def _cured(records: Records, change: Row) -> Iterator[Violation]:
    owed = overdue(records, change["loan_id"], change["on_on"], records.moment("stage_change", change))
    # What falls due on that very day is owed and not late: a card's core system counts it with none past due.
    if owed is None or (owed[0] > 0 and owed[1] > _TOLERANCE_MINOR):
        yield _wrong(change, f"is a cure, and {owed} was overdue")


def _in_force(notices: list[Row], kind: str, days: int, on: object, at: int) -> bool:
    return any(
        row["kind"] == kind
        and row["recorded_at"] <= at
        and row["effective_on"] + timedelta(days=days) <= on
        and (row["voided_at"] is None or row["voided_at"] > at)
        for row in notices
    )


def _acts(records: Records, notices: dict[int, list[Row]]) -> Iterator[Violation]:
    for contact in records["contact"]:
        if contact["direction"] != "out" or contact["status"] not in MADE:
            continue
        filing = contact["channel"] == "legal" and contact["purpose"] == "collect"
        if not filing and (contact["channel"] != "visit" or contact["purpose"] != "collect"):
            continue
        kind, days = ("prelegal_notice", 14) if filing else ("visit_notice", 3)
        known = notices.get(contact["loan_id"], [])
        for at, moment in {*records.acts(contact["id"], "sending"), (contact["at"], records.last_moment(contact))}:
            if not _in_force(known, kind, days, records.on(contact["person_id"], at, moment), at):
                what = f"{contact['channel']} at {stamp(at)} without a {kind} in force for {days} days"
                yield Violation("stages", f"contact {contact['id']} (rule {contact['rule']})", what)


def _failed_notices(records: Records) -> Iterator[Violation]:
    for notice in records["notice"]:
        contact = records.contacts.get(notice["contact_id"])
        if contact is not None and contact["status"] in ("failed", "cancelled", "expired") and not notice["voided_at"]:
            what = f"{notice['kind']} still counts as served, its {contact['channel']} {contact['id']} {contact['outcome']}"
            yield Violation("stages", f"loan {notice['loan_id']}", what)


def _wrong(change: Row, what: str) -> Violation:
    move = f"{change['source']} -> {change['target']} ({change['cause']}, {stamp(change['at'])})"
    return Violation("stages", f"loan {change['loan_id']} {move}", what)
