"""
The tokens that may stand in a condition, and what each other one is told.

The whitelist is asked before the parser runs, so that every refusal knows its exact place, and so
that what reaches the parser is short and shallow enough for any stack.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlglot.tokenizer_core import Token, TokenType

from engine.errors import Problem, unknown_name
from engine.source import Text
from engine.tree import LEAVES_MAX

PARENTHESES_MAX: Final = 10
"""sqlglot takes about 22 Python frames for each, of the 1,000 there are."""

TOKENS_MAX: Final = 2_500

KEYWORDS: Final = frozenset({"and", "or", "not", "in", "between", "is", "null", "true", "false"})
_JOINS: Final = frozenset({"and", "or", "not", "in", "between", "is"})
COMPARISONS: Final = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WIDE: Final = {
    "（": "(", "）": ")", "，": ",", "、": ",", "；": ";", "：": ":", "＝": "=", "＜": "<", "＞": ">", "≤": "<=", "≥": ">=", "≠": "!=",
    "！": "!", "‘": "'", "’": "'", "“": "'", "”": "'", "－": "-", "−": "-", "．": ".", "\u3000": " ",
}  # fmt: skip
"""What an input method for Chinese, or a word processor, writes in place of the plain character."""

NEW_FACT: Final = "declare what it works out as a fact of its own in rules/facts.yaml, and compare that"
SPLIT_MEND: Final = "the comma split it: put quotes around the whole condition, or write a block list"
_QUOTES: Final = "text goes in single quotes"
_LIST_IT: Final = "list the texts: `in ('a', 'b')`"
_NOTHING_ELSE: Final = "use only `= != < <= > >=`, `between`, `in`, `is null`, `and`, `or`, `not`"
REFUSED_WORDS: Final = {
    "like": ("`like` is not part of this language", _LIST_IT),
    "ilike": ("`ilike` is not part of this language", _LIST_IT),
    "similar": ("`similar to` is not part of this language", _LIST_IT),
    "as": ("a condition cannot be given an alias", "name it under `define:`"),
    "select": ("a query is not part of this language", NEW_FACT),
    "case": ("`case` is not part of this language", "write one rule per case, or use `and`, `or`"),
    "cast": ("a cast is not part of this language", "compare the fact as it is"),
    "exists": ("a query is not part of this language", NEW_FACT),
    "isnull": ("`isnull` is not part of this language", "write `is null`"),
    "notnull": ("`notnull` is not part of this language", "write `is not null`"),
    "symmetric": ("`symmetric` is not part of this language", "write the lower value first"),
    "xor": ("`xor` is not part of this language", _NOTHING_ELSE),
}
REFUSED_SIGNS: Final = {
    ";": ("a second statement", "write a list of conditions, or join them with `and`"),
    "==": ("`==` is not part of this language", "write `=`"),
    "&&": ("`&&` is not part of this language", "write `and`"),
    "||": ("`||` is not part of this language", "write `or`"),
    "!": ("`!` is not part of this language", "write `not`"),
    "::": ("a cast is not part of this language", "compare the fact as it is"),
    ".": ("a name with a dot", "facts have plain names"),
}
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "//", "%", "^", "**"})


@dataclass(frozen=True, slots=True)
class Names:
    """The names a condition may use: facts, the conditions defined above it, and those defined further down."""

    facts: Collection[str]
    defined: Collection[str] = ()
    later: Collection[str] = ()


class Whitelist:
    """
    One walk over the tokens; gathers a problem for each that is not part of the language.

    It goes on after a name nobody knows, and stops after anything else: what follows then means nothing.
    """

    def __init__(self, text: Text, tokens: list[Token], names: Names, problems: list[Problem]) -> None:
        self._text = text
        self._tokens = tokens
        self._names = names
        self._problems = problems
        # A text literal is shown as one quote, so that what it says is never taken for a word or a sign.
        self._words = ["'" if t.token_type is TokenType.STRING else t.text.lower() for t in tokens]

    def run(self) -> None:
        """Append what is wrong, in the order of the text."""
        if not self._balanced():
            return
        joined = sum(word in {"and", "or"} for word in self._words)
        if joined >= LEAVES_MAX or len(self._tokens) > TOKENS_MAX:
            mend = "split it into conditions under `define:`"
            self._problems.append(Problem(f"a condition of more than {LEAVES_MAX} comparisons", mend, self._text.at))
            return
        for i, token in enumerate(self._tokens):
            if not self._judge(i, token):
                return

    def _balanced(self) -> bool:
        opened: list[Token] = []
        for token in self._tokens:
            if token.token_type is TokenType.L_PAREN:
                opened.append(token)
                if len(opened) > PARENTHESES_MAX:
                    what = f"parentheses nested more than {PARENTHESES_MAX} deep"
                    return self._refuse(token, what, "name the inner part under `define:`")
            elif token.token_type is TokenType.R_PAREN:
                if not opened:
                    return self._refuse(
                        token, "a `)` without its `(`", self._split_mend("write the `(`, or delete this `)`")
                    )
                opened.pop()
        if opened:
            return self._refuse(opened[-1], "a `(` without its `)`", self._split_mend("write the `)`"))
        return True

    def _split_mend(self, otherwise: str) -> str:
        return SPLIT_MEND if self._text.in_flow and not self._text.quoted else otherwise

    def _refuse(self, token: Token, what: str, mend: str) -> bool:
        self._problems.append(Problem(what, mend, self._text.spot(token.start)))
        return False

    def _word_at(self, i: int) -> str:
        return self._words[i] if 0 <= i < len(self._words) else ""

    def _judge(self, i: int, token: Token) -> bool:
        written = self._text.raw[token.start : token.end + 1]
        kind = token.token_type
        if kind is TokenType.IDENTIFIER:
            text = token.text.replace("'", "''")
            mend = f"write `{text}`" if text in self._names.facts else f"{_QUOTES}: `'{text}'`"
            return self._refuse(token, f"double quotes around `{token.text}`", mend)
        if kind is TokenType.STRING and written.startswith("'"):
            return self._adjoins(i, token, written)
        if (wide := next((c for c in written if c in _WIDE), None)) is not None:
            return self._refuse(token, f"`{wide}` is no plain character", f"write `{_WIDE[wide]}`")
        if kind is TokenType.NUMBER:
            if not _NUMBER.fullmatch(token.text):
                return self._refuse(token, f"`{written}` is no plain number", "write it in digits, such as `1500`")
            return self._adjoins(i, token, written)
        if _WORD.fullmatch(written):
            return self._word(i, token, written)
        return self._sign(i, token, written)

    def _adjoins(self, i: int, token: Token, written: str) -> bool:
        """Refuse two operands side by side: `dpd >= 3 days`, `'a' 'b'`, `dpd 3`."""
        if i == 0:
            return True
        before, word = self._tokens[i - 1], self._words[i - 1]
        operand = before.token_type in {TokenType.NUMBER, TokenType.STRING, TokenType.R_PAREN} or (
            _WORD.fullmatch(word) is not None and word not in _JOINS
        )
        if not operand:
            return True
        left = self._text.raw[before.start : before.end + 1]
        mend = "write a comparison sign, `and` or `or` between them; a number stands without its unit"
        return self._refuse(token, f"`{written}` cannot stand after `{left}`", mend)

    def _sign(self, i: int, token: Token, sign: str) -> bool:
        if sign in COMPARISONS or sign in {"(", ")", ","}:
            return True
        if sign == "-" and self._is_minus(i):
            return True
        if sign in REFUSED_SIGNS:
            return self._refuse(token, *REFUSED_SIGNS[sign])
        if sign in _ARITHMETIC:
            return self._refuse(token, f"arithmetic (`{sign}`) is not part of this language", NEW_FACT)
        return self._refuse(token, f"`{sign[:20]}` is not part of this language", _NOTHING_ELSE)

    def _is_minus(self, i: int) -> bool:
        follows = i + 1 < len(self._tokens) and self._tokens[i + 1].token_type is TokenType.NUMBER
        before = self._word_at(i - 1)
        return follows and (before in COMPARISONS or before in {"(", ",", "between", "and"})

    def _word(self, i: int, token: Token, word: str) -> bool:
        lower = word.lower()
        if lower == "is":
            return self._is(i, token)
        if lower == "not" and self._word_at(i + 1) == "not":
            return self._refuse(token, "`not not` says nothing", "delete both")
        if lower in KEYWORDS:
            return lower in _JOINS or lower == "null" or self._adjoins(i, token, word)
        if lower in REFUSED_WORDS:
            return self._refuse(token, *REFUSED_WORDS[lower])
        if self._word_at(i + 1) == "(":
            return self._refuse(token, f"a function call, `{word}(...)`, is not part of this language", NEW_FACT)
        return self._adjoins(i, token, word) and self._name(i, token, word)

    def _name(self, i: int, token: Token, word: str) -> bool:
        names = self._names
        if word in names.facts or word in names.defined:
            return True
        if self._word_at(i - 1) in COMPARISONS:
            return self._refuse(token, f"`{word}` stands where a value belongs", f"{_QUOTES}: `'{word}'`")
        if word in names.later:
            self._refuse(token, f"`{word}` is defined further down", "move its definition above this one")
        elif word.lower() in names.facts or word.lower() in names.defined:
            self._refuse(token, f"unknown fact `{word}`", f"write `{word.lower()}`")
        else:
            at = self._text.spot(token.start)
            known = [*names.facts, *names.defined]
            self._problems.append(unknown_name("fact", word, known, at=at, otherwise="declare it in rules/facts.yaml"))
        return True

    def _is(self, i: int, token: Token) -> bool:
        negated = self._word_at(i + 1) == "not"
        word = self._word_at(i + 1 + negated)
        if word == "null":
            return True
        asked = f"is{' not' if negated else ''} {word}".rstrip()
        name = self._word_at(i - 1)
        if word in {"true", "false"}:
            plain = f"not {name}" if negated == (word == "true") else name
            mend = f"write `{plain}`; add `or {name} is null` if unknown shall count as well"
            return self._refuse(token, f"`{asked}` would decide over what is unknown", mend)
        return self._refuse(token, f"`{asked}` is not part of this language", "write `is null` or `is not null`")
