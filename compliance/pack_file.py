"""Reading packs from YAML: every problem of a file with its place and its mend, or a pack that means something."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from importlib.resources import files
from typing import Final, get_args

from compliance.limit_file import LIMIT_KEYS, read_given, read_limit
from compliance.pack import ACTORS, EVERYWHERE, PROVENANCES, STATUSES, Pack, Rule, Scope
from engine.canonical import canonical
from engine.catalogue import load_catalogue
from engine.condition import Scope as ConditionScope
from engine.condition import parse_condition
from engine.durations import read_date
from engine.errors import Problem, RuleError
from engine.facts import Catalogue
from engine.fields import Fields
from engine.gate import CHANNELS, Act, Ground, Purpose, Role
from engine.source import read_yaml
from engine.tree import Condition

_ID: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_ACTS: Final = get_args(Act)
_PURPOSES: Final = get_args(Purpose)
_ROLES: Final = get_args(Role)
_GROUNDS: Final = get_args(Ground)
_SPOTS: Final = ("home", "work")

_PACK_KEYS: Final = (
    "pack", "title", "places", "actors", "products", "when", "status", "provenance", "from", "review_on", "rules",
)  # fmt: skip
_SCOPE_KEYS: Final = (
    "acts", "actors", "channels", "purposes", "except_purposes", "reply_dates_max", "roles", "except_roles", "where",
    "except_where", "given", "when",
)  # fmt: skip
_RULE_KEYS: Final = (
    "id", "kind", "says", "citation", "status", "provenance", "from", "to", "review_on", "override_grounds", *_SCOPE_KEYS,
)  # fmt: skip


def load_packs(texts: Mapping[str, str], catalogue: Catalogue | None = None) -> tuple[Pack, ...]:
    """
    Read packs, all or none.

    Args:
        texts: content by file name.
        catalogue: the facts that the `when:` of a pack or a rule may name; without it `when:` is refused.
    Raises:
        RuleError: with every problem of every file.
    """
    packs: list[Pack] = []
    problems: list[Problem] = []
    for file, text in texts.items():
        try:
            packs.append(read_pack(text, file, catalogue))
        except RuleError as e:
            problems.extend(e.problems)
    if problems:
        raise RuleError(problems)
    return tuple(packs)


def shipped_packs(catalogue: Catalogue | None = None) -> tuple[Pack, ...]:
    """
    The law packs and the house pack that come with Duecourse, by id.

    Args:
        catalogue: the facts that a `when:` may name; left out, those that come with Duecourse.
    """
    root = files("compliance") / "packs"
    texts = {
        f"compliance/packs/{folder.name}/{item.name}": item.read_text("utf-8")
        for folder in root.iterdir()
        if folder.is_dir()
        for item in folder.iterdir()
        if item.name.endswith(".yaml") and not item.name.endswith(".test.yaml")
    }
    return tuple(sorted(load_packs(texts, catalogue or load_catalogue()), key=lambda pack: pack.id))


def read_pack(text: str, file: str, catalogue: Catalogue | None = None) -> Pack:
    """
    One pack from one YAML document.

    A house pack (`house.*`) holds rules of its own, marked `house`, and no others: rules are only ever
    added, so whatever it says can tighten what the law leaves open and never loosen what the law demands.

    Raises:
        RuleError: with every problem of the file.
    """
    problems: list[Problem] = []
    top = Fields.of(read_yaml(text, file), "a pack", _PACK_KEYS, problems, example="pack: house.mine")
    if top is None:
        raise RuleError(problems)
    name = _identifier(top, "pack", "us.regf")
    house = name.startswith("house.")
    title_en, title_zh = _both_languages(top, "title")
    places = _places(top, house=house)
    actors = frozenset(top.words("actors", "actor", ACTORS))
    if not actors:
        top.refuse("a pack does not say whom it binds", f"write `actors: [{', '.join(ACTORS)}]`, or some of them")
    products = frozenset(top.names("products"))
    when = _condition(top, catalogue)
    rules = []
    for number, node in enumerate(top.listing("rules", "id: us.regf.hours"), start=1):
        fields = Fields.of(node, f"rule {number}", (*_RULE_KEYS, *LIMIT_KEYS), problems, example="- id: us.regf.hours")
        if fields is not None and (rule := _rule(fields, top, name, catalogue, house=house)) is not None:
            rules.append(rule)
    if not rules and not problems:
        top.refuse("a pack has no rules", "write `rules:` and at least one rule, or delete the file")
    _refuse_twins(rules, problems)
    if problems:
        raise RuleError(problems)
    pack = Pack(name, title_en, title_zh, places, actors, products, when, tuple(rules), "", file)
    return replace(pack, digest=hashlib.sha256(canonical(pack).encode()).hexdigest())


def _identifier(fields: Fields, key: str, example: str) -> str:
    name = fields.text(key, required=example)
    if name is None:
        return ""
    if not _ID.fullmatch(name):
        mend = f"use lower-case words with dots between: `{example}`"
        fields.refuse(f"`{name}` is not a name", mend, fields.table.items[key].at)
    return name


def _both_languages(fields: Fields, key: str) -> tuple[str, str]:
    node = fields.required(key, "{en: in English, zh: 用中文}")
    if node is None:
        return "", ""
    both = Fields.of(node, f"`{key}` of {fields.what}", ("en", "zh"), fields.problems, example="{en: ..., zh: ...}")
    if both is None:
        return "", ""
    return both.text("en", required="in plain English") or "", both.text("zh", required="用中文") or ""


def _places(top: Fields, *, house: bool) -> frozenset[str]:
    places = frozenset(top.names("places"))
    if not places:
        top.refuse("a pack does not say where it holds", "write `places: [US]`, or the state: `places: [US-MA]`")
    if EVERYWHERE in places and not house:
        at = top.table.items["places"].at
        top.refuse("law does not hold everywhere", "name the places; only a house pack says `everywhere`", at)
    return places


def _condition(fields: Fields, catalogue: Catalogue | None) -> Condition | None:
    node = fields.node("when")
    if node is None:
        return None
    if catalogue is None:
        fields.refuse("`when` names facts, and there is no catalogue of them", "hand the catalogue in", node.at)
        return None
    # No currency: the law of a place does not know in which one the loan is.
    return parse_condition(node, ConditionScope(catalogue, None, {}, fields.problems))


def _rule(fields: Fields, top: Fields, pack: str, catalogue: Catalogue | None, *, house: bool) -> Rule | None:
    before = len(fields.problems)
    name = _identifier(fields, "id", f"{pack or 'us.regf'}.hours")
    if name and pack and not name.startswith(f"{pack}."):
        mend = f"begin it with the pack's id: `{pack}.{name.rsplit('.', 1)[-1]}`"
        fields.refuse(f"rule `{name}` does not belong to pack `{pack}`", mend, fields.table.items["id"].at)
    says_en, says_zh = _both_languages(fields, "says")
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
    scope = _scope(fields, top)
    when = _condition(fields, catalogue)
    grounds = _override_grounds(fields, status)
    limit = read_limit(fields)
    if len(fields.problems) > before or limit is None or start is None or review_on is None:
        return None
    return Rule(
        name, status, provenance, start, end, citation, review_on, says_en, says_zh, scope, limit, fields.at, when,
        grounds,
    )  # fmt: skip


def _override_grounds(fields: Fields, status: str) -> frozenset[str]:
    grounds = frozenset(fields.words("override_grounds", "ground", _GROUNDS))
    if status and status != "presumption" and fields.node("override_grounds") is not None:
        what = f"a rule of status `{status}` cannot be overridden"
        mend = "leave `override_grounds` out; only a `presumption` yields to a ground"
        fields.refuse(what, mend, fields.table.key_at["override_grounds"])
    return grounds


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


def _scope(fields: Fields, top: Fields) -> Scope:
    acts = frozenset(fields.words("acts", "act", _ACTS)) or Scope().acts
    actors = frozenset(fields.words("actors", "actor", ACTORS))
    bound = top.names("actors")
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
        where=frozenset(fields.words("where", "place", _SPOTS)),
        except_where=frozenset(fields.words("except_where", "place", _SPOTS)),
        given=given,
        actors=actors,
        reply_dates_max=reply_dates_max,
    )


def _refuse_twins(rules: list[Rule], problems: list[Problem]) -> None:
    first: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in first:
            what = f"rule `{rule.id}` is there twice, first on line {first[rule.id].at.line}"
            problems.append(Problem(what, "give each rule an id of its own", rule.at))
        first.setdefault(rule.id, rule)
