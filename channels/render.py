"""
Rendering: the moment a name, a number and an amount meet, which is at sending and never before.

Every number a message says comes from the same values, formatted once, in one language.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from channels.template_file import Template
from channels.template_text import LATE_VALUES, Group, Missing, Unsaid, compiled
from channels.wording import amount, day, masked, opt_out, plain, product
from engine.content import GROUPS, OPT_OUT, Language
from engine.errors import DataError, Problem
from engine.gate import Channel


@dataclass(frozen=True, slots=True)
class Values:
    """
    What a template may say of one contact. Amounts are minor units of `currency`; None is not known.

    Attributes:
        borrower_name: empty where the addressee may not learn it. addressee_name: whoever reads the text.
        overdue_minor: due and unpaid today. min_payment_minor: what keeps the account from falling behind.
        due_on: the next due date. first_unpaid_on: the oldest due date that is not paid.
        dpd: days past due.
        unsubscribe_url: as in `Message`.
    """

    borrower_name: str
    addressee_name: str
    lender_name: str
    lender_phone: str
    lender_url: str
    loan_ref: str
    product: str
    currency: str
    overdue_minor: int | None = None
    balance_minor: int | None = None
    min_payment_minor: int | None = None
    due_on: date | None = None
    first_unpaid_on: date | None = None
    dpd: int | None = None
    promise_minor: int | None = None
    promise_due_on: date | None = None
    unsubscribe_url: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """
    The parts of one message, in one language. `subject` and `html` are empty where the channel has none.

    Attributes:
        values: what it says for each of its variables, e.g. `loan.overdue`.
    """

    text: str
    language: Language
    subject: str = ""
    html: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


_WITH_SUBJECT: Final = ("email", "letter")


def render(template: Template, channel: Channel, language: str, values: Values, *, fallback: str = "en") -> Rendered:
    """
    Say a template to one person.

    Args:
        language: the person's; `fallback` is the lender's, used whole when the template lacks the first.
    Raises:
        DataError: it would say a value that only a late payment has although nothing is past due, or one that
            is not known; nothing may be sent then.
    """
    spoken = template.language(language, fallback)
    late = template.uses & LATE_VALUES
    if late and not (values.dpd and values.dpd > 0):
        what = f"template `{template.name}` says `{min(late)}`, and nothing is past due"
        raise DataError(Problem(what, "use it in rules that ask for `dpd >= 1`", template.at))
    known = _known(values, spoken)
    wording, said = template.wordings[spoken], _said(known, values, channel, spoken)
    try:
        text = compiled(wording.text, html=False).render(said).strip()
        subject = compiled(wording.subject, html=False).render(said) if channel in _WITH_SUBJECT else ""
        html = compiled(wording.html, html=True).render(said).strip() if channel == "email" else ""
    except Unsaid as unsaid:
        what = f"template `{template.name}` says `{unsaid.name}`, which is not known"
        mend = f"import it, or say it inside `{{% if {unsaid.name} %}}...{{% endif %}}`"
        raise DataError(Problem(what, mend, template.at)) from None
    used = {name: str(known[name]) for name in sorted(template.uses) if known.get(name) is not None}
    return Rendered(text, spoken, plain(subject), html, used)


def _known(values: Values, language: Language) -> Mapping[str, str | int | None]:
    def money(minor: int | None) -> str | None:
        return None if minor is None else amount(minor, values.currency, language)

    def on(when: date | None) -> str | None:
        return None if when is None else day(when, language)

    return {
        "addressee.name": plain(values.addressee_name) or None,
        "borrower.name": plain(values.borrower_name) or None,
        "loan.ref": masked(values.loan_ref),
        "loan.product": product(values.product, language),
        "loan.overdue": money(values.overdue_minor),
        "loan.balance": money(values.balance_minor),
        "loan.min_payment": money(values.min_payment_minor),
        "loan.due_on": on(values.due_on),
        "loan.first_unpaid_on": on(values.first_unpaid_on),
        "loan.dpd": values.dpd,
        "promise.amount": money(values.promise_minor),
        "promise.due_on": on(values.promise_due_on),
        "lender.name": plain(values.lender_name),
        "lender.phone": plain(values.lender_phone),
        "lender.url": plain(values.lender_url),
    }


def _said(
    known: Mapping[str, str | int | None], values: Values, channel: Channel, language: Language
) -> dict[str, Any]:
    said: dict[str, Any] = {OPT_OUT: opt_out(channel, language, values.unsubscribe_url)}
    for group, names in GROUPS.items():
        named = {name: known[f"{group}.{name}"] for name in names}
        said[group] = Group({n: Missing(f"{group}.{n}") if v is None else v for n, v in named.items()})
    return said
