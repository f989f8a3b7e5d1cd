"""`duecourse events`: decide for everybody to whom something happened."""

import typer

from duecourse.clock import At, instant
from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("events")(events)


def events(context: typer.Context, at: At = None) -> None:
    """Settle promises, handle the inbox, then decide for whoever has news: payments, replies, failed deliveries."""
    from duecourse.incoming import handle_inbox

    session: Session = context.obj
    now = instant(at)
    promises = session.works.check_promises(now)
    handle_inbox(session.works, lambda: now)
    # Without `--at` not the instant from before: what has just been heard is news as well.
    done = session.works.handle_events(instant(at))
    answer = {
        "events": done.events,
        "borrowers": len(done.borrowers),
        "contacts": done.contacts,
        "parked": done.parked,
        "promises": promises,
    }
    text = (
        f"{done.events} events of {len(done.borrowers)} borrowers, {done.contacts} contacts planned; "
        f"promises kept {promises['kept']}, broken {promises['broken']}"
    )
    session.output.answer(answer, lambda console: console.print(text))
    if done.parked:
        session.output.note(
            f"{done.parked} events could not be handled and are parked; `duecourse inbox list` says why"
        )
