"""`duecourse packs law-diff`: what of the law changes between two dates, and what that means for the present book."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duecourse.clock import At, instant
from duecourse.output import table
from duecourse.session import Session
from engine.errors import Problem, SettingsError, StoreError

if TYPE_CHECKING:
    from rich.table import Table

    from compliance import LawChange
    from workflows.deciding.law_impact import Heard

_ANSWERS = ("go", "wait", "withheld")
_DAY = {"formats": ["%Y-%m-%d"]}


@dataclass(frozen=True, slots=True)
class _Impact:
    """The same book under the law of both dates."""

    before: "Heard"
    after: "Heard"
    loans: list[tuple[str, str, str]]


def law_diff(
    context: typer.Context,
    start: Annotated[datetime, typer.Option("--from", help="the law of this day", **_DAY)],
    end: Annotated[datetime, typer.Option("--to", help="against the law of this later day", **_DAY)],
    at: At = None,
    loans: Annotated[bool, typer.Option("--loans", help="list the loans that get another answer")] = False,
) -> None:
    """
    Say which rules begin, end or change between two days, and what that means for the book.

    The book is planned twice, once under the law of either day, with nothing else changed; nothing is written.
    """
    from rich.text import Text

    from compliance import law_diff as changes_between

    session: Session = context.obj
    from_on, to_on = start.date(), end.date()
    if from_on >= to_on:
        raise SettingsError(Problem("`--from` is not before `--to`", "give the earlier day first"))
    workspace = session.workspace_or_shipped
    countries = workspace.settings.countries
    packs = [pack for pack in workspace.gate.packs if pack.reach.holds_in(countries)]
    changes = changes_between(packs, from_on, to_on)
    impact = _impact(session, from_on, to_on, instant(at))
    answer: dict[str, Any] = {"from": from_on, "to": to_on, "rules": [_told(change) for change in changes]}
    drawn: list[Table | Text] = (
        [_rules_table(changes)] if changes else [Text(f"no rule changes from {from_on} to {to_on}")]
    )
    if impact is not None:
        answer["book"] = _book(impact)
        drawn += [Text(""), _channels_table(impact), Text("")]
        if held := _rules_held(impact):
            drawn += [_held_table(held), Text("")]
        drawn.append(Text(f"{len(impact.loans)} loans get another answer"))
        if loans and impact.loans:
            drawn.append(_loans_table(impact))
    session.output.answer(answer, lambda console: console.print(*drawn, sep="\n"))


def _impact(session: Session, from_on: date, to_on: date, now: datetime) -> _Impact | None:
    """None where there is no book to look at."""
    from workflows.deciding.law_impact import changed_loans

    try:
        works = session.works
    except (SettingsError, StoreError) as e:
        session.output.note(f"only the rules: there is no book to plan ({e.problems[0].what})")
        return None
    with session.output.progress("planning twice") as progress:
        before = works.heard_under(from_on, now, progress)
        after = works.heard_under(to_on, now, progress)
    return _Impact(before, after, list(changed_loans(before, after)))


def _told(change: "LawChange") -> dict[str, Any]:
    rule = change.rule
    return {
        "what": change.what,
        "on": change.on,
        "rule": rule.id,
        "says": rule.says_en,
        "citation": rule.citation,
        "instead_of": change.before.id if change.before else None,
    }


def _rules_table(changes: "list[LawChange]") -> "Table":
    from rich.text import Text

    drawn = table("on", "what", "rule", "says", "citation")
    drawn.columns[2].no_wrap = True  # a name is copied whole
    for change in changes:
        rule = change.rule
        says = f"{rule.says_en} (Instead of {change.before.id}.)" if change.before else rule.says_en
        drawn.add_row(*(Text(cell) for cell in (str(change.on), change.what, rule.id, says, rule.citation)))
    return drawn


def _book(impact: _Impact) -> dict[str, Any]:
    sides = (("from", impact.before), ("to", impact.after))
    channels = sorted({channel for _, heard in sides for channel, _ in heard.channels})
    return {
        "channels": {
            channel: {side: {word: heard.channels[channel, word] for word in _ANSWERS} for side, heard in sides}
            for channel in channels
        },
        "rules": [{"rule": rule, "from": was, "to": becomes} for rule, was, becomes in _rules_held(impact)],
        "loans_changed": len(impact.loans),
        "loans": [dict(zip(("loan", "from", "to"), row, strict=True)) for row in impact.loans],
    }


def _channels_table(impact: _Impact) -> "Table":
    drawn = table("channel", *_ANSWERS)
    channels = sorted({channel for heard in (impact.before, impact.after) for channel, _ in heard.channels})
    for channel in channels:
        cells = ((impact.before.channels[channel, word], impact.after.channels[channel, word]) for word in _ANSWERS)
        drawn.add_row(channel, *(_from_to(*cell) for cell in cells))
    return drawn


def _rules_held(impact: _Impact) -> list[tuple[str, int, int]]:
    """Rules that put off or refused more or less often, and how often."""
    names = sorted(impact.before.rules.keys() | impact.after.rules.keys())
    counted = ((name, impact.before.rules[name], impact.after.rules[name]) for name in names)
    return [(name, was, becomes) for name, was, becomes in counted if was != becomes]


def _held_table(held: list[tuple[str, int, int]]) -> "Table":
    drawn = table("rule", "put off or refused")
    for name, was, becomes in held:
        drawn.add_row(name, _from_to(was, becomes))
    return drawn


def _loans_table(impact: _Impact) -> "Table":
    from rich.text import Text

    drawn = table("loan", "before", "after")
    for row in impact.loans:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def _from_to(was: int, becomes: int) -> str:
    return f"{was:,}" if was == becomes else f"{was:,} -> {becomes:,}"
