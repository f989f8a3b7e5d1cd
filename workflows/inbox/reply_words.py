"""What a reply of one word means: stop, start, help, or that it reached somebody else. The words are data beside this file."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args
from unicodedata import category, normalize

from engine.errors import Problem, RuleError
from engine.source import Listing, Table, Text, read_yaml

Meaning = Literal["stop", "start", "help", "wrong_person", "free"]
"""free: none of them; somebody has to read it."""

_FILE: Final = Path(__file__).with_suffix(".yaml")
_KINDS: Final = (*get_args(Meaning)[:-1], "polite")


def meaning_of(text: str) -> Meaning:
    """What a whole message means; the language it is in makes no difference, nor does politeness around it."""
    words = _words()
    folded = _bare(_fold(text), words["polite"])
    for kind in get_args(Meaning)[:-1]:
        known = words[kind]
        if folded in known or _repeats(folded.split(), known):
            found: Meaning = kind
            return found
    return "free"


def _repeats(words: list[str], known: frozenset[str]) -> bool:
    """Whether one phrase is said several times, or several phrases of one word each."""
    said = (words[:n] for n in range(1, len(words)) if words == words[:n] * (len(words) // n))
    return any(" ".join(phrase) in known for phrase in said) or (bool(words) and known.issuperset(words))


def read_words(text: str, file: str) -> Mapping[str, frozenset[str]]:
    """
    Read the words: kind -> every phrase, as it is compared.

    Raises:
        RuleError: an unknown kind, one that is missing, a phrase of two kinds, or none at all.
    """
    root = read_yaml(text, file)
    if not isinstance(root, Table):
        raise RuleError(Problem("the words are not a table", "write `stop: {en: [stop]}`", root.at))
    problems: list[Problem] = []
    words: dict[str, frozenset[str]] = {}
    taken: dict[str, str] = {}
    for kind, languages in root.items.items():
        if kind not in _KINDS or not isinstance(languages, Table):
            problems.append(Problem(f"unknown kind `{kind}`", f"write one of {', '.join(_KINDS)}", root.key_at[kind]))
            continue
        found: set[str] = set()
        for language, phrases in languages.items.items():
            for phrase in phrases if isinstance(phrases, Listing) else ():
                folded = _fold(phrase.raw) if isinstance(phrase, Text) else ""
                if not folded:
                    problems.append(Problem(f"a phrase of `{language}` says nothing", "write words", phrase.at))
                elif taken.setdefault(folded, kind) != kind:
                    what = f"`{folded}` means `{taken[folded]}` and `{kind}`"
                    problems.append(Problem(what, "keep one of them", phrase.at))
                found.add(folded)
        words[kind] = frozenset(found)
    problems += [
        Problem(f"`{kind}` is missing", "write its words", root.at) for kind in _KINDS if kind not in root.items
    ]
    if problems:
        raise RuleError(problems)
    return words


@cache
def _words() -> Mapping[str, frozenset[str]]:
    return read_words(_FILE.read_text(encoding="utf-8"), _FILE.name)


def _fold(text: str) -> str:
    """Small letters without accents, and one space for whatever is neither letter nor digit; `don't` is `dont`."""
    plain = "".join(c for c in normalize("NFKD", text.casefold()) if not category(c).startswith("M"))
    plain = normalize("NFC", plain).replace("'", "").replace("\u2019", "")
    return " ".join("".join(c if category(c)[0] in "LN" else " " for c in plain).split())


def _bare(folded: str, polite: frozenset[str]) -> str:
    """Without the politeness at either end."""
    before = ""
    while folded != before:
        before = folded
        for phrase in polite:
            # Chinese is written without gaps.
            gap = "" if ord(phrase[0]) > 0x2E7F else " "
            if folded.startswith(phrase + gap) and len(folded) > len(phrase):
                folded = folded[len(phrase) :].strip()
            if folded.endswith(gap + phrase) and len(folded) > len(phrase):
                folded = folded[: -len(phrase)].strip()
    return folded
