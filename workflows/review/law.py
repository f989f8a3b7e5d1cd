"""Which packs were in force when: those that the runs of the time decided by, as they were published."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from compliance.pack import Addressee, Consent, Cooldown, Count, Duty, Holds, Hours, Limit, Pack, Rule, Statements
from store.bulk_arrow import Reader
from workflows.replay.publications import NotAsKept, NotKept, Publications
from workflows.review.gather import Reach

if TYPE_CHECKING:
    pass

CHECKED: Final = (Hours, Count, Cooldown, Statements, Holds, Consent, Addressee, Duty)
"""Kinds of limit that the review counts for itself; the others are about words, which contacts do not tell."""
_DAYS: Final = {"dates": 1, "hours": 1, "weeks": 7, "months": 31}
_DAYS_MIN: Final = 35
_KNOWN_FACTS: Final = frozenset({"product", "prerecorded", "line"})


@dataclass(frozen=True, slots=True)
class Law:
    """
    Some packs, as a gate held them.

    Attributes:
        digest: the gate's. since_us: of the first run of the month by it.
    """

    digest: str
    since_us: int
    packs: tuple[Pack, ...]

    def rules(self) -> Iterator[tuple[Pack, Rule, Limit]]:
        """Every rule that binds and that the review can count."""
        for pack in self.packs:
            for rule in pack.rules:
                if rule.binding and "contact" in rule.scope.acts and isinstance(rule.limit, CHECKED):
                    yield pack, rule, rule.limit


@dataclass(frozen=True, slots=True)
class Laws:
    """
    The packs of a month.

    Attributes:
        all: in the order in which they came into use; never empty.
        unread: what runs decided by and nobody can read any more, and why.
    """

    all: tuple[Law, ...]
    unread: tuple[str, ...] = ()

    def at(self, at_us: int) -> Law:
        """The packs that were in use at an instant; before the first run, those of the first."""
        return self.all[max(bisect_right([law.since_us for law in self.all], at_us) - 1, 0)]

    def rules(self) -> Iterator[tuple[Pack, Rule, Limit]]:
        """Every rule of any of them that is counted, by id; of a rule that changed the latest."""
        latest = {rule.id: (pack, rule, limit) for law in self.all for pack, rule, limit in law.rules()}
        yield from (latest[name] for name in sorted(latest))

    def named(self) -> dict[str, tuple[Pack, Rule]]:
        """Every rule, whatever its kind, by id; of a rule that changed the latest."""
        return {rule.id: (pack, rule) for law in self.all for pack in law.packs for rule in pack.rules}

    @property
    def reach(self) -> Reach:
        """How far back contacts count for any of them."""
        days, ever = _DAYS_MIN, set[str]()
        for _, _, limit in self.rules():
            if not isinstance(limit, Count | Cooldown):
                continue
            selector = limit.counts if isinstance(limit, Count) else limit.after
            for span in spans(limit):
                if span.unit != "ever":
                    length = -(-span.n // 24) if span.unit == "hours" else span.n * _DAYS[span.unit]
                    days = max(days, length + 2)
                elif not selector.purposes:
                    return Reach(days, None)
                else:
                    ever |= selector.purposes
        return Reach(days, frozenset(ever))

    @property
    def asks_facts(self) -> bool:
        """Whether any rule asks about facts that only a decision knows."""
        for pack, rule, limit in self.rules():
            when = pack.when, rule.when, rule.reach.when if rule.reach is not None else None
            selector = (
                limit.counts if isinstance(limit, Count) else limit.after if isinstance(limit, Cooldown) else None
            )
            if any(one is not None for one in when) or not _KNOWN_FACTS.issuperset(rule.scope.given):
                return True
            if selector is not None and selector.since is not None:
                return True
            # Whether a notice is of these arrears, and whom circumstances let address, are facts of the loan.
            if isinstance(limit, Duty) or (isinstance(limit, Addressee) and any(also.given for also in limit.also)):
                return True
        return False


def spans(limit: Count | Cooldown) -> Sequence[Any]:
    """The windows of a limit that counts."""
    return limit.spans if isinstance(limit, Count) else (limit.span,)


def laws_of(reader: Reader, runs: Iterable[tuple[int, str, str, str]], now: Sequence[Pack]) -> Laws:
    """
    The packs of these runs.

    Args:
        runs: instant, strategies, gate digest and engine version of each, by instant.
        now: the packs as they stand; they serve where there is no run, or nothing was kept.
    """
    publications = Publications(reader)
    found: list[Law] = []
    unread: dict[str, None] = {}
    for at_us, strategies, digest, engine in runs:
        if found and found[-1].digest == digest:
            continue
        try:
            gate = publications.of_run(strategies, digest, engine).gate
        except (NotKept, NotAsKept) as error:
            unread[str(error)] = None
            continue
        found.append(Law(digest, at_us, gate.packs))
    return Laws(tuple(found) or (Law("", 0, tuple(now)),), tuple(unread))
