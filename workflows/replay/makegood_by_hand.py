"""What a person did and the gate had let, asked about again with what is known by now."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engine.decision import ByHand
from engine.gate import Ask, Gate, Verdict
from engine.situation import Situation
from store.columns import from_us
from store.snapshots import Seen
from workflows.desk.asking import asked_anew

BOOK_NOT_KEPT: Final = "what was read for a contact by hand was not kept"
"""By a former version, which kept the questions alone: what is known by now cannot be put into them."""


def asked_by_now(seen: Seen, situation: Situation | None) -> list[Ask | None]:
    """
    The questions about an act of a person with what is known by now, in their order; of one that cannot be put any more None.

    Args:
        situation: in hindsight; None: nothing is known by now that was not known then.
    """
    return [asked if situation is None else asked_anew(asked, situation) for asked in seen.asks or ()]


def let_then_not_now(
    asked: ByHand, contact: Mapping[str, Any], seen: Seen, anew: Sequence[Ask | None], gate: Gate
) -> bool:
    """
    Whether the gate let a contact by hand and would not, by these questions.

    One that was told of, and refused even then, is not made worse by what was learnt: it stands in the log, with an alert.

    Args:
        contact: its row, with `endpoint_id` and `at`.
    """
    left_at = from_us(contact["at"])
    ends = [one.endpoint.id if one.endpoint is not None else None for one in seen.asks or ()]
    # Several numbers may have been asked about: the one that was used counts, where it is known.
    used = [number for number, endpoint in enumerate(ends) if endpoint == contact["endpoint_id"]] or range(len(ends))
    then = [asked.acts[number].verdict for number in used]
    by_now = [gate.check(one, seen.at) if (one := anew[number]) is not None else None for number in used]
    return _let(asked, then, left_at) and not _let(asked, by_now, left_at)


def _let(asked: ByHand, verdicts: Sequence[Verdict | None], left_at: datetime) -> bool:
    """Whether one of these lets the contact: at once, or a message by the time that it left."""
    return any(
        one is not None
        and (
            one.outcome == "allow"
            or (asked.what == "send" and one.outcome == "defer" and one.until is not None and one.until <= left_at)
        )
        for one in verdicts
    )
