"""What a text says, as far as packs ask about it: of a template that somebody chose, or of words of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import cast

from sqlmodel import Session

from channels.template_file import Template
from channels.template_wording import facts_by_channel
from compliance.phrases import read
from compliance.wording import Body, Finding, binding, check_body, content_facts, in_force
from duecourse.workspace import Workspace
from engine.content import TemplateFacts
from engine.errors import DataError, Problem
from engine.gate import Channel, Purpose, Role
from engine.tree import FactValue
from store.tables import Contact, MessageText

_PHRASES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one workspace."""

    workspace: Workspace
    _of_day: dict[date, Mapping[Channel, Mapping[str, TemplateFacts]]] = field(default_factory=dict)

    def template(self, name: str, channel: Channel, on: date) -> TemplateFacts:
        """
        A template's purpose, and what the rules in force on a day find in it.

        Raises:
            DataError: there is none of that name for this channel.
        """
        self.workspace.templates.get(name, channel)
        if on not in self._of_day:
            self._of_day.clear()
            self._of_day[on] = facts_by_channel(self.workspace.templates, self.workspace.wording_rules, on=on)
        return self._of_day[on][channel][name]

    def for_purpose(self, purpose: Purpose, channel: Channel) -> Template | None:
        """The first template, by name, that is written for this purpose and channel."""
        fitting = (t for _, t in sorted(self.workspace.templates.by_name.items()) if t.purpose == purpose)
        return next((template for template in fitting if channel in template.channels), None)

    def facts(self, text: str, language: str, channel: Channel, purpose: Purpose, on: date) -> dict[str, FactValue]:
        """What somebody's own words let the gate know."""
        return content_facts([self._body(text, language)], channel, purpose, self.workspace.wording_rules, on=on)

    def problems(
        self, text: str, language: str, channel: Channel, purpose: Purpose, role: Role, *, on: date, overdue: bool
    ) -> list[Problem]:
        """What the packs have against somebody's own words, each with its place in the text and its mend."""
        rules = binding(in_force(self.workspace.wording_rules, on), channel, purpose, role, overdue=overdue)
        return [self._problem(finding, language) for finding in check_body(self._body(text, language), rules)]

    def of_contact(self, session: Session, contact: Contact) -> Mapping[str, FactValue]:
        """What a contact without a rule says: its template, or what somebody wrote for it."""
        channel, on = cast("Channel", contact.channel), contact.at.date()
        if contact.name:
            known = self.workspace.templates.by_name.get(contact.name)
            return self.template(contact.name, channel, on).content if known and channel in known.channels else {}
        own = session.get(MessageText, contact.id)
        if own is None:
            return {}
        return self.facts(whole(own.text, own.subject), own.language, channel, cast("Purpose", contact.purpose), on)

    def _body(self, text: str, language: str) -> Body:
        lender = self.workspace.settings.lender
        values = {"lender.name": lender.name, "lender.phone": lender.phone, "lender.url": lender.url}
        reading = read(text, {name: value for name, value in values.items() if value})
        return Body(language, reading, reading)

    def _problem(self, finding: Finding, language: str) -> Problem:
        rule, name = finding.rule, finding.element.name
        source = f"{rule.id} ({rule.citation})"
        if finding.start is None:
            lender = self.workspace.settings.lender
            ways = [
                phrase.replace("{{ lender.name }}", lender.name)
                .replace("{{ lender.phone }}", lender.phone)
                .replace("{{ lender.url }}", lender.url)
                for phrase in finding.element.in_language(language)
            ]
            shown = " or ".join(f"`{way}`" for way in [way for way in ways if way and "{{" not in way][:_PHRASES_SHOWN])
            what = f"the text does not say `{name}`, which {source} requires"
            return Problem(what, f"say {shown}" if shown else f"say what it asks for: {rule.says_en.rstrip('.')}")
        said = " ".join(finding.said.split())
        what = f"character {finding.start + 1}: the text says `{said}`: `{name}`, which {source} forbids"
        return Problem(what, f"say it otherwise: {rule.says_en.rstrip('.')}")


def whole(text: str, subject: str) -> str:
    """All that a message says: what must not be said must not stand in its subject either."""
    return f"{subject}\n{text}" if subject else text


def refuse_markup(text: str) -> None:
    """
    Refuse words of somebody's own that look like a template: they are sent as they stand.

    Raises:
        DataError: there is markup in it, or nothing at all.
    """
    if not text.strip():
        raise DataError(Problem("the text is empty", "write what it says"))
    if "{{" in text or "{%" in text:
        what = "a text of your own is sent as it stands, and this one holds `{{` or `{%`"
        raise DataError(Problem(what, "write the values out, or make it a template"))
