"""
Template files: what is said to people, by language, checked whole before anything is sent.

A file may serve several channels with one text; the subject is a mail's or a letter's, scripts and visit
briefs are texts for our own staff. `rules/templates/*.yaml` holds the shipped ones.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast, get_args

from channels.template_checks import Wording, difference_problems, form_problems, spoken_problems
from channels.template_text import read_text
from engine.content import LANGUAGES, Language
from engine.errors import DataError, Place, Problem, RuleError, unknown_name
from engine.gate import CHANNELS, Channel, Purpose
from engine.source import Listing, Table, Text, read_yaml

_KEYS: Final = ("template", "channels", "purpose", "recorded")
_PARTS: Final = ("subject", "text", "html")
_PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
_FOLD_ZH: Final = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])")


@dataclass(frozen=True, slots=True)
class Template:
    """
    What goes out under one name.

    Attributes:
        wordings: by language.
        recorded: it is read out in a recorded call; the text of a call is else a script for our own people.
        uses: every variable of every text, e.g. `loan.overdue`.
        digest: hash of the file's content, in hex; tells which wording somebody was sent.
    """

    name: str
    channels: tuple[Channel, ...]
    purpose: Purpose
    wordings: Mapping[Language, Wording]
    uses: frozenset[str]
    at: Place
    digest: str
    recorded: bool = False

    def language(self, wanted: str, fallback: str) -> Language:
        """
        The language to write in: the borrower's (`zh-CN` is `zh`), else the lender's default; never a mixture.

        Raises:
            DataError: it is written in neither.
        """
        for code in (wanted, wanted.replace("_", "-").partition("-")[0].lower(), fallback):
            if code in self.wordings:
                return cast(Language, code)
        what = f"template `{self.name}` is written neither in `{wanted}` nor in `{fallback}`"
        raise DataError(Problem(what, f"add `{fallback}:` to it", self.at))


@dataclass(frozen=True, slots=True)
class Templates:
    """Every template, by name."""

    by_name: Mapping[str, Template]

    def get(self, name: str, channel: Channel) -> Template:
        """
        The template of that name for that channel.

        Raises:
            DataError: there is none, or it is not written for this channel.
        """
        template = self.by_name.get(name)
        if template is None:
            otherwise = f"write rules/templates/{name}.yaml"
            raise DataError(unknown_name("template", name, self.by_name, at=None, otherwise=otherwise))
        if channel not in template.channels:
            what = f"template `{name}` is not written for {channel}"
            raise DataError(Problem(what, f"add `{channel}` to its `channels:`", template.at))
        return template


def read_templates(files: Mapping[str, str], *, languages: Sequence[Language] = LANGUAGES) -> Templates:
    """
    Read every template file.

    Args:
        files: file name -> content.
        languages: those every template must be written in.
    Raises:
        RuleError: every problem of every file at once.
    """
    problems: list[Problem] = []
    by_name: dict[str, Template] = {}
    for file, content in sorted(files.items()):
        try:
            template = _read(content, file, languages)
        except RuleError as e:
            problems += e.problems
            continue
        if first := by_name.get(template.name):
            what = f"template `{template.name}` is written twice, first in {first.at.file}"
            problems.append(Problem(what, "rename or delete one of them", template.at))
        by_name[template.name] = template
    if problems:
        raise RuleError(problems)
    return Templates(by_name)


def _read(content: str, file: str, languages: Sequence[Language]) -> Template:
    root = read_yaml(content, file)
    if not isinstance(root, Table):
        raise RuleError(Problem("a template is a table", "write `template: name` on its first line", root.at))
    problems: list[Problem] = []
    for key in root.items:
        if key not in _KEYS and key not in LANGUAGES:
            known = (*_KEYS, *LANGUAGES)
            problems.append(unknown_name("key", key, known, at=root.key_at[key], otherwise=_one_of(known)))
    name = _name(root, problems)
    channels = _channels(root, problems)
    purpose = _purpose(root, problems)
    recorded = _recorded(root, channels, problems)
    lines = content.splitlines()
    wordings: dict[Language, Wording] = {}
    uses: dict[Language, dict[str, frozenset[str]]] = {}
    for language in LANGUAGES:
        if language in root.items:
            wordings[language], uses[language] = _wording(root, language, channels, lines, problems)
        elif language in languages:
            problems.append(Problem(f"language `{language}` is missing", f"write `{language}: {{text: ...}}`", root.at))
    if not problems:
        for language, wording in wordings.items():
            problems += form_problems(wording, uses[language], channels, language)
            problems += spoken_problems(wording, uses[language], language) if recorded else []
        problems += difference_problems(uses, root)
    if problems:
        raise RuleError(problems)
    every = frozenset().union(*(used for parts in uses.values() for used in parts.values()))
    return Template(
        name=name,
        channels=channels,
        purpose=purpose,
        wordings=wordings,
        uses=every,
        at=root.at,
        digest=hashlib.sha256(content.encode()).hexdigest(),
        recorded=recorded,
    )


def _name(root: Table, problems: list[Problem]) -> str:
    node = root.items.get("template")
    if isinstance(node, Text) and isinstance(node.value, str) and re.fullmatch(r"[a-z0-9][a-z0-9-]*", node.value):
        return node.value
    at = node.at if node else root.at
    problems.append(Problem("the template has no name", "write `template: friendly-reminder`", at))
    return ""


def _channels(root: Table, problems: list[Problem]) -> tuple[Channel, ...]:
    node = root.items.get("channels")
    found: list[Channel] = []
    for item in node if isinstance(node, Listing) else ():
        if isinstance(item, Text) and item.value in CHANNELS:
            found.append(cast(Channel, item.value))
        else:
            raw = item.raw if isinstance(item, Text) else "..."
            problems.append(unknown_name("channel", raw, CHANNELS, at=item.at, otherwise=_one_of(CHANNELS)))
    if not isinstance(node, Listing) or not node.items:
        at = node.at if node else root.at
        problems.append(Problem("the template names no channel", "write `channels: [sms, email]`", at))
    return tuple(found)


def _purpose(root: Table, problems: list[Problem]) -> Purpose:
    node = root.items.get("purpose")
    if isinstance(node, Text) and node.value in _PURPOSES:
        return cast(Purpose, node.value)
    if isinstance(node, Text):
        problems.append(unknown_name("purpose", node.raw, _PURPOSES, at=node.at, otherwise=_one_of(_PURPOSES)))
    else:
        problems.append(Problem("the template has no purpose", "write `purpose: collect`", root.at))
    return "collect"


def _recorded(root: Table, channels: Sequence[Channel], problems: list[Problem]) -> bool:
    node = root.items.get("recorded")
    if node is None:
        return False
    if not isinstance(node, Text) or node.value is not True:
        problems.append(Problem("`recorded` is not `true`", "write `recorded: true`, or leave it out", node.at))
    elif channels and tuple(channels) != ("call",):
        what = "a text that is read out in a call is for other channels too"
        problems.append(Problem(what, "write `channels: [call]`, and another template for the others", node.at))
    return True


def _wording(
    root: Table, language: Language, channels: Sequence[Channel], lines: Sequence[str], problems: list[Problem]
) -> tuple[Wording, dict[str, frozenset[str]]]:
    node, at = root.items[language], root.key_at[language]
    texts: dict[str, str] = {}
    read: dict[str, Text] = {}
    uses: dict[str, frozenset[str]] = {}
    parts = node.items if isinstance(node, Table) else {}
    for part, value in parts.items():
        if part not in _PARTS:
            where = cast(Table, node).key_at[part]
            problems.append(unknown_name("key", part, _PARTS, at=where, otherwise=_one_of(_PARTS)))
        elif not isinstance(value, Text) or not isinstance(value.value, str) or not value.value.strip():
            problems.append(Problem(f"`{part}` is no text", f"write `{part}: >-` and the text below it", value.at))
        else:
            # YAML folds a line break into a space, which Chinese does not put between sentences.
            texts[part] = _FOLD_ZH.sub("", value.value) if language == "zh" else value.value
            read[part] = value
            uses[part], found = read_text(value.value)
            problems += [Problem(p.problem.what, p.problem.mend, _place(value, p.line, lines)) for p in found]
    if "text" not in parts:
        problems.append(Problem(f"`{language}` has no text", f"write `{language}: {{text: ...}}`", at))
    if "email" in channels and "subject" not in parts:
        problems.append(Problem(f"`{language}` has no subject for its email", "write `subject: ...`", at))
    return Wording(texts.get("text", ""), texts.get("subject", ""), texts.get("html", ""), read, at), uses


def _place(value: Text, line: int, lines: Sequence[str]) -> Place:
    opening = lines[value.at.line - 1][value.at.column - 1 :][:1]
    # Of a literal block every line stands where it stands in the file; other styles join lines as they are read.
    return Place(value.at.file, value.at.line + line) if opening == "|" else value.at


def _one_of(names: Sequence[str]) -> str:
    return f"write one of {', '.join(names)}"
