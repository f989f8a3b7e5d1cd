"""`duecourse decide LOAN`: what would be decided now, and why."""

from typing import TYPE_CHECKING, Annotated

import typer

from duecourse.clock import At, instant
from duecourse.session import Session
from engine.errors import DataError, Problem

if TYPE_CHECKING:
    from rich.tree import Tree

    from engine.explain_tree import ExplainNode

_MARKS = {"ok": "✓", "no": "✗", "unknown": "?", "note": ""}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("decide")(decide)


def decide(
    context: typer.Context,
    loan: Annotated[str, typer.Argument(help="a loan's reference")],
    explain: Annotated[bool, typer.Option("--explain", help="draw the whole tree of reasons")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="by the plain interpreter instead of the live target")] = False,
    at: At = None,
) -> None:
    """Say what would be decided for a loan's borrower at this moment; nothing is written or sent."""
    from engine.explain import explain as explain_decision
    from engine.explain import to_json
    from store.timeline import known_loan

    session: Session = context.obj
    with session.database.session() as reading:
        found = known_loan(reading, loan)
        borrower, loan_id = found.borrower_id, found.id
    decided = session.works.decide([borrower], instant(at), write=False, plain=plain)
    if not decided:
        raise DataError(Problem(f"loan `{loan}` is closed and paid", "there is nothing to decide for it"))
    decision, situation = decided[0]
    tree = explain_decision(decision, situation, session.workspace.rulebook)
    answer = next(one for one in decision.loans if one.loan == loan_id)
    chosen = ", ".join(f"{c.rule} by {c.channel} at {c.not_before:%Y-%m-%d %H:%M}Z" for c in answer.contacts)
    line = f"{loan}: {answer.outcome}" + (f": {chosen}" if chosen else "")

    session.output.answer(
        {"loan": loan, "outcome": answer.outcome, "rule": answer.rule, "tree": to_json(tree)},
        # A tree is wrapped at the edge of a narrow terminal; the console's soft wrap would cut it off there.
        lambda console: console.print(draw(tree), soft_wrap=False) if explain else console.print(line, markup=False),
    )


def draw(node: "ExplainNode", into: "Tree | None" = None) -> "Tree":
    """The tree as lines: a mark, what was asked, and below it why."""
    from rich.text import Text
    from rich.tree import Tree

    label = Text(f"{_MARKS[node.mark]} {node.label}".strip())
    branch = Tree(label) if into is None else into.add(label)
    for child in node.children:
        draw(child, branch)
    return branch
