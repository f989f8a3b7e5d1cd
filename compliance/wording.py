"""What packs say of a text that somebody will read: what it must say, what it must not, and what it lets the gate know."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, get_args

from compliance.pack import Element, Pack, Rule, Wording
from compliance.phrases import Reading, read
from compliance.plan import concerns
from engine.gate import Ask, Channel, Purpose, Role
from engine.tree import FactValue

_ROLES: Final[tuple[Role, ...]] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Body:
    """
    One form of a message in one language.

    Attributes:
        whole: everything it may say. always: what it says to every reader, in the same places.
        heading: a subject line: what must be said is looked for below it.
    """

    language: str
    whole: Reading
    always: Reading
    heading: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What one rule has against a text.

    Attributes:
        element: what is said although it must not be, or is not said although it must be.
        start, end: where the text says it; None where it does not say it.
        said: the words of the text; empty where it does not say it.
    """

    rule: Rule
    element: Element
    start: int | None = None
    end: int | None = None
    said: str = ""


def check_text(
    text: str,
    language: str,
    channel: Channel,
    purpose: Purpose,
    role: Role,
    packs: Iterable[Pack],
    *,
    actor: str | None = None,
    on: date | None = None,
    overdue: bool = False,
    values: Mapping[str, str] | None = None,
) -> list[Finding]:
    """
    What packs have against a text to one person, such as an agent's own message.

    A rule that asks for facts (`given`) is left to the gate, which knows them: hand it `text_facts`.

    Args:
        language: the text's: what must be said is looked for in it, what must not be said in every language.
        packs: those that may bind.
        actor: whoever writes, e.g. first_party; None is not known: every pack binds.
        on: the day whose law holds; None: every rule, whatever its dates.
        overdue: something is known to be past due; else a text may not say so.
        values: what the text says where a template would name a value, e.g. {"lender.name": "Example Lender"}.
    Returns:
        what is said and must not be in the order of the text, then what is missing.
    """
    reading = read(text, values)
    rules = in_force(wording_rules(packs, actor=actor), on)
    return check_body(Body(language, reading, reading), binding(rules, channel, purpose, role, overdue=overdue))


def text_facts(
    text: str,
    language: str,
    channel: Channel,
    purpose: Purpose,
    packs: Iterable[Pack],
    *,
    actor: str | None = None,
    on: date | None = None,
    values: Mapping[str, str] | None = None,
) -> dict[str, FactValue]:
    """What a text lets the gate know, for `Ask.content`; arguments as in `check_text`, answer as in `content_facts`."""
    reading = read(text, values)
    rules = wording_rules(packs, actor=actor)
    return content_facts([Body(language, reading, reading)], channel, purpose, rules, on=on)


def wording_rules(packs: Iterable[Pack], *, actor: str | None = None, countries: Collection[str] = ()) -> list[Rule]:
    """The rules about wording that can bind this actor (None: whoever acts) there (none: anywhere), whatever their dates."""
    return [
        rule
        for pack in packs
        for rule in pack.rules
        if isinstance(rule.limit, Wording)
        and all(
            (actor is None or actor in reach.actors) and reach.holds_in(countries)
            for reach in (pack.reach, rule.reach)
            if reach is not None
        )
    ]


def in_force(rules: Iterable[Rule], on: date | None) -> list[Rule]:
    """Those of the rules that are in force on a day; None: all of them."""
    return [rule for rule in rules if on is None or rule.in_force(on)]


def binding(
    rules: Iterable[Rule], channel: Channel, purpose: Purpose, role: Role, *, overdue: bool
) -> list[tuple[Rule, Wording]]:
    """Those of the rules that a text must keep which goes to somebody of this role; `overdue` as in `check_text`."""
    ask = _ask(channel, purpose, role)
    return [
        (rule, limit)
        for rule in rules
        if isinstance(limit := rule.limit, Wording)
        and not rule.scope.given
        and not (limit.before_due and overdue)
        and concerns(rule, ask)
    ]


def check_body(body: Body, rules: Iterable[tuple[Rule, Wording]]) -> list[Finding]:
    """What rules have against one form of a message, as in `check_text`."""
    said: list[Finding] = []
    missing: list[Finding] = []
    for rule, limit in rules:
        for element in limit.forbids:
            said += [
                Finding(rule, element, start, end, body.whole.text[start:end])
                for start, end in body.whole.found(element.in_all())
            ]
        if not body.heading:
            missing += [Finding(rule, element) for element in limit.requires if not _says(body, element)]
    return sorted(said, key=lambda finding: (finding.start or 0, finding.rule.id)) + missing


def content_facts(
    bodies: Sequence[Body], channel: Channel, purpose: Purpose, rules: Sequence[Rule], *, on: date | None = None
) -> dict[str, FactValue]:
    """
    What a message lets the gate know, by what is found in it.

    Args:
        bodies: every form and language somebody may be sent: what must be said must stand in all of them.
        rules: about wording; those of other channels and purposes are left out.
        on: as in `check_text`.
    Returns:
        by name, true for what is said and false for what had to be said to everybody and is not, as the rules in force
        have it; and the id of each rule that the message breaks, in force or not, as false: the gate knows the day and
        the reader.
    """
    said: dict[str, FactValue] = {}
    required: dict[str, FactValue] = {}
    broken: dict[str, FactValue] = {}
    below = [body for body in bodies if not body.heading]
    named = {rule.id for rule in in_force(rules, on)}
    for rule, limit in _of_anybody(rules, channel, purpose):
        kept = {element.name: all(_says(body, element) for body in below) for element in limit.requires}
        forbidden = [element.name for element in limit.forbids if any(_says_at_all(body, element) for body in bodies)]
        if forbidden or not all(kept.values()):
            broken[rule.id] = False
        if rule.id in named:
            said.update(dict.fromkeys(forbidden, True))
            for name, found in kept.items():
                # Two rules that ask for one thing in words of their own must both find it. What only some readers are
                # owed is not missing for everybody: who reads is known where the rule's id is looked up.
                if found or not (rule.scope.roles or rule.scope.except_roles):
                    required[name] = found and required.get(name) is not False
    return {**said, **required, **broken}


def _of_anybody(rules: Iterable[Rule], channel: Channel, purpose: Purpose) -> Iterator[tuple[Rule, Wording]]:
    asks = [_ask(channel, purpose, role) for role in _ROLES]
    for rule in rules:
        if isinstance(rule.limit, Wording) and any(concerns(rule, ask) for ask in asks):
            yield rule, rule.limit


def _says_at_all(body: Body, element: Element) -> bool:
    return next(body.whole.found(element.in_all()), None) is not None


def _says(body: Body, element: Element) -> bool:
    return next(body.always.found(element.in_language(body.language)), None) is not None


def _ask(channel: Channel, purpose: Purpose, role: Role) -> Ask:
    """As much of an ask as tells whether a rule is about it."""
    return Ask("contact", channel, purpose, role, person=0, debts=(), jurisdictions=(), zones=())
