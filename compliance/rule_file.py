"""Reading one rule of a pack: what it is about, from when, its limit, and which rule of law it tightens."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date
from typing import Final, get_args

from compliance.dated import Dated
from compliance.limit_file import LIMIT_KEYS, SPOTS, read_given, read_limit
from compliance.overlay import Tightened, find_tightened, loosenings, overlaid, prove_tighter, rules_of
from compliance.pack import ACTORS, PROVENANCES, STATUSES, Cooldown, Count, Limit, Pack, Rule, Scope
from engine.condition import Scope as ConditionScope
from engine.condition import parse_condition
from engine.durations import read_date
from engine.errors import Problem, unknown_name
from engine.facts import Catalogue
from engine.fields import Fields
from engine.gate import CHANNELS, Act, Ground, Purpose, Role
from engine.source import Table
from engine.tree import Condition

_ID: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_ACTS: Final = get_args(Act)
_PURPOSES: Final = get_args(Purpose)
_ROLES: Final = get_args(Role)
_GROUNDS: Final = get_args(Ground)

_SCOPE_KEYS: Final = (
    "acts", "actors", "channels", "purposes", "except_purposes", "reply_dates_max", "roles", "except_roles", "where",
    "except_where", "given", "when",
)  # fmt: skip
RULE_KEYS: Final = (
    "id", "kind", "says", "citation", "status", "provenance", "from", "to", "review_on", "waived_to", "binding", "replaces",
    "tightens", "override_grounds", *_SCOPE_KEYS,
)  # fmt: skip
_INHERITED: Final = frozenset({"kind", *_SCOPE_KEYS, *LIMIT_KEYS}) - {"actors"}
"""What a rule that tightens another has from it; whom the other binds bounds it besides."""


def identifier(fields: Fields, key: str, example: str) -> str:
    name = fields.text(key, required=example)
    if name is None:
        return ""
    if not _ID.fullmatch(name):
        mend = f"use lower-case words with dots between: `{example}`"
        fields.refuse(f"`{name}` is not a name", mend, fields.table.items[key].at)
    return name


def both_languages(fields: Fields, key: str) -> tuple[str, str]:
    node = fields.required(key, "{en: in English, zh: 用中文}")
    if node is None:
        return "", ""
    both = Fields.of(node, f"`{key}` of {fields.what}", ("en", "zh"), fields.problems, example="{en: ..., zh: ...}")
    if both is None:
        return "", ""
    return both.text("en", required="in plain English") or "", both.text("zh", required="用中文") or ""


def condition(fields: Fields, catalogue: Catalogue | None) -> Condition | None:
    node = fields.node("when")
    if node is None:
        return None
    if catalogue is None:
        fields.refuse("`when` names facts, and there is no catalogue of them", "hand the catalogue in", node.at)
        return None
    # No currency: the law of a place does not know in which one the loan is.
    return parse_condition(node, ConditionScope(catalogue, None, {}, fields.problems))


def tightened_by(
    fields: Fields, law: Sequence[Pack], places: frozenset[str], actors: frozenset[str], *, house: bool
) -> Tightened | None:
    if not house:
        mend = "move the rule to a pack whose id begins with `house.`"
        fields.refuse("only a house rule tightens another", mend, fields.table.key_at["tightens"])
        return None
    return find_tightened(fields, rules_of(pack for pack in law if not pack.is_house), places, actors)


def read_rule(
    fields: Fields, top: Fields, pack: str, catalogue: Catalogue | None, *, house: bool, tightened: Tightened | None
) -> Rule | None:
    written = fields.table
    if tightened is not None:
        if fields.node("kind") is not None and fields.one_of("kind", "kind of limit", (tightened.kind,)) is None:
            return None
        fields = overlaid(fields, tightened.rule, _INHERITED)
    before = len(fields.problems)
    name = identifier(fields, "id", f"{pack or 'us.regf'}.hours")
    if name and pack and not name.startswith(f"{pack}."):
        mend = f"begin it with the pack's id: `{pack}.{name.rsplit('.', 1)[-1]}`"
        fields.refuse(f"rule `{name}` does not belong to pack `{pack}`", mend, fields.table.items["id"].at)
    says_en, says_zh = both_languages(fields, "says")
    citation = fields.text("citation", required="12 CFR 1006.6(b)") or ""
    status = _inherited_word(fields, top, "status", STATUSES)
    provenance = _inherited_word(fields, top, "provenance", PROVENANCES)
    if status and (status == "house") != house:
        _refuse_status(fields, top, house=house)
    start = _inherited_date(fields, top, "from")
    review_on = _inherited_date(fields, top, "review_on")
    end = fields.parsed("to", read_date, "a date", "2026-08-31")
    if start and end and end < start:
        fields.refuse("`to` is before `from`", "give the last day on which the rule binds", fields.table.items["to"].at)
    waived_to = fields.parsed("waived_to", read_date, "a date", "2027-01-30")
    if start and waived_to and waived_to < start:
        mend = "give the last day of the waiver, or leave it out"
        fields.refuse("`waived_to` is before `from`", mend, fields.table.items["waived_to"].at)
    binding = _binding(fields, status)
    replaces = fields.text("replaces") or ""
    grounds = _override_grounds(fields, status)
    scope = _scope(fields, top.names("actors"))
    when = condition(fields, catalogue)
    limit = read_limit(fields)
    _refuse_unknown_event(limit, fields, catalogue)
    if len(fields.problems) > before or limit is None or start is None or review_on is None:
        return None
    rule = Rule(
        name, status, provenance, start, end, citation, review_on, says_en, says_zh, scope, limit, fields.at, when,
        waived_to=waived_to, binding=binding, replaces=replaces, source=written,
        override_grounds=grounds,
    )  # fmt: skip
    if tightened is None:
        return rule
    rule = replace(rule, tightens=tightened.rule.id, reach=tightened.reach)
    fields.problems.extend(prove_tighter(rule, tightened.rule, written))
    return rule


def _override_grounds(fields: Fields, status: str) -> frozenset[str]:
    grounds = frozenset(fields.words("override_grounds", "ground", _GROUNDS))
    if status and status != "presumption" and fields.node("override_grounds") is not None:
        what = f"a rule of status `{status}` cannot be overridden"
        mend = "leave `override_grounds` out; only a `presumption` yields to a ground"
        fields.refuse(what, mend, fields.table.key_at["override_grounds"])
    return grounds


def _binding(fields: Fields, status: str) -> bool:
    """Whether it is followed. A draft has to say, since nothing else tells."""
    node = fields.node("binding")
    if status == "draft" and node is None:
        mend = "write `binding: true` to follow it as if in force, `binding: false` to show it only"
        fields.refuse(f"{fields.what} is a draft and does not say whether it is followed", mend)
    if status and status != "draft" and node is not None:
        mend = "leave it out, or write `status: draft`"
        fields.refuse("`binding` is for drafts", mend, fields.table.key_at["binding"])
    return fields.one_of("binding", "answer", ("true", "false")) != "false"


def _refuse_unknown_event(limit: Limit | Dated | None, fields: Fields, catalogue: Catalogue | None) -> None:
    """`since` names a fact that counts the days since something."""
    key, selector = "", None
    match limit:
        case Count():
            key, selector = "counts", limit.counts
        case Cooldown():
            key, selector = "after", limit.after
    if selector is None or selector.since is None:
        return
    at = fields.table.items[key].at
    if catalogue is None:
        fields.refuse("`since` names a fact, and there is no catalogue of them", "hand the catalogue in", at)
        return
    days = {name for name, fact in catalogue.facts.items() if fact.type == "int" and fact.unit == "days"}
    if selector.since not in days:
        mend = "name a fact that counts days, e.g. `days_in_episode`"
        fields.problems.append(unknown_name("fact of days", selector.since, days, at=at, otherwise=mend))


def _refuse_status(fields: Fields, top: Fields, *, house: bool) -> None:
    node = fields.node("status") or top.node("status")
    if house:
        what, mend = "a house pack cannot make law", "write `status: house`; a house pack adds limits of the house only"
    else:
        what, mend = "a law pack holds a house rule", "move the rule to a pack whose id begins with `house.`"
    fields.refuse(what, mend, node.at if node else None)


def _inherited_word(fields: Fields, top: Fields, key: str, known: tuple[str, ...]) -> str:
    source = fields if fields.node(key) is not None else top
    if source.node(key) is None:
        fields.refuse(f"{fields.what} has no `{key}`", f"write `{key}: {known[0]}` here, or once for the whole pack")
        return ""
    return source.one_of(key, key, known) or ""


def _inherited_date(fields: Fields, top: Fields, key: str) -> date | None:
    source = fields if fields.node(key) is not None else top
    if source.node(key) is None:
        fields.refuse(f"{fields.what} has no `{key}`", f"write `{key}: 2026-01-15` here, or once for the whole pack")
        return None
    return source.parsed(key, read_date, "a date", "2026-01-15")


def _scope(fields: Fields, bound: Collection[str]) -> Scope:
    acts = frozenset(fields.words("acts", "act", _ACTS)) or Scope().acts
    actors = frozenset(fields.words("actors", "actor", ACTORS))
    for actor in sorted(actors.difference(bound)):
        mend = f"use one of {', '.join(bound)}, or let the pack bind {actor}"
        fields.refuse(f"the pack does not bind `{actor}`", mend, fields.table.items["actors"].at)
    except_purposes = frozenset(fields.words("except_purposes", "purpose", _PURPOSES))
    reply_dates_max = fields.whole("reply_dates_max", 1, 366)
    if reply_dates_max is not None and "reply" not in except_purposes:
        mend = "write `except_purposes: [reply]` beside it, or leave it out"
        at = fields.table.key_at["reply_dates_max"]
        fields.refuse("`reply_dates_max` means nothing where replies are not excepted", mend, at)
    given: dict[str, bool | int | str] = {}
    if (node := fields.node("given")) is not None:
        given = read_given(node, fields)
    return Scope(
        acts=acts,
        channels=frozenset(fields.words("channels", "channel", CHANNELS)),
        purposes=frozenset(fields.words("purposes", "purpose", _PURPOSES)),
        except_purposes=except_purposes,
        roles=frozenset(fields.words("roles", "role", _ROLES)),
        except_roles=frozenset(fields.words("except_roles", "role", _ROLES)),
        where=frozenset(fields.words("where", "place", SPOTS)),
        except_where=frozenset(fields.words("except_where", "place", SPOTS)),
        given=given,
        actors=actors,
        reply_dates_max=reply_dates_max,
    )


def read_overlay(
    table: Table, tightened: Tightened, name: str, catalogue: Catalogue | None, problems: list[Problem]
) -> Rule | None:
    """
    A rule of some of another's keys, said to be stricter: it has everything else from the other, its words among them.

    Returns:
        None, and problems, where the keys mean nothing or would loosen the other.
    """
    fields = Fields.of(table, f"`{tightened.rule.id}`", (*_SCOPE_KEYS, *LIMIT_KEYS), problems, example="max: 3")
    if fields is None:
        return None
    before = len(problems)
    law = tightened.rule
    merged = overlaid(fields, law, _INHERITED)
    scope, when, limit = (
        _scope(merged, law.scope.actors or tightened.pack.actors),
        condition(merged, catalogue),
        read_limit(merged),
    )
    if len(problems) > before or limit is None:
        return None
    rule = replace(
        law,
        id=name,
        status="house",
        scope=scope,
        limit=limit,
        at=table.at,
        when=when,
        tightens=law.id,
        reach=tightened.reach,
    )
    problems += loosenings(rule, law, table)
    return rule
