"""The mailbox for reports of our mails, read into the inbox: what a mail server says of a mail that did not arrive."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

from channels.bounces import MailReports
from channels.mailbox import Mailbox
from channels.reports import Refused
from store.db import Database
from store.inbox import NewArrival, put
from workflows.inbox.arriving import arrival_of

log = logging.getLogger(__name__)

_LETTERS: Final = 100
_ROUNDS_MAX: Final = 20
"""So many letters at most in a run: what is left is read by the next."""


def read_mailbox(
    database: Database,
    mailbox: Mailbox,
    reports: MailReports,
    clock: Callable[[], datetime],
    *,
    nonce: Callable[[], str],
    stop: Callable[[], bool] = lambda: False,
) -> Counter[str]:
    """
    Write down every report that waits, and mark its mail as read once that is committed.

    A mail that is no report of ours is marked as well, and told in the log by its reason.

    Returns:
        how many reports were `new` and `known`, and how many mails were `refused`.
    Raises:
        SettingsError: the mailbox is not there, or does not let us in.
        StoreError: the database cannot be written; the mails stay unread.
    """
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for _ in range(_ROUNDS_MAX):
        letters = [] if stop() else [letter for letter in mailbox.waiting(_LETTERS) if letter.key not in seen]
        if not letters:
            break
        arrivals: list[NewArrival] = []
        for letter in letters:
            for said in reports.read(letter.content):
                if isinstance(said, Refused):
                    counts["refused"] += 1
                    _tell(said)
                else:
                    arrivals.append(arrival_of(said, nonce=nonce))
        with database.write() as session:
            new = put(session, arrivals, now=clock())
        counts.update(new=new, known=len(arrivals) - new)
        seen.update(letter.key for letter in letters)
        mailbox.done(letter.key for letter in letters)
    return counts


def _tell(refused: Refused) -> None:
    extra = {"action": "refused", "source": "mailbox", "reason": refused.reason, "what": refused.detail}
    log.warning("something from outside is not believed", extra=extra)
