"""Whether the texts of a template are of one piece: the same numbers everywhere, as values, in few text messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from channels.template_text import NUMBERS, compiled
from channels.wording import opt_out, sms_segments
from compliance.phrases import read
from engine.content import GROUPS, OPT_OUT, Language
from engine.errors import Place, Problem
from engine.gate import Channel
from engine.source import Table, Text

SEGMENTS_MAX: Final = 6
"""Text messages a carrier may make of one text; more are costly, arrive out of order, and are not read."""

SPOKEN_MAX: Final = 800
"""Characters of a recorded call: about a minute, and well within what a provider takes with a call."""
_OWED: Final = frozenset({"lender.name", "lender.phone"})
_OPEN: Final = _OWED | {"lender.url"}

# Long, but not absurd: what the length of a text message is judged with.
_SAMPLE: Final = {
    "addressee.name": "Alexandra Montgomery", "borrower.name": "Alexandra Montgomery", "loan.ref": "****4821", "loan.product": "personal loan",
    "loan.overdue": "$12,345.67", "loan.balance": "$123,456.78", "loan.min_payment": "$1,234.56", "loan.dpd": "123",
    "loan.due_on": "September 30, 2026", "loan.first_unpaid_on": "September 30, 2026", "promise.amount": "$12,345.67",
    "promise.due_on": "September 30, 2026", "lender.name": "Example Lender Finance", "lender.phone": "+1 555 010 0000",
    "lender.url": "https://pay.lender.example",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wording:
    """
    One language of a template. `subject` and `html` are empty where it has none.

    Attributes:
        parts: subject, text and html as they stand in the file, whose places problems name. at: where the language begins.
    """

    text: str
    subject: str
    html: str
    parts: Mapping[str, Text]
    at: Place


def form_problems(
    wording: Wording, uses: Mapping[str, frozenset[str]], channels: Sequence[Channel], language: Language
) -> list[Problem]:
    """What one language of a template must not leave out of its HTML, must not write out, and how long it may be."""
    at = wording.at
    problems: list[Problem] = []
    if "html" in uses and (missing := (uses["text"] ^ uses["html"]) & NUMBERS):
        what = f"`{language}` says {_ticked(missing)} in only one of `text` and `html`"
        problems.append(Problem(what, "say the same numbers in both", at))
    for part in wording.parts.values():
        for start, end in read(part.raw).found(["{amount}"]):
            what = f"`{language}` writes out the amount `{part.raw[start:end].strip()}`"
            problems.append(Problem(what, "use a value such as `{{ loan.overdue }}`", part.spot(start)))
    if "sms" in channels:
        segments = sms_segments(_sample(wording.text, language))
        if segments > SEGMENTS_MAX:
            what = f"`{language}` makes {segments} text messages; at most {SEGMENTS_MAX} are sent as one"
            problems.append(Problem(what, "say less, or use another channel", at))
    return problems


def spoken_problems(wording: Wording, uses: Mapping[str, frozenset[str]], language: Language) -> list[Problem]:
    """
    What a recorded call must say, and must not: a child or a colleague may pick up, or a machine that others hear.

    Source: 47 CFR 64.1200(b)(1), (2): every such call says who calls and at which number they are reached.
    """
    used = uses.get("text", frozenset())
    problems: list[Problem] = []
    if private := used - _OPEN:
        what = f"`{language}` says {_ticked(private)} to whoever picks up"
        problems.append(Problem(what, f"say only {_ticked(_OPEN)}: who calls, and where to call back", wording.at))
    if missing := _OWED - used:
        what = f"`{language}` does not say {_ticked(missing)}, which a recorded call owes whoever hears it"
        problems.append(Problem(what, "say who calls and the number to call back", wording.at))
    if len(wording.text) > SPOKEN_MAX:
        what = f"`{language}` takes more than a minute to hear: {len(wording.text)} characters, at most {SPOKEN_MAX}"
        problems.append(Problem(what, "say less: it is heard twice", wording.at))
    return problems


def _sample(text: str, language: Language) -> str:
    values = {group: {name: _SAMPLE[f"{group}.{name}"] for name in names} for group, names in GROUPS.items()}
    return compiled(text, html=False).render({**values, OPT_OUT: opt_out("sms", language)})


def difference_problems(uses: Mapping[Language, Mapping[str, frozenset[str]]], root: Table) -> list[Problem]:
    """A translation that leaves a number out tells some borrowers less than others."""
    problems = []
    for one, other in ((a, b) for a in uses for b in uses if a != b):
        if missing := (uses[other].get("text", frozenset()) - uses[one].get("text", frozenset())) & NUMBERS:
            what = f"`{one}` does not say {_ticked(missing)}, which `{other}` says"
            problems.append(Problem(what, "say the same numbers in every language", root.key_at[one]))
    return problems


def _ticked(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
