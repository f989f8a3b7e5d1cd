"""What the texts of a template must and must not say, whatever their language."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from channels.template_text import GROUPS, NUMBERS, OPT_OUT, compiled
from channels.wording import Language, opt_out, sms_segments
from engine.errors import Place, Problem
from engine.gate import Channel, Purpose
from engine.source import Table
from engine.tree import FactValue

SEGMENTS_MAX: Final = 6
"""Text messages a carrier may make of one text; more are costly, arrive out of order, and are not read."""

_ASKS_OPT_OUT: Final = ("collect", "required_notice")
_WRITTEN: Final = ("sms", "email", "letter")
_PAST_DUE: Final = re.compile(
    r"past[ -]?due|overdue|delinquen|in arrears|missed|late payment|逾期|拖欠|欠缴|未按时", re.IGNORECASE
)
_PAST_DUE_VALUES: Final = frozenset({"loan.overdue", "loan.first_unpaid_on", "loan.dpd"})
_DEBT: Final = re.compile(
    r"debt|\b(?:loan|owe[sd]?|owing|arrears|repay\w*|instal?lments?|collections?|credit|payments?|overdue|balance)\b"
    r"|欠款|欠债|债务|贷款|借款|还款|待还|催收|信用卡|逾期|账单",
    re.IGNORECASE,
)
_AMOUNT: Final = re.compile(
    r"[$€£¥]\s?\d[\d,.]*|\d[\d,.]*\s?(?:dollars|yuan|euros|元|美元|块)|\b(?:USD|CNY|EUR|GBP|RMB)\s?\d[\d,.]*"
)
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
    """One language of a template. `subject` and `html` are empty where it has none."""

    text: str
    subject: str = ""
    html: str = ""


def mentions_past_due(wordings: Iterable[Wording], uses: frozenset[str]) -> bool:
    """Whether a text says or implies that a payment is late, in words or by a number only a late payment has."""
    said = " ".join(part for w in wordings for part in (w.subject, w.text, w.html))
    return bool(_PAST_DUE.search(said)) or bool(uses & _PAST_DUE_VALUES)


def mentions_debt(wordings: Iterable[Wording], uses: frozenset[str]) -> bool:
    """Whether a text lets a reader know that there is a debt: by a value of the loan or a promise, or in words."""
    said = " ".join(part for w in wordings for part in (w.subject, w.text, w.html))
    return any(name.startswith(("loan", "promise")) for name in uses) or bool(_DEBT.search(said))


def content_facts(uses: Iterable[Mapping[str, frozenset[str]]], channel: Channel) -> dict[str, FactValue]:
    """
    What a pack may ask about a message on a channel, true only where it is true of every language and form.

    Args:
        uses: per language, the variables of each part.
    Returns:
        nothing where staff read the text and speak for themselves: a script does not tell what is said.
    """
    if channel not in _WRITTEN:
        return {}
    forms = ("text", "html") if channel == "email" else ("text",)
    bodies = [parts[form] for parts in uses for form in forms if form in parts]
    facts: dict[str, FactValue] = {"institution_named": all("lender.name" in body for body in bodies)}
    if channel in ("sms", "email"):
        facts["opt_out_notice"] = all(OPT_OUT in body for body in bodies)
    return facts


def content_problems(
    wording: Wording,
    uses: Mapping[str, frozenset[str]],
    channels: Sequence[Channel],
    purpose: Purpose,
    language: Language,
    at: Place,
) -> list[Problem]:
    """What one language of a template must say, must not write out, and how long it may be."""
    problems: list[Problem] = []
    electronic = [c for c in channels if c in ("sms", "email")]
    if purpose in _ASKS_OPT_OUT:
        bodies = [part for part in ("text", "html") if part in uses]
        if electronic and not all(OPT_OUT in uses[part] for part in bodies):
            what = f"`{language}` does not say how to opt out of {' and '.join(electronic)}"
            problems.append(Problem(what, "end every form of the text with `{{ opt_out }}`", at))
        if any(c in _WRITTEN for c in channels) and not all("lender.name" in uses[part] for part in bodies):
            problems.append(Problem(f"`{language}` does not say who writes", "use `{{ lender.name }}` in the text", at))
    if "html" in uses and (missing := (uses["text"] ^ uses["html"]) & NUMBERS):
        what = f"`{language}` says {_ticked(missing)} in only one of `text` and `html`"
        problems.append(Problem(what, "say the same numbers in both", at))
    problems += [
        Problem(
            f"`{language}` writes out the amount `{found[0].strip()}`", "use a value such as `{{ loan.overdue }}`", at
        )
        for found in _AMOUNT.finditer(f"{wording.subject} {wording.text} {wording.html}")
    ]
    if "sms" in channels:
        segments = sms_segments(_sample(wording.text, language))
        if segments > SEGMENTS_MAX:
            what = f"`{language}` makes {segments} text messages; at most {SEGMENTS_MAX} are sent as one"
            problems.append(Problem(what, "say less, or use another channel", at))
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
