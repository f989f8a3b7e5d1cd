"""The figures of a process: of the book as it is now or not at all, with labels that nobody else can choose or multiply."""

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from duecourse.figures import Figures
from engine.errors import Problem, StoreError
from store.health import Failures, Inbox, Leaving, Log
from workflows.scheduling.job_run import Ran
from workflows.scheduling.status import Status

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def stands(*failures: Failures) -> Status:
    return Status(
        at=NOW, schema=8, production=False, sending=True, brakes={}, acting=None, jobs=(), backlog=(),
        leaving=Leaving(0, 0, None), doubts=(), failures=failures, inbox=Inbox(0, None, 0), feeds={}, log=Log(0, None, None),
        sweep={},
    )  # fmt: skip


def told(figures: Figures, name: str) -> dict[tuple[str, ...], float]:
    """A figure's values by its labels."""
    families = text_string_to_metric_families(figures.text().decode())
    return {tuple(one.labels.values()): one.value for family in families for one in family.samples if one.name == name}


def test_a_book_that_is_away_is_told_and_nothing_else_of_it() -> None:
    """What was so a while ago does not look like what is; what the process did itself is told all the same."""

    def away() -> Status:
        raise StoreError(Problem("the book cannot be reached", "see where it is"))

    figures = Figures(away)
    figures.ran("sweep", Ran("done", counts={"decisions": 7}, seconds=2.5))
    assert told(figures, "duecourse_book_readable") == {(): 0}
    assert told(figures, "duecourse_sending") == {}
    assert told(figures, "duecourse_job_runs_total") == {("sweep", "done"): 1}
    assert told(figures, "duecourse_job_things_total") == {("sweep", "decisions"): 7}
    assert told(figures, "duecourse_job_seconds_sum") == {("sweep",): 2.5}


def test_the_book_is_asked_once_for_many() -> None:
    """However many scrape it within seconds."""
    asked = []

    def read() -> Status:
        asked.append(1)
        return stands()

    figures = Figures(read)
    for _ in range(10):
        figures.text()
    assert len(asked) == 1


def test_codes_are_few_and_hold_no_numbers() -> None:
    """Of a hundred codes twenty are named; one that could hold somebody's number, or a sentence, never is."""
    many = [Failures("sms", "freedonia", f"E{number}", 1000 - number) for number in range(100)]
    found = told(Figures(lambda: stands(*many)), "duecourse_contacts_failed_24h")
    assert len(found) == 21
    assert sum(found.values()) == sum(one.count for one in many)
    strange = [Failures("sms", "g", code, 1) for code in ("to +12125550177", "x" * 25, 'a"b', "550 5.1.1", "")]
    assert told(Figures(lambda: stands(*strange)), "duecourse_contacts_failed_24h") == {
        ("sms", "other"): 3, ("sms", "550 5.1.1"): 1, ("sms", "none"): 1,
    }  # fmt: skip
