"""What comes from outside, bound to a workspace: handled, read from the mailbox, asked for at the providers."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from duecourse.people import take_reply
from duecourse.providers import inward
from duecourse.unwaited import run
from duecourse.wiring import Works
from engine.errors import DataError, Problem
from store.inbox import detail_of, private_of
from store.tables import Arrival
from workflows.desk.sayings import given_to
from workflows.inbox.handling import Ears, TakenIn, take_in
from workflows.inbox.keys import press
from workflows.inbox.mail_reports import read_mailbox
from workflows.inbox.reply_words import Meaning
from workflows.inbox.speakers import speakers
from workflows.sending.reconcile import Reconciled, reconcile

Clock = Callable[[], datetime]
Stop = Callable[[], bool]

_UNDERSTOOD: Final[Mapping[str, Meaning]] = {"STOP": "stop", "HELP": "help"}
"""What a provider heard, in our words; a START is for ours to understand, because it opens."""
_AT_ONCE: Final = timedelta(minutes=5)
"""As in `workflows.inbox.replies`: a confirmation that comes later is another message."""


def nonce() -> str:
    """A name for what its sender gave none."""
    return secrets.token_hex(12)


def handle_inbox(works: Works, clock: Clock, stop: Stop = lambda: False) -> TakenIn:
    """Handle what waits in the inbox."""
    ears = Ears(
        lambda arrival: hear_text(works, arrival, clock()), lambda arrival: hear_key(works, arrival), works.evidence
    )
    return take_in(works.database, ears, clock, stop=stop)


def read_reports(works: Works, clock: Clock, stop: Stop = lambda: False) -> Counter[str]:
    """Read the mailbox for reports into the inbox, where there is one."""
    reader = inward(works.workspace)
    if reader.mailbox is None or reader.mail is None:
        return Counter()
    return read_mailbox(works.database, reader.mailbox, reader.mail, clock, nonce=nonce, stop=stop)


def look_up_unknown(works: Works, clock: Clock, stop: Stop = lambda: False) -> Reconciled:
    """Ask the providers about messages that may or may not have gone out."""
    adapters = works.door.outward.adapters
    return run(reconcile(works.database, adapters, works.evidence, clock, stop=stop))


def hear_text(works: Works, arrival: Arrival, now: datetime) -> str:
    """
    A text message from outside. A stop is everybody's whose number it is; other words are from whom we wrote to last.

    Also "wrong person": it answers what we wrote last, and says whose the number is not. The others who have it on file may
    well be whoever answers; of them it becomes wrong when they, or who has it, say so to what is written to them.

    Raises:
        DataError: nobody with a loan has that number.
    """
    said, understood = private_of(arrival), detail_of(arrival)["understood"]
    with works.database.session() as session:
        found = speakers(session, said["sender"])
    if not found:
        what = "it came from a number that nobody with a loan has on file"
        raise DataError(Problem(what, "find out whose it is, then write down with `consents reply` what they said"))
    at_once = now - arrival.recorded_at <= _AT_ONCE
    for number, speaker in enumerate(found):
        taken = take_reply(
            works, speaker.loan, "sms", said["text"], f"{arrival.key}:{speaker.endpoint}", role=speaker.role,
            person=speaker.person, endpoint=speaker.endpoint, at=arrival.recorded_at, now=now, source=arrival.source,
            heard=_UNDERSTOOD.get(understood),
            # The provider confirms a stop that it heard itself; and one answer to one message is enough.
            confirm=at_once and number == 0 and understood != "STOP",
        )  # fmt: skip
        if taken.meaning != "stop":
            break
    return taken.meaning


def hear_key(works: Works, arrival: Arrival) -> str:
    """A key pressed in a recorded call; raises DataError where there is no such call."""
    detail = detail_of(arrival)
    return press(
        works.database, detail["contact"], detail["wish"], key=arrival.key, provider=arrival.source,
        given_to=given_to(works.workspace.settings.actor), at=arrival.recorded_at,
    )  # fmt: skip
