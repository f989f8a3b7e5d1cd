"""What was done: breaches, contacts, and how much of each limit they used up."""

from collections.abc import Iterable
from typing import Final

from workflows.review.report import Cell, Number, Section, Table
from workflows.review.work import SHOWN, Work, quoted

BREACHES: Final = {
    "limit": "more contacts than the limit allows",
    "quiet": "too soon after a contact",
    "hours": "outside the hours",
    "refusal": "after a refusal that was on file",
    "hold": "during a hold that was on file",
    "consent": "without consent or another basis",
    "addressee": "to somebody who may not be addressed",
    "notice": "without the notice that it owes",
}
_TOLD_MAX: Final = 50
"""Breaches that are told one by one in the review; all of them are in their lists."""


def breaches(work: Work) -> Section:
    """What broke a rule, whatever the gate had said of it."""
    kinds = work.rows(f"select distinct kind, rule from mark where kind in ({_in(BREACHES)}) order by all")
    rows: list[tuple[Cell, ...]] = []
    for kind, rule in kinds:
        name = f"breach-{kind}-{rule}"
        number = work.marks(
            name, f"{BREACHES[kind].capitalize()}: {rule}", f"kind = '{kind}' and rule = '{quoted(rule)}'", bad=True
        )
        rows.append((BREACHES[kind], rule, work.citation(rule), number))
    total = sum(row[3].value for row in rows if isinstance(row[3], Number))
    text = (
        "Counted from the contacts as they happened, by the packs in use at the time, and by other code than the gate's.",
        "What the gate let through by mistake, or never saw, stands here too. A contact that is in doubt counts as made.",
    )
    if not rows:
        return Section("breaches", "Breaches", (*text, "None was found."))
    told = work.rows(
        f'select contact, loan, rule, local, "at", what from listed_mark where kind in ({_in(BREACHES)}) order by "at", contact, rule limit {_TOLD_MAX}'
    )
    detail = tuple((contact, loan, rule, local or at, what) for contact, loan, rule, local, at, what in told)
    tables = (
        Table(("what", "rule", "citation", "contacts"), tuple(rows), wide=(3, 3, 3, 1)),
        Table(("contact", "loan", "rule", "local time", "what"), detail, "one by one" if total <= _TOLD_MAX else f"the first {_TOLD_MAX}", (1.3, 1.3, 2.2, 1.6, 4)),
    )  # fmt: skip
    return Section("breaches", "Breaches", text, tables, findings=total)


def contacts(work: Work) -> Section:
    """What was made, by channel, purpose and outcome."""
    of_month = "in_month and direction = 'out'"
    tables = []
    for column, title in (("channel", "by channel"), ("purpose", "by purpose")):
        rows: list[tuple[Cell, ...]] = []
        for (value,) in work.rows(f"select distinct {column} from listed_contact where {of_month} order by all"):
            where = f"{of_month} and {column} = '{quoted(value)}'"
            query = f"select {SHOWN} from listed_contact where {where}"
            name, head = f"contacts-{column}-{value}", f"Contacts {title}: {value}"
            rows.append((
                value,
                work.lists.number(name, head, query),
                work.contacts(f"{name}-people", f"{head}, by people", f"{where} and is_task"),
                work.lists.number(name, head, query, count="count(distinct person)"),
                work.lists.number(name, head, query, count="count(distinct loan)"),
            ))  # fmt: skip
        tables.append(
            Table(
                (column, "contacts", "of these by our people", "persons", "loans"),
                tuple(rows),
                title,
                (2, 1, 1.4, 1, 1),
            )
        )
    pairs = work.rows(f"select distinct channel, outcome from listed_contact where {of_month} order by all")
    rows = [
        (channel, came, work.contacts(f"contacts-{channel}-{came}", f"{channel}: {came}", f"{of_month} and channel = '{quoted(channel)}' and outcome = '{quoted(came)}'"))
        for channel, came in pairs
    ]  # fmt: skip
    tables.append(Table(("channel", "outcome", "contacts"), tuple(rows), "by outcome", (2, 3, 1)))
    heard = work.contacts("contacts-in", "Contacts from them to us", "in_month and direction = 'in'")
    tables.append(Table(("", "contacts"), (("from them to us", heard),), "what came in", (4, 1)))
    text = "Made, or possibly made: messages that left or may have left, tasks that somebody worked. What only waits in a queue is not here."
    return Section("contacts", "Contacts", (text,), tuple(tables))


def frequency(work: Work) -> Section:
    """How much of each limit was used, by person, debt or number."""
    rows: list[tuple[Cell, ...]] = []
    widest = max([most for (most,) in work.rows("select max(most) from use") if most is not None], default=0)
    shown = min(widest, 12)
    for rule, unit, most in work.rows("select rule, unit, max(most) from use group by rule, unit order by all"):
        of = f"rule = '{quoted(rule)}' and unit = '{unit}'"
        row: list[Cell] = [rule, work.citation(rule), unit, f"{most}"]
        for used in range(shown + 1):
            last = used == shown and most > shown
            test = f"used between {used} and {most}" if last else f"used = {used}"
            row.append(_peaks(work, rule, unit, f"{of} and {test}", f"{used}") if used <= most else "")
        row.append(_peaks(work, rule, unit, f"{of} and used > {most}", "above", bad=True))
        rows.append(tuple(row))
    head = [f"{used}" if used < shown or widest <= shown else f"{used} and more" for used in range(shown + 1)]
    text = (
        "Of each limit that counts: how many persons, debts or numbers used so many of its places in their fullest window that ended in the month.",
        "0: somebody was contacted under the limit and nothing of it counted.",
    )
    if not rows:
        return Section(
            "frequency", "How much of each limit was used", (*text, "No limit that counts was about any contact.")
        )
    columns = ("rule", "citation", "per", "limit", *head, "above")
    return Section(
        "frequency",
        "How much of each limit was used",
        text,
        (Table(columns, tuple(rows), wide=(3, 2.6, 1.1, 0.8, *[0.75] * (shown + 1), 0.9)),),
    )


def _peaks(work: Work, rule: str, unit: str, where: str, used: str, *, bad: bool = False) -> Number:
    query = (
        f'select c.position, c.entry, c.contact, c.loan, c.person, peak.rule, c."at", c.local, peak.used'
        f" from peak join listed_contact c using (contact) where {where.replace('rule =', 'peak.rule =')}"
    )
    return work.lists.number(f"used-{rule}-{unit}-{used}", f"Used {used} of {rule}, per {unit}", query, bad=bad)


def _in(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
