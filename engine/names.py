"""Names of facts and defined conditions: plain words that SQL leaves alone."""

import re
from typing import Final

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from engine.errors import Place, Problem
from engine.whitelist import KEYWORDS, REFUSED_WORDS

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST: Final = 60


def name_problem(name: str, at: Place) -> Problem | None:
    """Why this word cannot name a fact or a condition; None when it can."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        return Problem(f"`{name}` is not a name", "use lower-case letters, digits and underscores: `high_risk`", at)
    if name in KEYWORDS or name in REFUSED_WORDS or not _stands_alone(name):
        return Problem(f"`{name}` is a word of SQL", f"choose another, such as `{name}_fact`", at)
    return None


def _stands_alone(name: str) -> bool:
    try:
        trees = parse(f"{name} = 1 and {name} in (1) and {name}", dialect="duckdb")
    except SqlglotError:
        return False
    columns = [column.name for column in trees[0].find_all(exp.Column)] if trees[0] else []
    return columns == [name] * 3 or sorted(columns) == [name] * 3
