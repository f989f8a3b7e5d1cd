"""Invariant 4: what forbids a contact and was committed before its `sending` commit stops it."""

import json
from collections.abc import Iterator
from typing import NamedTuple

from tests.simulation.money import overdue
from tests.simulation.records import MADE, Records, Row, Violation, grouped, is_message, stamp

_MONEY = ("collect", "discount_offer", "request_consent", "location")
_STOP_MONEY = (
    "dispute", "cease", "refusal_to_pay", "attorney", "bankruptcy", "deceased", "hardship", "vulnerable", "moratorium",
    "instalment_agreement", "mental_capacity", "fraud", "investigation", "manual",
)  # fmt: skip
_STOP_NOTICES = ("cease", "deceased", "bankruptcy", "fraud", "investigation", "manual")
_REFUSALS = ("opt_out", "no_medium", "no_endpoint", "no_contact")
_REFUSAL_RULES = ("house.default.refusals", "us.tcpa.revoke", "cn.cba2026.refusals", "cn.gbt45251.refusals")
_PROMISE_BLOCKS = {"CNY": ("sms", "email", "call", "visit", "legal"), "USD": ("sms", "email", "call")}
_DEATHS = ("not_in_service", "wrong_number", "moved_away", "returned")


def stopping(records: Records) -> Iterator[Violation]:
    """Every contact that was made, at every instant it was: when it left us, and for a task also when it was worked."""
    holds, consents = grouped(records["hold"], "person_id"), grouped(records["consent"], "person_id")
    by_loan, promises = grouped(records["hold"], "loan_id"), grouped(records["promise"], "loan_id")
    deaths = _deaths(records)
    for contact in records["contact"]:
        if contact["direction"] != "out" or contact["status"] not in MADE:
            continue
        loan = contact["loan_id"]
        standing = {row["id"]: row for row in (*holds.get(contact["person_id"], ()), *by_loan.get(loan, ()))}
        for act in _acts(records, contact):
            found = (
                *_paid(records, contact, act),
                *_held(records, contact, list(standing.values()), act),
                *_refused(records, contact, consents.get(contact["person_id"], []), act),
                *_promised(records, contact, promises.get(loan, []), act),
                *_moved(records, contact, act),
                *_dead(contact, deaths, act.moment),
            )
            for why in found:
                what = f"{contact['channel']} at {stamp(act.at)} although {why}"
                yield Violation("4", f"contact {contact['id']} (rule {contact['rule']})", what)


class _Act(NamedTuple):
    """When a contact was made, by the clock of whoever made it, and where that stands in the order of everything."""

    at: int
    moment: int


def _acts(records: Records, contact: Row) -> list[_Act]:
    statuses = ("sending",) if is_message(contact) else ("sending", "delivered", "failed")
    return [_Act(*act) for act in sorted(set(records.acts(contact["id"], *statuses)))]


def _paid(records: Records, contact: Row, act: _Act) -> Iterator[str]:
    if contact["purpose"] not in _MONEY:
        return
    on = records.on(contact["person_id"], act.at, act.moment)
    owed = overdue(records, contact["loan_id"], on, act.moment - 1)
    if owed is None or owed[1] <= 0:
        yield f"nothing of loan {contact['loan_id']} was overdue"


def _held(records: Records, contact: Row, holds: list[Row], act: _Act) -> Iterator[str]:
    kinds = _STOP_MONEY if contact["purpose"] in _MONEY else ()
    kinds = _STOP_NOTICES if contact["purpose"] == "required_notice" else kinds
    for hold in holds:
        stands = hold["starts_at"] <= act.at and (hold["ends_at"] is None or act.at < hold["ends_at"])
        about = hold["loan_id"] in (None, contact["loan_id"])
        blocks = not hold["blocks"] or contact["channel"] in hold["blocks"].split()
        if hold["kind"] in kinds and stands and about and blocks and records.moment("hold", hold) < act.moment:
            yield f"a {hold['kind']} hold stood since {stamp(hold['recorded_at'])}"


def reopened(records: Records) -> Iterator[Violation]:
    """Nothing is held back or called off for a refusal that the person has taken back since: a START after a STOP opens."""
    consents = grouped(records["consent"], "person_id")
    for contact, act, why in (*_called_off(records), *_held_back(records)):
        if contact["channel"] in ("sms", "email") and any(rule in why for rule in _REFUSAL_RULES):
            said = consents.get(contact["person_id"], [])
            if not [*_refused(records, contact, said, act, act.at)]:
                what = f"{contact['channel']} refused at {stamp(act.at)} ({why}), although no refusal stood"
                yield Violation("4", f"loan {contact['loan_id']}, person {contact['person_id']}", what)


def _called_off(records: Records) -> Iterator[tuple[Row, "_Act", str]]:
    for contact in records.outgoing:
        for row in records.statuses.get(contact["id"], ()):
            if row["status"] == "cancelled":
                yield contact, _Act(row["at"], records.moment("contact_status", row)), row["why"]


def _held_back(records: Records) -> Iterator[tuple[Row, "_Act", str]]:
    for row in records.decisions("run_id, loan_id, now_at, reasons, trace_json"):
        if not any(rule in row["reasons"] for rule in _REFUSAL_RULES):
            continue
        act = _Act(row["now_at"], records.moment("decision", row))
        for candidate in json.loads(row["trace_json"])["candidates"]:
            for judged in candidate.get("acts", ()):
                asked = {
                    "loan_id": row["loan_id"], "person_id": judged["person"], "endpoint_id": judged["endpoint"],
                    "channel": judged["channel"], "purpose": candidate["purpose"],
                }  # fmt: skip
                yield (
                    asked,
                    act,
                    " ".join(reason["rule"] for reason in (judged.get("verdict") or {}).get("reasons", ())),
                )


def _reopens(said: Row) -> bool:
    return said["kind"] == "opt_in" or (said["kind"] == "consent" and said["scope"] in ("", "electronic"))


def _refused(
    records: Records, contact: Row, consents: list[Row], act: _Act, by_stamp: int | None = None
) -> Iterator[str]:
    """What the person had refused and not taken back; `by_stamp`: what is stamped later than that takes nothing back yet."""
    country = records.people[contact["person_id"]]["country"]
    # The US telephone statute knows no exception for notices; house rules and the Chinese standard do.
    strict = country == "US" and contact["channel"] in ("sms", "call")
    if contact["purpose"] in ("reply", "opt_out_confirmation") or contact["channel"] == "legal":
        # An answer was asked for; and papers in a queue of ours reach nobody.
        return
    if contact["purpose"] in ("required_notice", "legally_required") and not strict:
        return
    for said in consents:
        came = records.moment("consent", said)
        if said["kind"] not in _REFUSALS or came >= act.moment or not _covers(said, contact):
            continue
        if said["scope"] not in ("", "electronic") or (said["scope"] and contact["channel"] not in ("sms", "email")):
            continue
        if said["until_at"] is not None and said["until_at"] <= act.at:
            continue
        reopened = any(
            came < records.moment("consent", later) < act.moment
            and (by_stamp is None or later["received_at"] <= by_stamp)
            for later in consents
            if _reopens(later) and _covers(later, contact)
        )
        if not reopened:
            yield f"the person had said {said['kind']} at {stamp(said['received_at'])}"


def _covers(said: Row, contact: Row) -> bool:
    return (
        (not said["channels"] or contact["channel"] in said["channels"].split())
        and (not said["purposes"] or contact["purpose"] in said["purposes"].split())
        and said["endpoint_id"] in (None, contact["endpoint_id"])
    )


def _promised(records: Records, contact: Row, promises: list[Row], act: _Act) -> Iterator[str]:
    loan = records.loans[contact["loan_id"]]
    if contact["purpose"] not in _MONEY or contact["channel"] not in _PROMISE_BLOCKS[loan["currency"]]:
        return
    today = records.on(contact["person_id"], act.at, act.moment)
    for promise in promises:
        if records.moment("promise", promise) < act.moment and (
            promise["settled_on"] is None or promise["settled_on"] > today
        ):
            yield f"a promise of {stamp(promise['made_at'])} was open"


def _moved(records: Records, contact: Row, act: _Act) -> Iterator[str]:
    if contact["rule"] is None:
        return
    changes = records.changes.get(contact["loan_id"], [])
    # A change at the very instant may have come just after.
    seen = [(row["entry"], records.moment("stage_change", row)) for row in changes]
    stood = {max((entry for entry, came in seen if came < until), default=0) for until in (act.moment, act.moment + 1)}
    if contact["stage_entry"] not in stood:
        yield f"the loan was in stage entry {max(stood)}, not {contact['stage_entry']} any more"


def _deaths(records: Records) -> dict[int, int]:
    died: dict[int, int] = {}
    for contact in records["contact"]:
        endpoint = contact["endpoint_id"]
        if endpoint is not None and contact["outcome"] in _DEATHS:
            found = records.acts(contact["id"], "delivered", "failed")
            moment = max((moment for _, moment in found), default=contact["at"])
            died[endpoint] = min(moment, died.get(endpoint, moment))
    return died


def _dead(contact: Row, deaths: dict[int, int], moment: int) -> Iterator[str]:
    died = deaths.get(contact["endpoint_id"])
    if died is not None and died < moment:
        yield "that number or address had been found dead"
