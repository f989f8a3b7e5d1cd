"""
What a case's `setup.org_overrides` says: rules of the named packs, made stricter by the organisation.

Each means what a house rule means that `tightens` the rule it names: {us.regf.freq.calls: {max: 3}}, or
[{rule: us.regf.freq.calls, max: 3}]. `max_including_this` is another word for `max`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from compliance.overlay import rules_of, sets_days
from compliance.pack import ACTORS, EVERYWHERE, Pack, Rule
from compliance.rule_file import read_overlay
from engine.catalogue import load_catalogue
from engine.errors import Problem, RuleError, unknown_name
from engine.source import Listing, Node, Table, Text

_ID: Final = "house.overrides"
_OTHER_WORDS: Final = {"max_including_this": "max"}


def read_overrides(node: Node | None, packs: Iterable[Pack]) -> Pack | None:
    """
    The house pack that a case's overrides make; None: it has none.

    Args:
        packs: those that the case names.
    Raises:
        RuleError: an override names no rule of them, means nothing, or would loosen it; with every problem.
    """
    if node is None or (isinstance(node, Listing | Table) and not _size(node)):
        return None
    problems: list[Problem] = []
    law = rules_of(packs)
    rules: list[Rule] = []
    for name, table in _overrides(node, problems):
        tightened = law.get(name)
        if tightened is None:
            otherwise = "name a rule of one of the packs in `policy`"
            problems.append(unknown_name("rule", name, law, at=table.at, otherwise=otherwise))
            continue
        if (problem := sets_days(tightened, table.at)) is not None:
            problems.append(problem)
            continue
        rule = read_overlay(table, tightened, f"{_ID}.{name}", load_catalogue(), problems)
        if rule is not None and any(rule.id == other.id for other in rules):
            problems.append(Problem(f"`{name}` is overridden twice", "put its keys together", table.at))
        elif rule is not None:
            rules.append(rule)
    if problems:
        raise RuleError(problems)
    title = "The case's overrides"
    return Pack(_ID, title, title, frozenset({EVERYWHERE}), frozenset(ACTORS), frozenset(), None, tuple(rules), "", "")


def _overrides(node: Node, problems: list[Problem]) -> Iterator[tuple[str, Table]]:
    """By the rule it names, each override's own keys."""
    example = "write `us.regf.freq.calls: {max: 3}`, or `- {rule: us.regf.freq.calls, max: 3}`"
    named: list[tuple[str, Node]] = []
    if isinstance(node, Table):
        named += node.items.items()
    elif isinstance(node, Listing):
        for item in node:
            rule = item.items.get("rule") if isinstance(item, Table) else None
            named.append((rule.raw if isinstance(rule, Text) else "", item))
    else:
        named.append(("", node))
    for name, item in named:
        if not name or not isinstance(item, Table):
            problems.append(Problem("an override that names no rule, or no keys of one", example, item.at))
            continue
        own = {_OTHER_WORDS.get(key, key): (key, value) for key, value in item.items.items() if key != "rule"}
        items = {key: value for key, (_, value) in own.items()}
        yield name, Table(items, {key: item.key_at[word] for key, (word, _) in own.items()}, item.at)


def _size(node: Listing | Table) -> int:
    return len(node.items)
