"""Work queues: how much each can take in a day, and whose turn comes first. Read from `queues.yaml`."""

import re
from collections.abc import Mapping

from engine.errors import Place, Problem, RuleError, unknown_name
from engine.facts import Catalogue
from engine.source import Listing, Node, Table, Text, read_yaml
from workflows.deciding.allotment import Queue

_CAPACITY = re.compile(r"([0-9]{1,9})/day")
_RANK = re.compile(r"([a-z_0-9]+)(?: (asc|desc))?")
_KEYS = ("capacity", "rank_by", "skills")


def read_queues(text: str, file: str, catalogue: Catalogue) -> Mapping[str, Queue]:
    """
    The queues of one file: `name: {capacity: 6000/day, rank_by: [overdue_amount desc], skills: [...]}`.

    Raises:
        RuleError: every unknown key, fact, capacity or rank of the file at once.
    """
    root = read_yaml(text, file)
    problems: list[Problem] = []
    queues: dict[str, Queue] = {}
    if not isinstance(root, Table):
        raise RuleError(Problem("queues are not a table", "write `name: {capacity: 100/day}`", root.at))
    for name, node in root.items.items():
        if not isinstance(node, Table):
            problems.append(Problem(f"queue `{name}` is not a table", "write `{capacity: 100/day}`", node.at))
            continue
        for key in node.items.keys() - set(_KEYS):
            at = node.key_at[key]
            problems.append(unknown_name("key", key, _KEYS, at=at, otherwise=f"use one of {', '.join(_KEYS)}"))
        capacity = _capacity(node.items.get("capacity"), problems)
        rank_by = tuple(_ranks(node.items.get("rank_by"), catalogue, problems))
        queues[name] = Queue(name, capacity, rank_by, tuple(_words(node.items.get("skills"), problems)))
    if problems:
        raise RuleError(problems)
    return queues


def _capacity(node: Node | None, problems: list[Problem]) -> int | None:
    if node is None:
        return None
    match = _CAPACITY.fullmatch(node.raw) if isinstance(node, Text) else None
    if match is None:
        problems.append(
            Problem("a capacity is a number a day", "write `6000/day`, or leave it out for no limit", node.at)
        )
        return None
    return int(match[1])


def _ranks(node: Node | None, catalogue: Catalogue, problems: list[Problem]) -> list[tuple[str, bool]]:
    ranks: list[tuple[str, bool]] = []
    for word, at in _texts(node, problems):
        match = _RANK.fullmatch(word)
        if match is None:
            problems.append(Problem(f"`{word}` is no ranking", "write `overdue_amount desc`", at))
        elif match[1] not in catalogue.facts:
            mend = "rank by a fact of the catalogue"
            problems.append(unknown_name("fact", match[1], catalogue.facts, at=at, otherwise=mend))
        else:
            ranks.append((match[1], match[2] == "desc"))
    return ranks


def _words(node: Node | None, problems: list[Problem]) -> list[str]:
    return [word for word, _ in _texts(node, problems)]


def _texts(node: Node | None, problems: list[Problem]) -> list[tuple[str, Place]]:
    if node is None:
        return []
    if not isinstance(node, Listing):
        problems.append(Problem("a list was expected", "write `[a, b]`", node.at))
        return []
    out = []
    for item in node:
        if isinstance(item, Text) and isinstance(item.value, str):
            out.append((item.value, item.at))
        else:
            problems.append(Problem("a word was expected", "write a name", item.at))
    return out
