"""
How a phrase of a pack is found in a text: as a person reads it, not as it is typed.

Capitals, full-width letters, invisible characters, kinds of dash and the length of a gap make no difference. Latin
words stand alone (`sue` is not in `issue`, and `sue*` is in `sued`); Chinese is found anywhere, with gaps or without.
`{{ lender.name }}` is a value as templates say it, `{{ loan.* }}` any of its group, `{amount}` money written out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from unicodedata import category, normalize

from engine.content import GROUPS, VARIABLES
from engine.errors import unknown_name

_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = "[0-9a-z_\u00c0-\u024f]"
"""What a Latin word is made of, once folded. A short list: these patterns are built whenever files are read."""
_HAN_CHARACTER: Final = re.compile(f"[{_HAN}]")
_LATIN: Final = re.compile(_WORD)

_FIRST: Final = 0xE000
"""Values stand in a reading as one character each, of the private use area, which no text can then counterfeit."""
_MARK: Final = {name: chr(_FIRST + number) for number, name in enumerate(VARIABLES)}
_LAST: Final = 0xF8FF
_VALUE: Final = re.compile(r"\{\{[-+]?\s*([\w.]+)\s*[-+]?\}\}")
_APOSTROPHES: Final = frozenset("\u2018\u2019\u02bc\uff07`")

_PATTERNS: Final[Mapping[str, str]] = {
    "amount": r"[$€£¥]\s?\d[\d,.]*|\d[\d,.]*\s?(?:dollars?|yuan|euros?|pounds?|rmb|元|美元|块)|(?<![a-z])(?:usd|cny|eur|gbp|rmb)\s?\d[\d,.]*",
}
_TOKEN: Final = re.compile(
    r"\{\{\s*(?P<value>[^{}]*?)\s*\}\}|\{(?P<pattern>[^{}]*)\}|(?P<gap>\s+)|(?P<star>\*)|(?P<character>.)", re.DOTALL
)


class UnreadablePhrase(Exception):  # noqa: N818  never leaves the room: the pack's reader turns it into a problem
    """A phrase that finds nothing, or does not say what it would find."""

    def __init__(self, what: str, mend: str) -> None:
        self.what, self.mend = what, mend
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class Reading:
    """
    A text as it is searched.

    Attributes:
        text: as it was written.
        folded: what is searched. origins: where each of its characters begins in `text`, and the end.
    """

    text: str
    folded: str
    origins: tuple[int, ...]

    def found(self, phrases: Iterable[str]) -> Iterator[tuple[int, int]]:
        """Where in the text any of the phrases stands, first to last: the first character and the one after the last."""
        for match in _finder(tuple(phrases)).finditer(self.folded):
            yield self.origins[match.start()], self.origins[match.end()]


def read(text: str, values: Mapping[str, str] | None = None) -> Reading:
    """
    Make a text ready to be searched.

    Args:
        text: values in it stand as `{{ lender.name }}`.
        values: what a value says where it is written out, e.g. {"lender.name": "Example Lender"}.
    """
    return _read(text, tuple(sorted((values or {}).items())))


@lru_cache(maxsize=1024)
def _read(text: str, values: tuple[tuple[str, str], ...]) -> Reading:
    folded: list[str] = []
    origins: list[int] = []

    def add(characters: str, origin: int) -> None:
        folded.append(characters)
        origins.extend([origin] * len(characters))

    end = 0
    for start, stop, name in _values(text, values):
        for place in range(end, start):
            add(_fold(text[place]), place)
        add(_MARK[name], start)
        end = stop
    for place in range(end, len(text)):
        add(_fold(text[place]), place)
    return Reading(text, "".join(folded), (*origins, len(text)))


def _values(text: str, values: Iterable[tuple[str, str]]) -> list[tuple[int, int, str]]:
    found = [(value.start(), value.end(), value[1]) for value in _VALUE.finditer(text) if value[1] in _MARK]
    for name, said in values:
        if said.strip():
            found += [(*match.span(), name) for match in re.finditer(re.escape(said), text, re.IGNORECASE)]
    apart: list[tuple[int, int, str]] = []
    for start, stop, name in sorted(found, key=lambda one: (one[0], -one[1])):
        if not apart or start >= apart[-1][1]:
            apart.append((start, stop, name))
    return apart


@lru_cache(maxsize=8192)
def _fold(character: str) -> str:
    if character.isspace():
        return " "
    if category(character) == "Cf":
        return ""
    if character in _APOSTROPHES:
        return "'"
    if category(character) == "Pd":
        return "-"
    if _FIRST <= ord(character) <= _LAST:
        return "\ufffd"
    return normalize("NFKC", character).casefold()


@lru_cache(maxsize=4096)
def _finder(phrases: tuple[str, ...]) -> re.Pattern[str]:
    # The longest first, so that what is shown as found is the whole of it.
    return re.compile("|".join(source(phrase) for phrase in sorted(phrases, key=len, reverse=True)) or r"(?!)")


def source(phrase: str) -> str:
    """
    The regular expression that finds a phrase in a reading.

    Raises:
        UnreadablePhrase: it holds a value or a pattern that nobody knows, a `*` that ends no word, or nothing at all.
    """
    pieces: list[str] = []
    before = ""  # what the piece before is: `latin`, `wide` (Chinese, or a value), `other`; empty at the beginning
    gap, ended, found = False, False, False
    for token in _TOKEN.finditer(phrase.strip()):
        if token["gap"] is not None:
            gap = True
            continue
        if token["star"] is not None:
            if gap or ended or before != "latin":
                raise UnreadablePhrase(
                    "`*` stands for the rest of a Latin word", "write it at the end of one: `threat*`"
                )
            pieces.append(f"{_WORD}*")
            ended = True
            continue
        piece, kind = _piece(token)
        if not piece:
            continue  # a character that nobody sees
        if ended and kind == "latin" and not gap:
            raise UnreadablePhrase("`*` stands for the rest of a Latin word", "write it at the end of one: `threat*`")
        if before == "" and kind == "latin":
            pieces.append(f"(?<!{_WORD})")
        elif before and "wide" in (before, kind):
            pieces.append(r"\s*")
        elif before and gap:
            pieces.append(r"\s+")
        pieces.append(piece)
        found = found or kind != "other" or piece.isalnum()
        before, gap, ended = kind, False, False
    if not found:
        raise UnreadablePhrase("there is nothing to find in it", "write the words that are meant")
    if before == "latin" and not ended:
        pieces.append(f"(?!{_WORD})")
    return "".join(pieces)


def _piece(token: re.Match[str]) -> tuple[str, str]:
    if (name := token["value"]) is not None:
        group = name[:-1] if name.endswith(".*") else None
        marks = [mark for known, mark in _MARK.items() if known == name or (group and known.startswith(group))]
        if not marks:
            known = [f"{{{{ {value} }}}}" for value in (*VARIABLES, *(f"{group}.*" for group in GROUPS))]
            problem = unknown_name("value", token[0], known, at=None, otherwise=f"write one of {', '.join(known)}")
            raise UnreadablePhrase(problem.what, problem.mend)
        return f"[{''.join(marks)}]", "wide"
    if (name := token["pattern"]) is not None:
        if name not in _PATTERNS:
            raise UnreadablePhrase(f"unknown pattern `{token[0]}`", "write `{amount}` for money written out, or words")
        return f"(?:{_PATTERNS[name]})", "wide"
    folded = _fold(token["character"])
    if _HAN_CHARACTER.match(folded):
        return re.escape(folded), "wide"
    return re.escape(folded), "latin" if _LATIN.match(folded) else "other"
