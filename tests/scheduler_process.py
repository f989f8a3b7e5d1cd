"""A scheduler as a process of its own, for the tests: `python -m tests.scheduler_process URL FILE SECONDS`."""

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from duecourse.logs import log_as_lines
from tests.opening import open_database
from workflows.scheduling.job_run import Stop
from workflows.scheduling.jobs import Entry
from workflows.scheduling.schedule import serve

ENTRIES = {"sweep": Entry("sweep", "0 4 * * *", "UTC"), "events": Entry("events", "* * * * *", "UTC")}


def main(url: str, file: str, seconds: float) -> None:
    """Write each run's begin and end to the file; a run takes `seconds`, or less when told to stop."""
    out = Path(file)

    def note(text: str) -> None:
        with out.open("a", encoding="utf-8") as log:
            log.write(f"{text}\n")

    def run(name: str, stop: Stop) -> Mapping[str, int]:
        note(f"{name} begins")
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stop():
            time.sleep(0.01)
        note(f"{name} ends")
        return {}

    log_as_lines()
    database = open_database(url)
    serve(
        database, ENTRIES, run, clock=lambda: datetime.now(UTC), tell=lambda text: print(text, flush=True),  # noqa: T201, TID251
        stand_by_seconds=0.2, watch_seconds=0.1,
    )  # fmt: skip
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
