"""What is not known means no contact; it also means that somebody has to find out."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from engine.gate import UNKNOWN, Verdict

log = logging.getLogger(__name__)

PREFIX: Final = "unknown."
"""How counts of what is not known are named in the counts of a run or a dispatch: `unknown.zone`."""


def unknowns(verdicts: Iterable[Verdict | None]) -> Counter[str]:
    """What was not known, each kind once however many were asked: `unknown.zone` -> 1."""
    rules = {reason.rule for verdict in verdicts if verdict is not None for reason in verdict.reasons}
    return unknown_rules(rules)


def unknown_rules(rules: Iterable[str]) -> Counter[str]:
    """The same of the ids of rules that spoke."""
    return Counter(PREFIX + rule.removeprefix(UNKNOWN) for rule in rules if rule.startswith(UNKNOWN))


def alert_unknown(counts: Mapping[str, int], **ids: object) -> None:
    """
    Raise an alert for each kind of thing that was not known.

    Args:
        counts: of a run or a dispatch; names that do not begin with `unknown.` are left out.
        ids: what it was found in, e.g. run=7.
    """
    for name, count in sorted(counts.items()):
        if name.startswith(PREFIX) and count:
            kind = name.removeprefix(PREFIX)
            extra = {"action": "alert", "unknown": kind, "count": count, **ids}
            log.warning("nobody was contacted because something is not known", extra=extra)
