"""`duecourse contact ...`: what a person does themselves: a call, a visit, a letter, a message, or one made elsewhere."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from duecourse.clock import At
from duecourse.output import ANSWER_IS_NO
from duecourse.reports import Amount, CallAt, Due, Mark, Said, With, called_at, happened, learnt_of, promised_of
from duecourse.session import Session
from engine.content import Language
from engine.errors import Problem, SettingsError
from engine.gate import Channel, Ground, Purpose, Role
from engine.tree import FactValue

if TYPE_CHECKING:
    from workflows.desk.by_hand import Approval, Done

Loan = Annotated[str, typer.Argument(help="a loan's reference")]
Agent = Annotated[str, typer.Option(help="who", envvar="DUECOURSE_AGENT")]
Whom = Annotated[Role | None, typer.Option("--role", help="whom, by their part in the loan [default: borrower]")]
Person = Annotated[str | None, typer.Option(help="whom, by reference, where several have that part")]
Spot = Annotated[int | None, typer.Option("--endpoint", help="by which number or address; `endpoints list` shows them")]
What = Annotated[Purpose, typer.Option(help="what for")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Contacts that a person makes.", no_args_is_help=True)
    group.command("start")(start)
    group.command("send")(send)
    group.command("record")(record)
    app.add_typer(group, name="contact")


def start(
    context: typer.Context,
    loan: Loan,
    channel: Annotated[Literal["call", "visit", "letter"], typer.Argument(help="how")],
    agent: Agent,
    role: Whom = None,
    person: Person = None,
    endpoint: Spot = None,
    purpose: What = "collect",
    override: Annotated[str | None, typer.Option(help="a presumption to set aside, e.g. us.regf.freq.calls")] = None,
    ground: Annotated[Ground | None, typer.Option(help="on which ground")] = None,
    evidence: Annotated[str | None, typer.Option(help="where the proof is")] = None,
    approved_by: Annotated[str | None, typer.Option(help="who agreed; not the agent")] = None,
    together: With = None,
    at: At = None,
) -> None:
    """
    Ask the gate, and if it allows it take the contact in hand; `tasks outcome` reports what came of it.

    Refused, it stands in the log with its reasons, and the exit code is 3.
    """
    from workflows.desk import by_hand
    from workflows.desk.asking import Wanted

    session: Session = context.obj
    approval = _approval(override, ground, evidence, approved_by)
    going: dict[str, FactValue] = {"collectors_present": 1 + len(set(together or ()) - {agent})}
    wanted = Wanted(loan, channel, role, person, endpoint, purpose, content=going if channel == "visit" else {})
    done = by_hand.start(session.works.door, wanted, agent=agent, now=session.rehearsed(at), approval=approval)
    _tell(session, done, f"{done.contact}  {channel}, in your hands until you report\n\n{done.text}")


def send(
    context: typer.Context,
    loan: Loan,
    channel: Annotated[Literal["sms", "email"], typer.Argument(help="how")],
    agent: Agent,
    template: Annotated[str | None, typer.Option(help="a template's name")] = None,
    text: Annotated[
        str | None, typer.Option(help="or words of your own; they are checked and sent as they stand")
    ] = None,
    subject: Annotated[str, typer.Option(help="of an email of your own")] = "",
    lang: Annotated[Language | None, typer.Option(help="the language of your own words [default: theirs]")] = None,
    role: Whom = None,
    person: Person = None,
    endpoint: Spot = None,
    purpose: What = "collect",
    at: At = None,
) -> None:
    """Plan a message; dispatch looks at it again and sends it. Refused, the exit code is 3."""
    from duecourse.texts import refuse_markup, whole
    from workflows.desk import by_hand
    from workflows.desk.asking import Wanted, address

    session: Session = context.obj
    works, now = session.works, session.rehearsed(at)
    if (template is None) == (text is None):
        raise SettingsError(Problem("a message has a template or words of your own", "write `--template` or `--text`"))
    found = address(works.door, Wanted(loan, channel, role, person), now)
    own, problems, on = None, list[Problem](), found.situation.on
    if text is not None:
        refuse_markup(text)
        if channel == "email" and not subject.strip():
            raise SettingsError(Problem("an email has a subject", "write `--subject`"))
        own = by_hand.Text(text, lang or found.person.language.partition("-")[0], subject)
        dpd = found.loan.facts.get("dpd")
        overdue = type(dpd) is int and dpd > 0
        says = whole(text, subject)
        problems = works.texts.problems(says, own.language, channel, purpose, found.role, on=on, overdue=overdue)
        content = works.texts.facts(says, own.language, channel, purpose, on)
    else:
        facts = works.texts.template(template or "", channel, on)
        # A demand that rode as a service message would escape the limits on dunning.
        purpose, content = facts.purpose, dict(facts.content)
    wanted = Wanted(loan, channel, role, person, endpoint, purpose, name=template or "", content=content)
    done = by_hand.send(works.door, wanted, own, agent=agent, now=now)
    when = f"{done.not_before:%Y-%m-%d %H:%M}Z" if done.not_before else ""
    _tell(session, done, f"{done.contact}: planned for {when}; `duecourse dispatch` sends it", problems)


def record(
    context: typer.Context,
    loan: Loan,
    channel: Annotated[Channel, typer.Argument(help="how")],
    direction: Annotated[Literal["in", "out"], typer.Option(help="in: they contacted us; out: we did")],
    outcome: Annotated[str, typer.Option(help="what came of it, as in `tasks outcome`; of a message sent or received")],
    agent: Agent,
    at: At = None,
    role: Whom = None,
    person: Person = None,
    endpoint: Spot = None,
    purpose: What = "collect",
    amount: Amount = None,
    due: Due = None,
    call_at: CallAt = None,
    said: Said = None,
    mark: Mark = None,
) -> None:
    """
    Write down a contact that was made without us: the borrower called, somebody called from another telephone.

    It counts from now on. One of ours that the gate would have refused is written down all the same, and raises an alert.
    """
    from duecourse.clock import now
    from store.timeline import known_loan
    from workflows.desk import by_hand
    from workflows.desk.asking import Wanted
    from workflows.desk.sayings import given_to

    session: Session = context.obj
    with session.database.session() as reading:
        currency = known_loan(reading, loan).currency
    moment = happened(at)
    wanted = Wanted(loan, channel, role, person, endpoint, purpose)
    done = by_hand.record(
        session.works.door, wanted, outcome, direction=direction, agent=agent, at=moment, now=max(moment, now()),
        call_at=called_at(call_at),
        promised=promised_of(amount, due, currency), learnt=learnt_of(said, mark, given_to(session.settings.actor)),
        live=at is None,
    )  # fmt: skip
    session.output.answer(_json(session, done), lambda console: console.print(f"{done.contact}: {channel} {outcome}"))
    verdict = done.answer.best.verdict
    if direction == "out" and verdict.outcome != "allow":
        rules = ", ".join(reason.rule for reason in verdict.reasons)
        session.output.note(f"the gate would not have allowed it: {rules}; it is recorded, and an alert is raised")


def _approval(
    override: str | None, ground: Ground | None, evidence: str | None, approved_by: str | None
) -> "Approval | None":
    from workflows.desk.by_hand import Approval

    if override is None and ground is None and evidence is None and approved_by is None:
        return None
    if override is None or ground is None or evidence is None or approved_by is None:
        mend = "write `--override RULE --ground GROUND --evidence REF --approved-by NAME`"
        raise SettingsError(Problem("an override needs its rule, ground, evidence and who approved it", mend))
    return Approval(override, ground, evidence, approved_by)


def _tell(session: Session, done: "Done", went: str, problems: "list[Problem] | None" = None) -> None:
    from duecourse.answers import lines

    found = problems or []
    answer = {**_json(session, done), "text": [{"what": p.what, "mend": p.mend} for p in found]}
    said = [went] if done.contact is not None else [*lines(done.answer, session.settings.language), *map(str, found)]
    session.output.answer(answer, lambda console: console.print("\n".join(said), markup=False))
    if done.contact is None:
        raise typer.Exit(ANSWER_IS_NO)


def _json(session: Session, done: "Done") -> dict[str, object]:
    from duecourse.answers import answer_json

    found = answer_json(done.answer, session.settings.language)
    return {"contact": done.contact, "run": done.run, "not_before": done.not_before, "whom": done.text, **found}
