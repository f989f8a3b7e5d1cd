"""What may be posted: the words of the rest of Duecourse, and nothing that could mean two things."""

import json
from typing import get_args

import pytest
from pydantic import ValidationError

from duecourse.web.event_models import EVENT, Channel, HoldKind, MovementKind
from engine.gate import CHANNELS, HOLDS
from store.ledger_checks import KINDS
from workflows.inbox.posting import Money

PAYMENT = {"event": "payment", "ref": "P-1", "loan": "CN-1", "amount": "500.00", "effective_on": "2026-03-02"}
HOLD = {
    "event": "hold", "ref": "H-1", "person": "C1", "kind": "dispute", "owner": "mei", "review_on": "2026-03-09",
    "starts_at": "2026-03-02T09:00:00+08:00",
}  # fmt: skip


def read(**changes: object) -> object:
    given = {**PAYMENT, **changes}
    return EVENT.validate_json(json.dumps({name: value for name, value in given.items() if value is not ...}))


def test_the_words_are_those_of_the_book() -> None:
    """A kind, a hold or a channel that is added elsewhere is added here as well."""
    assert set(get_args(MovementKind)) == KINDS
    assert get_args(HoldKind) == HOLDS
    assert get_args(Channel) == CHANNELS


def test_a_payment_is_read() -> None:
    """With what is left out as it is meant."""
    event = read()
    assert event.source == "core"  # type: ignore[attr-defined]
    told = event.told()  # type: ignore[attr-defined]
    assert isinstance(told, Money)
    assert (told.kind, told.amount, told.recorded_at, told.ends) == ("payment", "500.00", None, None)
    assert EVENT.validate_json(json.dumps(HOLD)).told().ref == "H-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 500}, {"amount": 500.0}, {"amount": "-5"}, {"amount": "1e3"}, {"amount": "1,000"}, {"amount": " 5"},
        {"amount": "5\n"}, {"amount": "١٢"}, {"effective_on": 20260302}, {"effective_on": "2026-3-2"},
        {"effective_on": "2026-03-02T00:00:00"}, {"effective_on": "1066-10-14"}, {"recorded_at": "2026-03-02T09:00:00"},
        {"recorded_at": 1772413200}, {"event": "refund"}, {"event": ...}, {"loan": ...}, {"loan": ""}, {"loan": " L"},
        {"loan": "L\u0000"}, {"loan": "L" * 101}, {"loan": 7}, {"loan": None}, {"source": "Core System"}, {"source": ""},
        {"extra": 1}, {"amount": ["5"]}, {"made_at": "2026-03-02T09:00:00Z"},
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_refused(changes: dict[str, object]) -> None:
    """Numbers for amounts and days, instants without a zone, other digits, spaces, NUL, unknown fields and kinds."""
    with pytest.raises(ValidationError):
        read(**changes)
