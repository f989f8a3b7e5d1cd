"""`duecourse gate ask LOAN CHANNEL`: may somebody be contacted now, and if not, why and from when?"""

from typing import Annotated

import typer

from duecourse.clock import At, instant
from duecourse.output import ANSWER_IS_NO
from duecourse.session import Session
from engine.content import Language
from engine.errors import Problem, SettingsError
from engine.gate import Channel, Purpose, Role
from engine.stages import Stage


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Ask the law and the house what is allowed.", no_args_is_help=True)
    group.callback()(_group)
    group.command("ask")(ask)
    app.add_typer(group, name="gate")


def _group() -> None:
    """A callback, so that a group of one command keeps that command's name."""


def ask(
    context: typer.Context,
    loan: Annotated[str, typer.Argument(help="a loan's reference")],
    channel: Annotated[
        Channel | None, typer.Argument(help="sms, email, call, visit, letter, or legal for a filing")
    ] = None,
    role: Annotated[Role | None, typer.Option(help="whom, by their part in the loan [default: borrower]")] = None,
    person: Annotated[str | None, typer.Option(help="whom, by reference, where several have that part")] = None,
    endpoint: Annotated[int | None, typer.Option(help="only this number or address")] = None,
    purpose: Annotated[Purpose, typer.Option(help="what for")] = "collect",
    move: Annotated[Stage | None, typer.Option(help="ask about a move to this stage instead")] = None,
    text: Annotated[str | None, typer.Option(help="what the message would say: its wording is checked as well")] = None,
    lang: Annotated[
        Language | None, typer.Option(help="of the answer, and of the text [default: the lender's]")
    ] = None,
    at: At = None,
) -> None:
    """Say whether an act is allowed, from when, or why not; exit 3 when it is not allowed now. It only reads."""
    from duecourse.answers import answer_json, in_words, lines, verdict_json
    from duecourse.texts import refuse_markup
    from workflows.desk.asking import Wanted, address, ask_stage
    from workflows.desk.asking import ask as ask_gate

    session: Session = context.obj
    language = lang or session.settings.language
    now, works = instant(at), session.works
    if move is not None:
        if channel is not None or text is not None:
            raise SettingsError(Problem("a move is no contact", "leave the channel and `--text` out"))
        whom, verdict = ask_stage(works.door, loan, move, now)
        answer = {"loan": loan, "move": move, "at": now, **verdict_json(verdict, language, whom)}
        session.output.answer(answer, lambda console: console.print(in_words(verdict, language, whom), markup=False))
        raise typer.Exit(0 if verdict.outcome == "allow" else ANSWER_IS_NO)
    if channel is None:
        raise SettingsError(Problem("no channel is named", "write sms, email, call, visit, letter or legal"))
    wanted = Wanted(loan, channel, role, person, endpoint, purpose)
    problems: list[Problem] = []
    if text is not None:
        refuse_markup(text)
        found = address(works.door, wanted, now)
        spoken = lang or found.person.language.partition("-")[0]
        dpd = found.loan.facts.get("dpd")
        overdue = type(dpd) is int and dpd > 0
        on = found.situation.on
        problems = works.texts.problems(text, spoken, channel, purpose, found.role, on=on, overdue=overdue)
        content = works.texts.facts(text, spoken, channel, purpose, on)
        wanted = Wanted(loan, channel, role, person, endpoint, purpose, content=content)
    answered = ask_gate(works.door, wanted, now)
    session.output.answer(
        {"loan": loan, "channel": channel, "purpose": purpose, "role": answered.role, "at": now,
         **answer_json(answered, language),
         "text": [{"what": problem.what, "mend": problem.mend} for problem in problems]},
        lambda console: console.print("\n".join((*lines(answered, language), *map(str, problems))), markup=False),
    )  # fmt: skip
    raise typer.Exit(0 if answered.best.verdict.outcome == "allow" and not problems else ANSWER_IS_NO)
