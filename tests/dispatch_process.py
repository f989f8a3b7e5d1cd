"""A dispatching worker as a process of its own, to be killed; started by a fork server that has imported it before."""

import logging
from datetime import datetime
from multiprocessing.synchronize import Event

from tests.opening import open_database
from tests.outgoing import adapters_to, door_of, go


def work(url: str, base_url: str, mail_port: int, now: datetime, begun: Event) -> None:
    """Dispatch until nothing is due, a few contacts at a time."""
    # What the dead leave behind is told in alerts; the test finds it in the database.
    logging.disable(logging.WARNING)
    database = open_database(url)
    door = door_of(database, adapters_to(base_url, mail_port))
    begun.set()
    go(door, now, limit=5)
    database.close()
