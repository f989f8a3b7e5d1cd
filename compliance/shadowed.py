"""
House rules that never have a say: looser than a rule of law that binds wherever they do.

Limits only ever add up, so such a rule could not loosen anything; but whoever wrote it believes that it does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from compliance.pack import EVERYWHERE, Cooldown, Count, Hours, Pack, Reach, Rule
from compliance.tightening import Loosening, limit_loosened, loosened
from engine.errors import Place, Problem

_KINDS: Final = (Hours, Count, Cooldown)
_LIFTED: Final = "lifted_by"


def shadowed_rules(house: Pack, law: Iterable[Pack]) -> Iterator[Problem]:
    """
    A problem for each rule about hours, counts or pauses that a law beside it makes idle.

    Only where that can be proved: for a pack that names its places, each of them inside the law's, and where the law
    covers every ask that the rule does. A pack that holds everywhere is about the places without a law as well. What the
    law excepts (replies, some addressees) may have limits of the house's own: a rule about nothing else is let alone. So
    is one that says `lifted_by` itself: it is meant for those whom a consent frees from the law.
    """
    if EVERYWHERE in house.places:
        return
    packs = [pack for pack in law if _inside(house.reach, pack.reach)]
    for rule in house.rules:
        if rule.tightens or not isinstance(rule.limit, _KINDS):
            continue
        found = (
            (other, looser)
            for pack in packs
            for other in pack.rules
            if (looser := _makes_idle(other, pack, rule, house))
        )
        if (first := next(found, None)) is not None:
            yield _problem(rule, *first)


def _inside(house: Reach, law: Reach) -> bool:
    """Whether the law binds everything that the house pack does, by place, actor, product and condition."""
    return (
        all(any(place == wider or place.startswith(f"{wider}-") for wider in law.places) for place in house.places)
        and (not law.products or (bool(house.products) and house.products <= law.products))
        and (law.when is None or law.when == house.when)
    )


def _makes_idle(other: Rule, pack: Pack, rule: Rule, house: Pack) -> Loosening | None:
    """In what the house rule is looser than one of law that is at least as strict wherever the house rule binds."""
    if (
        type(other.limit) is not type(rule.limit)
        or not other.binding
        or (other.when is not None and other.when != rule.when)
    ):
        return None
    if not (rule.scope.actors or house.actors) <= ((other.scope.actors or pack.actors) & pack.actors):
        return None
    if other.binds_from > rule.start or (other.end is not None and (rule.end is None or other.end < rule.end)):
        return None
    excepted = (
        (rule.scope.purposes, other.scope.except_purposes),
        (rule.scope.roles, other.scope.except_roles),
    )
    if any(named and named <= left_out for named, left_out in excepted):
        return None
    plain = _without_exceptions(other, lift=_LIFTED in rule.source.items if rule.source is not None else False)
    if loosened(plain, rule):
        return None
    return next(iter(limit_loosened(rule.limit, plain.limit)), None)


def _without_exceptions(law: Rule, *, lift: bool) -> Rule:
    """The law as it binds an ordinary contact; `lift`: with the consent that lifts it."""
    scope = replace(law.scope, except_purposes=frozenset(), except_roles=frozenset(), reply_dates_max=None)
    limit = law.limit
    if not lift and isinstance(limit, Hours | Count | Cooldown):
        limit = replace(limit, lifted_by=None)
    return replace(law, scope=scope, limit=limit, when=None)


def _problem(rule: Rule, law: Rule, looser: Loosening) -> Problem:
    what = (
        f"`{looser.key}` of `{rule.id}` {looser.what}: it would loosen `{law.id}` ({law.citation}), and can do nothing"
    )
    mend = f"make it stricter and write `tightens: {law.id}` beside it, or delete the rule"
    if getattr(law.limit, _LIFTED, None) is not None:
        mend += "; if it is for those whom a consent frees from the law, write `lifted_by: none`"
    return Problem(what, mend, _place(rule, looser.key))


def _place(rule: Rule, key: str) -> Place:
    return rule.source.key_at.get(key, rule.at) if rule.source is not None else rule.at
