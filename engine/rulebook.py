"""Every strategy that is in force, checked as a whole before anything is decided with it."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from engine.canonical import digest
from engine.content import Templates, with_content
from engine.errors import Problem, RuleError
from engine.facts import Catalogue
from engine.overlaps import find_overlap
from engine.reading import reading_of
from engine.rulebook_checks import ladder_problems, name_problems, text_problems
from engine.sql import BITS_MAX
from engine.strategy import Strategy
from engine.strategy_file import read_strategy


@dataclass(frozen=True, slots=True)
class Rulebook:
    """
    The strategies of one workspace, by id, and the facts they speak of.

    `digest` is the hash over the strategies' digests: two rulebooks that mean the same have the same.
    """

    strategies: Mapping[str, Strategy]
    catalogue: Catalogue
    digest: str


def read_rulebook(
    files: Mapping[str, str],
    *,
    catalogue: Catalogue,
    queues: Collection[str],
    templates: Templates | None = None,
) -> Rulebook:
    """
    Read and check all strategy files together.

    Args:
        files: name -> text of each strategy file.
        queues: the work queues that exist.
        templates: what each template and script says, by channel and name; None does not check them, and tells
            the gate nothing about what goes out.
    Raises:
        RuleError: every problem of every file at once.
    """
    problems: list[Problem] = []
    strategies: dict[str, Strategy] = {}
    for file in sorted(files):
        strategy = read_strategy(files[file], file, catalogue, problems)
        if strategy is None:
            continue
        first = strategies.get(strategy.id)
        if first is not None:
            what = f"strategy `{strategy.id}` is already in {first.file}"
            problems.append(Problem(what, "give each strategy an id of its own", strategy.at))
            continue
        problems.extend(ladder_problems(strategy))
        problems.extend(name_problems(strategy, queues, templates))
        if templates is not None:
            problems.extend(text_problems(strategy, templates))
            strategy = with_content(strategy, templates)
            strategy = replace(strategy, digest=digest(strategy))
        strategies[strategy.id] = replace(strategy, reading=reading_of(strategy, catalogue))
    if len(strategies) > BITS_MAX:
        what = f"there are {len(strategies)} strategies, and {BITS_MAX} are the most"
        problems.append(Problem(what, "join strategies that do the same", [*strategies.values()][BITS_MAX].at))
    for one, other in combinations(strategies.values(), 2):
        shared = find_overlap(one.applies_to, other.applies_to, catalogue)
        if shared is not None:
            loan = ", ".join(shared) or "any facts"
            what = f"strategies `{one.id}` and `{other.id}` both apply to a loan with {loan}"
            mend = "narrow `applies_to` of one of them: a loan has at most one strategy"
            problems.append(Problem(what, mend, other.at))
    if problems:
        raise RuleError(problems)
    return Rulebook(strategies, catalogue, _digest(strategies))


def _digest(strategies: Mapping[str, Strategy]) -> str:
    lines = "\n".join(f"{name} {strategies[name].digest}" for name in sorted(strategies))
    return hashlib.sha256(lines.encode()).hexdigest()
