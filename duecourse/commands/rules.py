"""`duecourse rules ...`: are the strategies sound, and do they do what they should?"""

from collections.abc import Mapping
from dataclasses import asdict

import typer

from duecourse.clock import now
from duecourse.output import ANSWER_IS_NO, table
from duecourse.session import Session
from engine.errors import DuecourseError, Problem


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="The strategies: check them, test them, list the facts they can name.", no_args_is_help=True
    )
    group.command("check")(check)
    group.command("test")(test)
    group.command("facts")(facts)
    app.add_typer(group, name="rules")


def check(context: typer.Context) -> None:
    """Report every problem of every strategy, template, queue, pack and schedule at once; exit 3 when there is one."""
    session: Session = context.obj
    workspace = session.workspace_or_shipped
    problems: list[Problem] = []
    for part in ("catalogue", "queues", "templates", "rulebook", "gate", "schedule"):
        try:
            getattr(workspace, part)
        except DuecourseError as e:
            problems += [problem for problem in e.problems if problem not in problems]
            if part == "catalogue":
                break  # everything else is read with it, and would only repeat its problems
    if problems:
        session.output.problems(problems)
        raise typer.Exit(ANSWER_IS_NO)
    if stale := sum(rule.is_stale(now().date()) for pack in workspace.gate.packs for rule in pack.rules):
        session.output.note(
            f"{stale} rules of packs are due to be read again: `duecourse packs list` says in which packs"
        )
    book = workspace.rulebook
    rules = sum(len(stage) for strategy in book.strategies.values() for stage in strategy.rules.values())
    moves = sum(len(strategy.moves) for strategy in book.strategies.values())
    answer = {"strategies": sorted(book.strategies), "rules": rules, "moves": moves, "facts": len(book.catalogue.facts)}
    text = (
        f"{len(book.strategies)} strategies, {moves} moves, {rules} rules, {len(workspace.templates.by_name)} templates, "
        f"{len(book.catalogue.facts)} facts: no problem"
    )
    session.output.answer(answer, lambda console: console.print(text))


def test(context: typer.Context) -> None:
    """Run every scenario on every target; exit 3 when one fails or a rule has none that fires it and none that does not."""
    from engine.matching import InterpreterMatcher, LiveMatcherSet, Matcher
    from engine.scenario import coverage, run_scenarios
    from engine.scenario_file import read_scenarios
    from workflows.deciding.scenario_sql import SqlMatcher

    session: Session = context.obj
    workspace = session.workspace_or_shipped
    book = workspace.rulebook
    matchers: Mapping[str, Matcher] = {
        "interpreter": InterpreterMatcher(book.strategies),
        "live": LiveMatcherSet(book.strategies),
        "sql": SqlMatcher(book),
    }
    scenarios = [s for name, text in workspace.scenario_files.items() for s in read_scenarios(text, name, book)]
    results = run_scenarios(scenarios, book, workspace.gate, matchers)
    missing = [p for strategy in book.strategies.values() for p in coverage(strategy, scenarios, results)]
    failed = [result for result in results if not result.passed]
    if session.output.as_json:
        for result in results:
            session.output.line({"passed": result.passed, **asdict(result)})
    session.output.problems(missing)
    if not session.output.as_json:
        for result in failed:
            lines = (f"{result.at}: {result.name} [{result.target}]", *result.problems, *result.trace)
            session.output.out.print("\n  ".join(lines), markup=False)
        passed = len(results) - len(failed)
        session.output.out.print(
            f"{len(scenarios)} scenarios on {len(matchers)} targets: {passed} passed, {len(failed)} failed"
        )
    if failed or missing:
        raise typer.Exit(ANSWER_IS_NO)


def facts(context: typer.Context) -> None:
    """List every fact a condition may name: type, unit, range, who supplies it, and what it means."""
    from rich.text import Text

    session: Session = context.obj
    catalogue = session.workspace_or_shipped.catalogue
    drawn = table("fact", "type", "unit", "supplier", "meaning")
    for fact in catalogue.facts.values():
        drawn.add_row(*(Text(cell) for cell in (fact.name, fact.type, fact.unit, fact.supplier, fact.meaning_en)))
    session.output.answer(list(catalogue.facts.values()), lambda console: console.print(drawn))
