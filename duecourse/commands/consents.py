"""`duecourse consents ...`: what people said about being contacted, and what follows from it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from duecourse.clock import At, instant
from duecourse.output import table
from duecourse.reports import happened
from duecourse.session import Session
from engine.errors import DataError, Problem
from engine.gate import Role, Statement

if TYPE_CHECKING:
    from compliance.standing import Standing
    from workflows.inbox.replies import Taken
    from workflows.ledger_view import LedgerView

Whose = Annotated[
    str | None, typer.Argument(help="a loan's reference; its borrower is meant, or `--role`", metavar="LOAN")
]
Person = Annotated[str | None, typer.Option(help="or a person's own reference")]
Whom = Annotated[Role | None, typer.Option("--role", help="their part in the loan [default: borrower]")]
Agent = Annotated[str, typer.Option(help="who writes it down", envvar="DUECOURSE_AGENT")]
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="The consent and preference ledger.", no_args_is_help=True)
    group.command("show")(show)
    group.command("add")(add)
    group.command("reply")(reply)
    group.command("replies")(replies)
    group.command("read")(read)
    app.add_typer(group, name="consents")


def show(
    context: typer.Context,
    loan: Whose = None,
    person: Person = None,
    role: Whom = None,
    as_of: Annotated[str | None, typer.Option(help="as it stood at this instant [default: now]")] = None,
) -> None:
    """Show what somebody said about being contacted, and how each way of reaching them stands."""
    from rich.text import Text

    from workflows.ledger_view import find_person, view

    session: Session = context.obj
    with session.database.session() as reading:
        found = view(reading, find_person(reading, loan, person, role), as_of=instant(as_of))
    said = table("received", "said", "how", "by", "until")
    for line in found.lines:
        until = _at(line.said.until_us)
        said.add_row(
            *(Text(cell) for cell in (f"{line.at:%Y-%m-%d %H:%M}Z", _words(line.said), line.how, line.source, until))
        )
    stands = table("way", "stands", "terms")
    for one in found.standings:
        stands.add_row(*(Text(cell) for cell in (_way(one), _stands(one, found), _terms(one))))
    answer = {
        "person": found.person, "as_of": found.as_of,
        "statements": [_line(line.said, line.at, line.how, line.evidence, line.source, line.ref) for line in found.lines],
        "standing": [_standing(one, found) for one in found.standings],
    }  # fmt: skip
    session.output.answer(
        answer, lambda console: console.print(said if found.lines else "nothing was said", "\n", stands, sep="")
    )


def add(
    context: typer.Context,
    statement: Annotated[
        list[str], typer.Argument(help="what was said, e.g. `no_medium call`, `inconvenient_time 00:00-12:00`")
    ],
    agent: Agent,
    loan: Annotated[str | None, typer.Option(help="whose: the borrower of this loan, or `--role` of it")] = None,
    person: Person = None,
    role: Whom = None,
    endpoint: Annotated[
        int | None, typer.Option(help="only this number or address; `endpoints list` shows them")
    ] = None,
    this_loan: Annotated[bool, typer.Option("--this-loan", help="only about this loan")] = False,
    how: Annotated[str, typer.Option(help="how it was said: phone, letter, in person")] = "",
    evidence: Annotated[str, typer.Option(help="where the proof is")] = "",
    key: Annotated[str | None, typer.Option(help="your name for it; the same again changes nothing")] = None,
    at: At = None,
) -> None:
    """
    Write down what somebody said about being contacted; it holds from this moment.

    First the kind, then what narrows it, in any order: channels, hours, days, a consent's scope, `until:2026-12-31`.
    """
    from duecourse.clock import now
    from store.consents import add_statement
    from store.outbox import lock_versions
    from workflows.desk.sayings import given_to, own_endpoint, read_saying
    from workflows.desk.sayings import statement as stated
    from workflows.ledger_view import find_person

    session: Session = context.obj
    saying, moment = read_saying(" ".join(statement)), happened(at)
    if this_loan and loan is None:
        raise DataError(Problem("`--this-loan` names none", "write `--loan REF`"))
    with session.database.write() as writing:
        found = find_person(writing, loan, person, role)
        lock_versions(writing, [found.id or 0])
        spot = own_endpoint(writing, found, endpoint)
        debts = _debt(writing, loan) if this_loan else ()
        ref = f"agent:{agent}:{key or f'{found.id}:{moment.isoformat()}:{saying.kind}'}"
        said = stated(
            saying, found.id or 0, endpoint=spot, at=moment, zones=tuple(found.zones.split()), debts=debts,
            given_to=given_to(session.settings.actor), how=how, evidence=evidence, source=f"agent:{agent}", ref=ref,
        )  # fmt: skip
        new = add_statement(writing, said, now=now(), live=at is None)
    answer = {"person": found.ref, "kind": saying.kind, "added": new}
    line = f"{found.ref}: {saying.kind}" + ("" if new else ", known already")
    session.output.answer(answer, lambda console: console.print(line, markup=False))


def reply(
    context: typer.Context,
    loan: Annotated[str, typer.Argument(help="a loan's reference")],
    channel: Annotated[Literal["sms", "email"], typer.Option(help="how it came")],
    text: Annotated[str, typer.Option(help="what it says")],
    key: Annotated[str, typer.Option(help="your name for this message; the same again changes nothing")],
    role: Whom = None,
    person: Person = None,
    endpoint: Annotated[int | None, typer.Option(help="the number or address it came from")] = None,
    at: At = None,
) -> None:
    """Take in a message that somebody sent us: stop, start, help, a wrong number, or words for a person to read."""
    from duecourse.people import take_reply

    session: Session = context.obj
    taken = take_reply(
        session.works, loan, channel, text, key, role=role, person=person, endpoint=endpoint, at=happened(at),
        dated=at is not None,
    )  # fmt: skip
    answer = {
        "meaning": taken.meaning, "contact": taken.contact, "again": taken.again, "waits": taken.waits,
        "statement": taken.statement, "answer": taken.answer.contact if taken.answer is not None else None,
    }  # fmt: skip
    session.output.answer(answer, lambda console: console.print(_taken(taken), markup=False))


def replies(context: typer.Context) -> None:
    """List what people wrote and nobody has read."""
    from rich.text import Text

    from store.timeline import loan_refs
    from workflows.inbox.replies import waiting_replies

    session: Session = context.obj
    with session.database.session() as reading:
        found = waiting_replies(reading)
        refs = loan_refs(reading, (contact.loan_id for contact, _ in found))
    rows = [
        {"reply": contact.id, "loan": refs[contact.loan_id], "channel": contact.channel, "at": contact.at, "text": text}
        for contact, text in found
    ]
    drawn = table("reply", "loan", "channel", "at", "text")
    for row in rows:
        cells = (row["reply"], row["loan"], row["channel"], f"{row['at']:%Y-%m-%d %H:%M}Z", row["text"])
        drawn.add_row(*(Text(str(cell)) for cell in cells))
    session.output.answer(rows, lambda console: console.print(drawn if rows else "nothing waits to be read"))


def read(context: typer.Context, contact: Annotated[str, typer.Argument(metavar="REPLY")], agent: Agent) -> None:
    """Say that a reply was read, and that what follows from it is written down."""
    from duecourse.clock import now
    from workflows.inbox.replies import mark_read

    session: Session = context.obj
    with session.database.write() as writing:
        mark_read(writing, contact, agent=agent, now=now())
    session.output.answer({"reply": contact, "read_by": agent}, lambda console: console.print(f"{contact}: read"))


def _debt(writing: Any, loan: str | None) -> tuple[int, ...]:
    from store.timeline import known_loan

    return (known_loan(writing, loan or "").id or 0,)


def _taken(taken: "Taken") -> str:
    if taken.again:
        return f"{taken.contact}: known already"
    said = f"{taken.contact}: {taken.meaning}"
    if taken.statement is not None:
        said += f", {taken.statement} written down"
    if taken.answer is not None and taken.answer.contact is not None:
        said += f", answered by {taken.answer.contact}"
    return said + (", waits for a person" if taken.waits else "")


def _way(one: "Standing") -> str:
    return one.channel if one.endpoint is None else f"{one.channel} {one.endpoint.kind} {one.endpoint.id}"


def _stands(one: "Standing", found: "LedgerView") -> str:
    if not one.closed_by:
        return "open"
    line = found.line_of(one.closed_by[0])
    until = f" until {_at(line.said.until_us)}" if line.said.until_us is not None else ""
    return f"closed since {line.at:%Y-%m-%d %H:%M}Z by {_words(line.said)} ({line.how or line.source}){until}"


def _terms(one: "Standing") -> str:
    consents = (f"{_words(said)} until {_at(said.until_us) or 'taken back'}" for said in one.consents)
    return "; ".join((*map(_words, one.closed_at), *consents))


def _words(said: Statement) -> str:
    """A statement in the words in which it is written down."""
    words = [said.kind, said.scope, *said.channels, *said.purposes, said.place or ""]
    words += [
        f"{w.from_minute // 60:02}:{w.from_minute % 60:02}-{w.to_minute // 60:02}:{w.to_minute % 60:02}"
        for w in said.windows
    ]
    words += dict.fromkeys(_DAYS[day] for window in said.windows for day in window.days)
    words += [day.isoformat() for day in said.only_on]
    words += [f"endpoint {said.endpoint}"] if said.endpoint is not None else []
    words += ["about one loan"] if said.debts else []
    return " ".join(word for word in words if word)


def _at(us: int | None) -> str:
    from store.columns import from_us

    return f"{from_us(us):%Y-%m-%d %H:%M}Z" if us is not None else ""


def _line(said: Statement, at: datetime, how: str, evidence: str, source: str, ref: str) -> dict[str, Any]:
    return {
        "received_at": at, "said": _words(said), "kind": said.kind, "scope": said.scope, "channels": list(said.channels),
        "endpoint": said.endpoint, "given_to": said.given_to, "until": _at(said.until_us) or None, "how": how,
        "evidence": evidence, "source": source, "ref": ref,
    }  # fmt: skip


def _standing(one: "Standing", found: "LedgerView") -> dict[str, Any]:
    return {
        "channel": one.channel,
        "endpoint": one.endpoint.id if one.endpoint is not None else None,
        "open": not one.closed_by,
        "closed_since": found.line_of(one.closed_by[0]).at if one.closed_by else None,
        "closed_by": [found.line_of(said).ref for said in one.closed_by],
        "closed_at": [_words(said) for said in one.closed_at],
        "consents": [{"said": _words(said), "until": _at(said.until_us) or None} for said in one.consents],
    }
