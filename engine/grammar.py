"""From the text of a condition to sqlglot's tree, through the whitelist of tokens."""

from typing import Final

from sqlglot import exp, tokenize
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token

from engine.errors import Problem
from engine.source import Text
from engine.whitelist import Names, Whitelist

LENGTH_MAX: Final = 10_000


def parse_text(text: Text, names: Names, problems: list[Problem]) -> exp.Expr | None:
    """
    One condition as sqlglot's tree, of which only the allowed tokens are left; None after appending problems.

    Positions in the tree (`meta["start"]`) are offsets into `text.raw`.
    """
    before = len(problems)
    tokens = _tokens(text, problems)
    if tokens is None:
        return None
    Whitelist(text, tokens, names, problems).run()
    if len(problems) > before:
        return None
    try:
        trees = Dialect.get_or_raise("duckdb").parser().parse(tokens, text.raw)
    except ParseError as e:
        found = e.errors[0] if e.errors else {}
        lead, near = str(found.get("start_context") or ""), str(found.get("highlight") or "")
        at = max(0, text.raw.find(lead + near)) + len(lead)
        what = f"not readable as a condition near `{near.strip() or text.raw.split()[-1]}`"
        problems.append(Problem(what, "a condition reads like `dpd >= 3 and has_mobile`", text.spot(at)))
        return None
    return trees[0]


def _tokens(text: Text, problems: list[Problem]) -> list[Token] | None:
    raw = text.raw
    if len(raw) > LENGTH_MAX:
        problems.append(
            Problem(f"a condition of more than {LENGTH_MAX} characters", "split it with `define:`", text.at)
        )
        return None
    for position, character in enumerate(raw):
        if not character.isprintable() and character not in "\n\t\u3000":
            what = f"the character U+{ord(character):04X} cannot stand in a condition"
            problems.append(Problem(what, "delete it", text.spot(position)))
            return None
    try:
        tokens = tokenize(raw, dialect="duckdb")
    except TokenError:
        at = raw.rfind("/*") if raw.count("'") % 2 == 0 and "/*" in raw else raw.rfind("'")
        problems.append(Problem("a quote or comment is not closed", "close the text with `'`", text.spot(max(0, at))))
        return None
    end = 0
    # Comments belong to no token: what stands between two tokens must be white space.
    for start, after in [*((t.start, t.end + 1) for t in tokens), (len(raw), len(raw))]:
        gap = raw[end:start]
        if gap.strip():
            at = end + len(gap) - len(gap.lstrip())
            mend = "delete it, or put it after `#` on a line of YAML; in a folded text it swallows what follows"
            problems.append(Problem("a comment inside a condition", mend, text.spot(at)))
            return None
        end = after
    if not tokens:
        problems.append(Problem("an empty condition", "write a condition, such as `dpd >= 3`", text.at))
        return None
    return tokens
