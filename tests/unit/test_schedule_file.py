"""`config/schedule.yaml`: what it means, and everything that is wrong with one at once."""

import pytest

from config.schedule import read_schedule
from duecourse.workspace import shipped_folder
from engine.errors import RuleError
from workflows.scheduling.jobs import JOBS, Entry


def test_the_shipped_schedule_runs_every_job() -> None:
    """Each job there is has its time."""
    text = (shipped_folder() / "config" / "schedule.yaml").read_text(encoding="utf-8")
    entries = read_schedule(text, "config/schedule.yaml")
    assert set(entries) == set(JOBS)
    assert entries["sweep"] == Entry("sweep", "30 7 * * *", "Asia/Shanghai")


@pytest.mark.parametrize(("text", "said"), [
    ("- sweep", 's.yaml:1:1: a schedule is not a table\n  mend: write `sweep: {cron: "30 7 * * *", zone: UTC}`'),
    (
        "swep: {cron: '0 1 * * *', zone: UTC}", "s.yaml:1:1: unknown job `swep`\n  mend: write `sweep`",
    ),
    (
        "sweep: {cron: '0 1 * * *'}",
        "s.yaml:1:8: job `sweep` needs `cron` and `zone`, and nothing else\n  mend: write both",
    ),
    (
        "sweep: {cron: '0 1 * * *', zone: Beijing}",
        "s.yaml:1:34: `Beijing` is no IANA time zone\n  mend: write one like `Asia/Shanghai`",
    ),
    (
        "sweep: {cron: '0 25 * * *', zone: UTC}",
        ("s.yaml:1:15: `0 25 * * *` is no cron entry: bad hour\n"
        "  mend: write minute hour day month weekday, e.g. `30 7 * * *`"),
    ),
    (
        "sweep: {cron: '0 8 *', zone: UTC}",
        ("s.yaml:1:15: `0 8 *` is no cron entry: it has 3 fields and needs 5\n"
        "  mend: write minute hour day month weekday, e.g. `30 7 * * *`"),
    ),
    (
        "sweep: {cron: '0 0 30 2 *', zone: UTC}",
        ("s.yaml:1:15: `0 0 30 2 *` is no cron entry: bad day-of-month\n"
        "  mend: write minute hour day month weekday, e.g. `30 7 * * *`"),
    ),
    (
        "sweep: {cron: '0 8 * * 1-5', zone: UTC}",
        ("s.yaml:1:15: `0 8 * * 1-5` numbers its weekdays, and not everybody counts from the same day\n"
        "  mend: write names: `mon-fri`, `sat,sun`"),
    ),
])  # fmt: skip
def test_a_wrong_schedule_says_where_and_how_to_mend_it(text: str, said: str) -> None:
    """Every kind of mistake names its place."""
    with pytest.raises(RuleError) as caught:
        read_schedule(text, "s.yaml")
    assert str(caught.value) == said


def test_all_mistakes_are_told_at_once() -> None:
    """Two wrong entries are two problems."""
    with pytest.raises(RuleError) as caught:
        read_schedule("sweep: {cron: 'x', zone: UTC}\nevents: {cron: '* * * * *', zone: Mars}", "s.yaml")
    assert len(caught.value.problems) == 2
