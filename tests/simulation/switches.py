"""Invariant 4, of what stops everything: the switch of all sending, the brake after a sweep, and a sweep that is not over."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from tests.simulation.records import Records, Violation

_HALF_SECOND = 500_000
_ON_THEIR_WAY = 500_000
"""What was offered to the provider before may take so long to get there."""


def switched_off(records: Records) -> Iterator[Violation]:
    """While sending is off, or the brake on, nothing is committed as `sending`; what was committed leaves within half a second."""
    stretches = {"sending was off": _stretches(records, "sending"), "the brake was on": _stretches(records, "brake")}
    for contact in records.outgoing:
        for _, moment in records.acts(contact["id"], "sending"):
            for why, found in stretches.items():
                if any(since < moment < until for since, until in found):
                    yield Violation("4", f"contact {contact['id']}", f"was let out while {why}")
    for one in records.handed or ():
        if one.off_us is not None and one.off_us > _HALF_SECOND + _ON_THEIR_WAY:
            seconds = one.off_us / 1_000_000
            yield Violation("4", f"contact {one.contact}", f"left {seconds:.1f} seconds after sending was switched off")


def sweeps(records: Records) -> Iterator[Violation]:
    """What a sweep planned leaves when it, or the one that took its place, is over; and it brakes where it planned too much."""
    swept = {run["id"] for run in records["run"] if run["kind"] == "sweep"}
    ended = [(place, run) for place, run in records.ended if run in swept]
    places = [place for place, _ in ended]
    for contact in records.outgoing:
        if contact["run_id"] not in swept or not places:
            continue
        for _, moment in records.acts(contact["id"], "sending"):
            if not any(run >= contact["run_id"] for _, run in ended[: bisect_right(places, moment)]):
                yield Violation("4", f"contact {contact['id']}", f"left before sweep {contact['run_id']} was over")
    if records.told is None:
        return
    planned: dict[int, int] = {}
    for contact in records["contact"]:
        if contact["rule"] is not None:
            planned[contact["run_id"]] = planned.get(contact["run_id"], 0) + 1
    braked = [place for place, name, value in records.switched if name == "brake" and value is not None]
    for place, run in ended:
        # Fewer loans count than there are, and more contacts: what waited from before does as well.
        over = planned.get(run, 0) > records.told.share_max * len(records["loan"])
        if over and not _near(braked, place) and run not in {other for at, other in ended if at > place}:
            what = f"planned {planned[run]} contacts for {len(records['loan'])} loans, and nobody had to look"
            yield Violation("4", f"sweep {run}", what)


def _near(places: Sequence[int], place: int) -> bool:
    """Whether one was in the same transaction."""
    return any(abs(one - place) <= 3 for one in places)


def _stretches(records: Records, name: str) -> list[tuple[int, int]]:
    """From when to when it stopped everything, in the order of everything."""
    found, since = [], None
    for place, which, value in records.switched:
        if which != name:
            continue
        stops = value is not None if name == "brake" else value != "on"
        if stops and since is None:
            since = place
        elif not stops and since is not None:
            found.append((since, place))
            since = None
    return found
