"""Until when a message that is allowed now may still arrive: how long it takes to its provider, and how long that may hold it back."""

from datetime import datetime, timedelta
from typing import Final

from engine.gate import Ask, Gate

LEAVES_WITHIN: Final = timedelta(minutes=1)
"""So long after its look, at most, a message is with its provider: above `LOOK_TO_SEND_MAX` and the turn at a sender number."""
_HALF_HOUR: Final = timedelta(minutes=30)
_FINE: Final = timedelta(minutes=1)


def held_until(gate: Gate, ask: Ask, now: datetime, end: datetime) -> datetime:
    """
    Until when an act that is allowed now stays so, to the minute, if nothing else happens; never later than allowed.

    The gate is asked on each half hour, where hours begin and end, and then by halves. What is closed for less than that
    between two of them is not seen.

    Args:
        end: not looked beyond.
    """
    at = now
    half = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    while at < end:
        half += _HALF_HOUR
        allowed, at = at, min(half, end)
        if gate.check(ask, at).outcome != "allow":
            return _last_allowed(gate, ask, allowed, at)
    return at


def _last_allowed(gate: Gate, ask: Ask, allowed: datetime, refused: datetime) -> datetime:
    # Most hours end on a half hour.
    if refused - allowed > _FINE and gate.check(ask, refused - _FINE).outcome == "allow":
        return refused - _FINE
    while refused - allowed > _FINE:
        middle = allowed + (refused - allowed) / 2
        if gate.check(ask, middle).outcome == "allow":
            allowed = middle
        else:
            refused = middle
    return allowed
