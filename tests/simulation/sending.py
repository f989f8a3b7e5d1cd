"""Invariant 3: nothing is sent that was not logged first; nothing is sent twice; nothing in doubt is resent."""

import json
from collections import Counter
from collections.abc import Iterator

from tests.simulation.records import DROPPED, MADE, Records, Row, Violation, grouped, is_message, stamp

_NEXT = {
    None: {"planned"},
    "planned": {"planned", "sending", "cancelled", "expired"},
    "sending": {"sent", "failed", "unknown", "planned"},
    "sent": {"sent", "delivered", "failed"},
    "unknown": {"unknown", "sent", "delivered", "failed"},
    "delivered": {"delivered"},
    "failed": {"failed"},
    "cancelled": set(),
    "expired": set(),
}
"""By what a contact may be followed; the same word twice is a note, of late news or of who took a task."""
_QUEUED = {"cancelled", "expired", "unknown"}
"""A task that is `sent` has only reached its queue, and can still be called off."""


def histories(records: Records) -> Iterator[Violation]:
    """Every contact's history is one that can be, starts with its plan, and ends where the contact says it stands."""
    for contact in records.outgoing:
        rows = records.statuses.get(contact["id"], [])
        last, then = None, 0
        for row in rows:
            queued = last == "sent" and not is_message(contact)
            if row["status"] not in _NEXT[last] | (_QUEUED if queued else set()):
                yield _wrong(contact, f"went from {last} to {row['status']} at {stamp(row['at'])}")
            if row["at"] < then - records.apart:
                yield _wrong(contact, f"became {row['status']} at {stamp(row['at'])}, before it became {last}")
            last, then = row["status"], row["at"]
        if last != contact["status"] and (last, contact["status"]) != ("planned", "claimed"):
            yield _wrong(contact, f"says {contact['status']}, its history ends with {last}")
        if contact["status"] in MADE and not records.times(contact["id"], "sending"):
            yield _wrong(contact, f"is {contact['status']} and was never logged as `sending`")


def logged_first(records: Records) -> Iterator[Violation]:
    """Every contact that a rule called for stands in the decision of its run and loan, made no later than it was planned."""
    query = "run_id, loan_id, now_at, trace_json from decision where (run_id, loan_id) in (select run_id, loan_id from contact)"
    decided: dict[tuple[int, int], tuple[int, Counter[tuple[object, ...]]]] = {}
    for row in records.connection.execute(f"select {query}"):
        planned = json.loads(row["trace_json"])["contacts"]
        decided[row["run_id"], row["loan_id"]] = row["now_at"], Counter(_key(c, "person") for c in planned)
    for contact in records["contact"]:
        if contact["rule"] is None:
            if contact["direction"] == "out" and contact["by"] == "lender":
                yield _wrong(contact, "no rule called for it and no person made it")
            continue
        found = decided.get((contact["run_id"], contact["loan_id"]))
        if found is None:
            yield _wrong(contact, f"run {contact['run_id']} logged no decision about loan {contact['loan_id']}")
            continue
        at, keys = found
        if not keys[_key(contact, "person_id")]:
            yield _wrong(contact, f"the decision of run {contact['run_id']} does not name rule {contact['rule']}")
        elif at > min(row["at"] for row in records.statuses.get(contact["id"], [{"at": at}])) + records.apart:
            yield _wrong(contact, f"was decided at {stamp(at)}, after it was planned")


def _key(contact: Row, person: str) -> tuple[object, ...]:
    return contact["rule"], contact[person], contact["channel"], contact["name"], contact["stage_entry"]


def once(records: Records) -> Iterator[Violation]:
    """No slot twice, and nothing that looks like the same thing twice under two slots."""
    for slot, rows in grouped(records["contact"], "slot").items():
        if len(rows) > 1:
            yield Violation("3", f"slot {slot}", f"is used by {', '.join(sorted(row['id'] for row in rows))}")
    kept = [row for row in records["contact"] if row["status"] not in DROPPED and row["rule"] is not None]
    same: dict[tuple[object, ...], list[str]] = {}
    for row in kept:
        on = records.on(row["person_id"], row["at"], records.last_moment(row))
        same.setdefault((row["loan_id"], row["person_id"], row["channel"], row["rule"], on), []).append(row["id"])
    for (loan, _, channel, rule, on), ids in same.items():
        if len(ids) > 1:
            yield Violation("3", f"loan {loan}", f"rule {rule} by {channel} twice on {on}: {', '.join(sorted(ids))}")


def providers(records: Records) -> Iterator[Violation]:
    """What the stand-ins took is what the database says was sent: each once, each committed as `sending` before."""
    if records.handed is None:
        return
    taken = Counter(handed.contact for handed in records.handed)
    for handed in records.handed:
        contact = records.contacts.get(handed.contact)
        if contact is None:
            yield Violation(
                "3", f"message {handed.contact}", f"reached the {handed.channel} provider, nobody planned it"
            )
            continue
        # A machine that stood still for longer than a claim lasts, or by whose clock another's claim has lapsed, leaves a
        # doubt that its message may still join; it is in the log all the same, and nobody else sends it.
        if handed.committed not in (("sending",) if records.told is None else ("sending", "unknown")):
            yield _wrong(contact, f"was committed as {handed.committed} when the provider took it, not as sending")
        if handed.to != records.endpoints[contact["endpoint_id"]]["value"]:
            yield _wrong(contact, "went to another number or address than the one it was planned for")
        allowed = {"sending", "sent", "unknown", handed.ended}
        if contact["status"] not in allowed:
            reported = handed.ended or "nothing"
            yield _wrong(contact, f"is {contact['status']}, and the provider took it and reported {reported}")
    for contact_id, times in taken.items():
        if times > 1:
            yield Violation("3", f"contact {contact_id}", f"reached the provider {times} times")
    for contact in records.outgoing:
        if is_message(contact) and contact["status"] in ("sent", "delivered") and not taken[contact["id"]]:
            yield _wrong(contact, f"is {contact['status']}, and no provider took it")


def doubts(records: Records) -> Iterator[Violation]:
    """Where things failed: every doubt has a cause, and nothing is lost between two hands."""
    if records.told is None:
        return
    for contact in records.outgoing:
        if contact["status"] == "unknown" and is_message(contact) and contact["id"] not in records.told.doubted:
            yield _wrong(contact, "is unknown, and nothing had gone wrong with it")
        # Days without trouble are behind it: whatever is under way has come to an end, or is planned for later.
        waits = contact["status"] == "planned" and contact["expires_at"] > records.told.ended - records.told.apart
        if contact["status"] in ("claimed", "sending") or (contact["status"] == "planned" and not waits):
            yield _wrong(contact, f"is still {contact['status']}, for good")


def _wrong(contact: Row, what: str) -> Violation:
    return Violation("3", f"contact {contact['id']} (rule {contact['rule']}, {contact['channel']})", what)
