"""The catalogue of outcomes: what people can report of a task, read from `outcomes.yaml` and checked whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, cast, get_args

from compliance.pack import KNOWN_OUTCOMES, MISDIRECTED
from compliance.pack import OUTCOMES as GROUPS
from engine.errors import Problem, RuleError, unknown_name
from engine.fields import Fields
from engine.source import Table, read_yaml

Effect = Literal["promise", "call_back", "wrong_person", "bad_endpoint", "dispute", "served", "give_back"]
"""
promise, call_back: they agreed to pay, or to be called, on a day. wrong_person: the number is somebody else's.
bad_endpoint: the number or address leads nowhere. dispute: a hold begins. served: the notice in it has gone out.
give_back: nobody tried; the task is free for others.
"""
Becomes = Literal["delivered", "failed", "cancelled", "sent"]

_FILE: Final = Path(__file__).with_name("outcomes.yaml")
_KEYS: Final = ("logged", "becomes", "counts", "follows", "facts", "en", "zh")
_COUNTS: Final = ("conversation", "unanswered", "voicemail_left", "met", "nobody_met", "contact", "nothing")
TASKS: Final = ("call", "visit", "letter", "legal")
_EXAMPLE: Final = "{logged: no_answer, becomes: delivered, counts: unanswered}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What can be reported.

    Attributes:
        logged: how the contact log calls it, in the words that rules and limits count by.
        status: what becomes of the task.
        effect: what else follows; None for nothing.
        counts: which of the packs' limits count it: one of their words, `contact` or `nothing`.
        facts: names of facts that read otherwise afterwards.
        en, zh: what it means, for whoever has to choose.
    """

    logged: str
    status: Becomes = "delivered"
    effect: Effect | None = None
    counts: str = "contact"
    facts: tuple[str, ...] = ()
    en: str = ""
    zh: str = ""


Catalogue = Mapping[str, Mapping[str, Outcome]]
"""By channel and name, in the order of the file."""


@cache
def outcomes() -> Catalogue:
    """The catalogue that Duecourse ships with."""
    return read_outcomes(_FILE.read_text(encoding="utf-8"), _FILE.name)


def read_outcomes(text: str, file: str) -> Catalogue:
    """
    Read a catalogue.

    Raises:
        RuleError: every unknown key, word and contradiction of the file at once.
    """
    problems: list[Problem] = []
    root = Fields.of(read_yaml(text, file), "the catalogue", TASKS, problems, example="call: {...}")
    found: dict[str, Mapping[str, Outcome]] = {}
    for channel in TASKS if root is not None else ():
        node = cast("Fields", root).required(channel, "{not_tried: {...}}")
        if isinstance(node, Table):
            read = {name: _outcome(node, name, problems) for name in node.items}
            found[channel] = {name: outcome for name, outcome in read.items() if outcome is not None}
        elif node is not None:
            problems.append(Problem(f"`{channel}` is not a table", f"write `no_answer: {_EXAMPLE}`", node.at))
    if problems:
        raise RuleError(problems)
    return found


def _outcome(table: Table, name: str, problems: list[Problem]) -> Outcome | None:
    fields = Fields.of(table.items[name], f"outcome `{name}`", _KEYS, problems, example=_EXAMPLE)
    if fields is None:
        return None
    before = len(problems)
    becomes = fields.one_of("becomes", "end", get_args(Becomes))
    counts = fields.one_of("counts", "limit", _COUNTS) or ""
    effect = fields.one_of("follows", "effect", get_args(Effect))
    for key, example in (
        ("becomes", "delivered"),
        ("counts", "contact"),
        ("en", "..."),
        ("zh", "..."),
        ("logged", "met"),
    ):
        fields.required(key, example)
    logged = "" if effect == "give_back" else fields.text("logged") or ""
    if logged and logged not in KNOWN_OUTCOMES:
        mend = "packs and rules count by the words of the contact log"
        problems.append(unknown_name("logged word", logged, KNOWN_OUTCOMES, at=fields.at, otherwise=mend))
    if counts in GROUPS and logged not in GROUPS[counts]:
        fields.refuse(f"`{logged}` does not count as {counts}", f"log it as one of {', '.join(sorted(GROUPS[counts]))}")
    if counts == "nothing" and not (logged in MISDIRECTED or effect == "give_back" or becomes == "cancelled"):
        fields.refuse(f"limits would count `{logged}`", "write `counts: contact`, or the packs' word for it")
    if (becomes == "sent") != (effect == "give_back"):
        fields.refuse("only what is given back is `sent` again", "write `becomes: delivered`, or `follows: give_back`")
    facts = fields.names("facts")
    en, zh = fields.text("en") or "", fields.text("zh") or ""
    if len(problems) > before:
        return None
    return Outcome(logged, cast("Becomes", becomes), cast("Effect | None", effect), counts, facts, en, zh)
