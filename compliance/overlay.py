"""A rule that tightens another: the keys it gives, the rest from the other, and the proof that none of them loosens it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from compliance.dated import Dated
from compliance.pack import EVERYWHERE, Pack, Reach, Rule
from compliance.tightening import loosened
from engine.errors import Place, Problem, unknown_name
from engine.fields import Fields
from engine.source import Listing, Node, Table, Text

_OPPOSITE: Final = {"open": "closed", "closed": "open"}


@dataclass(frozen=True, slots=True)
class Tightened:
    """A rule that is tightened, and the pack it is in."""

    pack: Pack
    rule: Rule

    @property
    def kind(self) -> str:
        """Its kind of limit, as its file says it."""
        node = self.rule.source.items.get("kind") if self.rule.source is not None else None
        return node.raw if isinstance(node, Text) else ""

    @property
    def reach(self) -> Reach:
        """Where it binds, and whom."""
        reach = self.pack.reach
        return Reach(reach.places, reach.actors & (self.rule.scope.actors or reach.actors), reach.products, reach.when)


def rules_of(packs: Iterable[Pack]) -> dict[str, Tightened]:
    """Every rule of these packs that can be tightened, by id."""
    return {rule.id: Tightened(pack, rule) for pack in packs for rule in pack.rules}


def find_tightened(
    fields: Fields, law: Mapping[str, Tightened], places: Collection[str], actors: Collection[str]
) -> Tightened | None:
    """The rule that `tightens` names; None and a problem where there is none, or where it never binds with the pack."""
    node = fields.table.items["tightens"]
    name = node.raw if isinstance(node, Text) else ""
    found = law.get(name)
    if found is None:
        mend = "name a rule of law; `duecourse packs show` lists them"
        fields.problems.append(unknown_name("rule of law", name, law, at=node.at, otherwise=mend))
        return None
    if (problem := sets_days(found, node.at)) is not None:
        fields.problems.append(problem)
        return None
    if not any(_meet(ours, theirs) for ours in places for theirs in found.reach.places):
        what = f"`{name}` holds in {_listed(found.reach.places)}, and this pack does not"
        fields.refuse(what, "let the pack hold there: it binds only where both do", node.at)
        return None
    if actors and found.reach.actors.isdisjoint(actors):
        what = f"`{name}` binds {_listed(found.reach.actors)}, and this pack does not"
        fields.refuse(what, "let the pack bind them: the rule binds only whom both do", node.at)
        return None
    return found


def sets_days(found: Tightened, at: Place) -> Problem | None:
    """What is said of a rule that is no limit: there is nothing to tighten."""
    if not isinstance(found.rule.limit, Dated):
        return None
    mend = "write a rule of your own, without `tightens`: where several set a day, the strictest counts"
    return Problem(f"`{found.rule.id}` sets a day and limits nothing", mend, at)


def overlaid(fields: Fields, tightened: Rule, inherited: Collection[str]) -> Fields:
    """The keys that are given over those of the rule they tighten, of which only the `inherited` ones are taken."""
    own, base = fields.table, tightened.source
    if base is None:
        return fields
    gone = {_OPPOSITE[key] for key in own.items if key in _OPPOSITE}
    if "except_purposes" in own.items and not _names(own.items["except_purposes"], "reply"):
        gone.add("reply_dates_max")
    kept = {
        key: node for key, node in base.items.items() if key in inherited and key not in gone and key not in own.items
    }
    key_at = {**{key: base.key_at[key] for key in kept}, **own.key_at}
    return Fields(Table({**kept, **own.items}, key_at, own.at), fields.what, fields.problems)


def loosenings(rule: Rule, tightened: Rule, written: Table) -> list[Problem]:
    """A problem for every key by which a rule is looser than the one it says it tightens."""
    problems = []
    for looser in loosened(rule, tightened):
        key = f"`{looser.part}` of `{looser.key}`" if looser.part else f"`{looser.key}`"
        what = f"{key} {looser.what}: that would loosen `{tightened.id}` ({tightened.citation})"
        leave_out = f"leave `{looser.key}` out"
        mend = f"{looser.mend}, or {leave_out}" if looser.mend else leave_out
        problems.append(Problem(what, mend, written.key_at.get(looser.key, written.at)))
    return problems


def prove_tighter(rule: Rule, tightened: Rule, written: Table) -> list[Problem]:
    """The same, and a problem where it says no more than that rule does."""
    problems = loosenings(rule, tightened, written)
    if not problems and not loosened(tightened, rule):
        what = f"this tightens nothing: it says what `{tightened.id}` says"
        problems.append(Problem(what, "give the keys that are to be stricter", written.key_at["tightens"]))
    return problems


def _meet(one: str, other: str) -> bool:
    """Whether somebody may be in both places."""
    return EVERYWHERE in {one, other} or one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")


def _names(node: Node, word: str) -> bool:
    items = list(node) if isinstance(node, Listing) else [node]
    return any(isinstance(item, Text) and item.raw == word for item in items)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
