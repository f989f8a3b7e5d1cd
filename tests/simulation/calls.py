"""Invariant 2, of recorded calls: in the United States each needs a consent to be called by a recording."""

from collections.abc import Iterator

from tests.simulation.records import MADE, Records, Row, Violation, grouped, is_message, stamp

_REFUSALS = ("opt_out", "no_medium", "no_endpoint", "no_contact")
_GIVEN_WITH_THE_NUMBER = ("contract", "direct_consent", "text_from_consumer", "used_by_consumer_with_collector")
"""How a number may have come to us so that it may be called by a machine: 47 CFR 64.1200(a)(1)."""


def recorded_calls(records: Records) -> Iterator[Violation]:
    """Every recorded call that was made, at every moment it was let out."""
    consents = grouped(records["consent"], "person_id")
    for contact in records.outgoing:
        if contact["channel"] != "call" or not is_message(contact) or contact["status"] not in MADE:
            continue
        if records.endpoints[contact["endpoint_id"]]["basis"] in _GIVEN_WITH_THE_NUMBER:
            continue
        said = consents.get(contact["person_id"], [])
        for at, moment in records.acts(contact["id"], "sending"):
            if not any(_agreed(records, one, said, contact, at, moment) for one in said):
                what = f"a recording called at {stamp(at)} without consent to such calls"
                yield Violation("2", f"contact {contact['id']} (rule {contact['rule']})", what)


def _agreed(records: Records, one: Row, said: list[Row], contact: Row, at: int, moment: int) -> bool:
    came = records.moment("consent", one)
    stands = came < moment and (one["until_at"] is None or at < one["until_at"])
    if (one["kind"], one["scope"]) != ("consent", "prerecorded") or not stands or not _covers(one, contact):
        return False
    return not any(
        later["kind"] in _REFUSALS
        and later["scope"] in ("", "prerecorded")
        and came < records.moment("consent", later) < moment
        and _covers(later, contact)
        for later in said
    )


def _covers(said: Row, contact: Row) -> bool:
    return (
        (not said["channels"] or "call" in said["channels"].split())
        and (not said["purposes"] or contact["purpose"] in said["purposes"].split())
        and said["endpoint_id"] in (None, contact["endpoint_id"])
    )
