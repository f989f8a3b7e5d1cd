"""A process that sweeps, to be killed."""

from multiprocessing.synchronize import Event

from tests.opening import open_database
from tests.sweep_books import NOW, DayGate, rulebook
from workflows.deciding import sweep as module
from workflows.deciding.allotment import Queue

QUEUES = {
    "senior": Queue("senior", 3, (("dpd", True),)),
    "junior": Queue("junior", 6, (("overdue_amount", True),)),
}

CHUNKS = 5
"""By then somebody is decided who waits for nothing."""


def run(address: str, loans_per_chunk: int, processes: int, begun: Event | None) -> None:
    """Sweep with so many processes; `begun` is set when some chunks are written."""
    chunks = 0

    def count(_done: int, _total: int) -> None:
        nonlocal chunks
        chunks += 1
        if chunks == CHUNKS and begun is not None:
            begun.set()

    module.LOANS_PER_PROCESS = 1  # type: ignore[misc] - the books of tests are too small to be worth a second process
    database = open_database(address)
    module.sweep(
        database,
        rulebook(),
        DayGate(),
        now=NOW,
        queues=QUEUES,
        loans_per_chunk=loans_per_chunk,
        processes=processes,
        progress=count,
    )
    database.close()
