"""Reading packs from YAML: every problem of a file with its place and its mend, or a pack that means something."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Final

from compliance.limit_file import LIMIT_KEYS
from compliance.pack import ACTORS, EVERYWHERE, Pack, Rule
from compliance.rule_file import RULE_KEYS, both_languages, condition, identifier, read_rule, tightened_by
from compliance.shadowed import shadowed_rules
from engine.canonical import canonical
from engine.catalogue import load_catalogue
from engine.errors import Problem, RuleError, unknown_name
from engine.facts import Catalogue
from engine.fields import Fields
from engine.source import read_yaml

_PACK_KEYS: Final = (
    "pack", "title", "places", "actors", "products", "when", "status", "provenance", "from", "review_on", "rules",
)  # fmt: skip


def load_packs(
    texts: Mapping[str, str], catalogue: Catalogue | None = None, law: Sequence[Pack] = ()
) -> tuple[Pack, ...]:
    """
    Read packs, all or none.

    Args:
        texts: content by file name.
        catalogue: the facts that the `when:` of a pack or a rule may name; without it `when:` is refused.
        law: packs that house packs among the texts stand beside and may tighten.
    Raises:
        RuleError: with every problem of every file, a house rule among them that would loosen a rule of law.
    """
    packs: list[Pack] = []
    problems: list[Problem] = []
    for file, text in texts.items():
        try:
            pack = read_pack(text, file, catalogue, law)
        except RuleError as e:
            problems.extend(e.problems)
        else:
            packs.append(pack)
            problems.extend(shadowed_rules(pack, law) if pack.is_house else ())
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


def read_pack(text: str, file: str, catalogue: Catalogue | None = None, law: Sequence[Pack] = ()) -> Pack:
    """
    One pack from one YAML document.

    A house pack (`house.*`) holds rules of its own, marked `house`, and no others: rules are only ever
    added, so whatever it says can tighten what the law leaves open and never loosen what the law demands.

    Args:
        law: packs with the rules that `tightens` may name.
    Raises:
        RuleError: with every problem of the file.
    """
    problems: list[Problem] = []
    top = Fields.of(read_yaml(text, file), "a pack", _PACK_KEYS, problems, example="pack: house.mine")
    if top is None:
        raise RuleError(problems)
    name = identifier(top, "pack", "us.regf")
    house = name.startswith("house.")
    title_en, title_zh = both_languages(top, "title")
    places = _places(top, house=house)
    actors = frozenset(top.words("actors", "actor", ACTORS))
    if not actors:
        top.refuse("a pack does not say whom it binds", f"write `actors: [{', '.join(ACTORS)}]`, or some of them")
    products = frozenset(top.names("products"))
    when = condition(top, catalogue)
    rules = []
    for number, node in enumerate(top.listing("rules", "id: us.regf.hours"), start=1):
        fields = Fields.of(node, f"rule {number}", (*RULE_KEYS, *LIMIT_KEYS), problems, example="- id: us.regf.hours")
        if fields is None:
            continue
        tightened = None
        if fields.node("tightens") is not None:
            tightened = tightened_by(fields, law, places, actors, house=house)
            if tightened is None:
                continue
        if (rule := read_rule(fields, top, name, catalogue, house=house, tightened=tightened)) is not None:
            rules.append(rule)
    if not rules and not problems:
        top.refuse("a pack has no rules", "write `rules:` and at least one rule, or delete the file")
    _refuse_twins(rules, problems)
    _refuse_replacements(rules, problems)
    if problems:
        raise RuleError(problems)
    pack = Pack(name, title_en, title_zh, places, actors, products, when, tuple(rules), "", file, text)
    return replace(pack, digest=hashlib.sha256(canonical(pack).encode()).hexdigest())


def _places(top: Fields, *, house: bool) -> frozenset[str]:
    places = frozenset(top.names("places"))
    if not places:
        top.refuse("a pack does not say where it holds", "write `places: [US]`, or the state: `places: [US-MA]`")
    if EVERYWHERE in places and not house:
        at = top.table.items["places"].at
        top.refuse("law does not hold everywhere", "name the places; only a house pack says `everywhere`", at)
    return places


def _refuse_replacements(rules: list[Rule], problems: list[Problem]) -> None:
    by_id = {rule.id: rule for rule in rules}
    for rule in rules:
        if not rule.replaces or rule.source is None:
            continue
        at = rule.source.items["replaces"].at
        before = by_id.get(rule.replaces)
        if before is None:
            otherwise = "name the rule of this pack that ends when this one begins"
            others = [name for name in by_id if name != rule.id]
            problems.append(unknown_name("rule", rule.replaces, others, at=at, otherwise=otherwise))
        elif before.end is None or before.end >= rule.binds_from:
            mend = f"give it `to:`, a day before {rule.binds_from}"
            problems.append(Problem(f"`{before.id}` has not ended when `{rule.id}` begins", mend, at))


def _refuse_twins(rules: list[Rule], problems: list[Problem]) -> None:
    first: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in first:
            what = f"rule `{rule.id}` is there twice, first on line {first[rule.id].at.line}"
            problems.append(Problem(what, "give each rule an id of its own", rule.at))
        first.setdefault(rule.id, rule)
