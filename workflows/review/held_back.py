"""What was held back, what came near, and which law behind it nobody of ours has read."""

from typing import Final

from workflows.review.judged import CLOSING_MINUTES
from workflows.review.report import Cell, Number, Section, Table
from workflows.review.work import SHOWN, Work, quoted

_NEAR: Final = {
    "last_place": (
        "the last place of a limit",
        "Of limits with two places and more: of one, every contact uses the last.",
    ),
    "in_vain": (
        "tried when a limit was used up",
        "The contact did not count in the end: nobody was there, or the message failed.",
    ),
    "closing": (
        "shortly before the hours ended",
        f"Within {CLOSING_MINUTES} minutes, by the strictest clock of the person.",
    ),
    "late": (
        "known too late",
        "What forbids it was said or began before the contact, and came into the book only afterwards.",
    ),
}
_NONE: Final = (("none", "", Number(0)),)


def refusals(work: Work) -> Section:
    """What the gate held back when decisions were made, by rule."""
    rows: list[tuple[Cell, ...]] = []
    for (rule,) in work.rows("select distinct rule from listed_verdict order by rule"):
        row: list[Cell] = [work.pack(rule), rule, work.citation(rule)]
        for outcome, word in (("deny", "Refused"), ("defer", "Put off")):
            query = (
                'select position, entry, loan, person, rule, decided, "at" from listed_verdict'
                f" where rule = '{quoted(rule)}' and outcome = '{outcome}'"
            )
            name, title = f"{outcome}-{rule}", f"{word} by {rule}"
            counts = ("count(*)", "count(distinct person)", "count(distinct loan)")
            row += [work.lists.number(name, title, query, count=count) for count in counts]
        rows.append(tuple(row))
    columns = ("pack", "rule", "citation", "refused", "persons", "loans", "put off", "persons", "loans")
    text = (
        "Decisions in which a rule had something against at least one act that was wanted. One decision may count under several rules.",
        "What was refused has no scheduled end; what was put off has.",
    )
    if not rows:
        return Section("refusals", "Refused and put off", (*text, "The gate had nothing against anything."))
    return Section(
        "refusals", "Refused and put off", text, (Table(columns, tuple(rows), wide=(1.6, 2.6, 2.6, 1, 1, 1, 1, 1, 1)),)
    )


def near_misses(work: Work) -> Section:
    """What was allowed with little to spare, and what the second look held back."""
    tables = []
    for kind, (title, meaning) in _NEAR.items():
        only = " and rule in (select rule from use where most > 1)" if kind == "last_place" else ""
        rows: list[tuple[Cell, ...]] = []
        for (rule,) in work.rows(f"select distinct rule from mark where kind = '{kind}'{only} order by rule"):
            head, where = f"{title.capitalize()}: {rule}", f"kind = '{kind}' and rule = '{quoted(rule)}'"
            rows.append((rule, work.citation(rule), work.marks(f"near-{kind}-{rule}", head, where)))
        tables.append(Table(("rule", "citation", "contacts"), tuple(rows) or _NONE, title, (3, 3, 1), meaning))
    rows = []
    for rule, what in work.rows("select distinct rule, what from listed_stopped order by all"):
        query = f"select * from listed_stopped where rule = '{quoted(rule)}' and what = '{what}'"
        name = f"stopped-{what.replace(' ', '-')}-{rule}"
        rows.append(
            (
                rule,
                work.citation(rule),
                what,
                work.lists.number(name, f"{what.capitalize()} at the second look: {rule}", query),
            )
        )
    meaning = "Decided, allowed then, and held back immediately before it would have gone."
    columns = ("rule", "citation", "", "looks")
    tables.append(
        Table(
            columns, tuple(rows) or (("none", "", "", Number(0)),), "stopped by the second look", (3, 3, 1, 1), meaning
        )
    )
    return Section("near-misses", "Near misses", (), tuple(tables))


def unverified(work: Work) -> Section:
    """Rules in force that nobody has read in the original."""
    rows: list[tuple[Cell, ...]] = []
    for rule, (pack, known) in sorted(work.named.items()):
        if known.provenance == "verified" or not known.binding:
            continue
        query = f"select position, entry, loan, person, rule, decided, \"at\" from listed_verdict where rule = '{quoted(rule)}'"
        count = work.lists.number(f"unverified-{rule}", f"Held back by {rule}", query)
        used = work.lists.number(f"bound-{rule}", f"Contacts that {rule} was about", _bound(rule))
        if count.value or used.value:
            rows.append((pack.id, rule, known.citation, known.provenance, f"{known.review_on}", count, used))
    text = (
        "Rules that held something back or were counted for a contact in the month, and whose text nobody of ours has read in the original. `secondary`: read in reports of it.",
    )
    if not rows:
        return Section("unverified", "Unverified law in use", (*text, "None was in use."))
    columns = ("pack", "rule", "citation", "read", "review by", "held back", "contacts")
    return Section(
        "unverified",
        "Unverified law in use",
        text,
        (Table(columns, tuple(rows), wide=(1.5, 2.6, 2.6, 1.3, 1.3, 1, 1)),),
    )


def _bound(rule: str) -> str:
    return (
        f"select {SHOWN} from listed_contact where contact in (select contact from use where rule = '{quoted(rule)}'"
        f" union select contact from hour where list_contains(rules, '{quoted(rule)}'))"
    )
