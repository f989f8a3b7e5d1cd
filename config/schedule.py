"""When what runs. Read from `schedule.yaml`."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from engine.errors import Problem, RuleError, unknown_name
from engine.source import Table, Text, read_yaml
from workflows.jobs import JOBS, Entry

_KEYS = ("cron", "zone")


def read_schedule(text: str, file: str) -> Mapping[str, Entry]:
    """
    The schedule of one file: `sweep: {cron: "30 7 * * *", zone: Asia/Shanghai}`.

    Raises:
        RuleError: every unknown job, key, cron entry and zone of the file at once.
    """
    from apscheduler.triggers.cron import CronTrigger

    root = read_yaml(text, file)
    if not isinstance(root, Table):
        raise RuleError(Problem("a schedule is not a table", 'write `sweep: {cron: "30 7 * * *", zone: UTC}`', root.at))
    problems: list[Problem] = []
    entries: dict[str, Entry] = {}
    for name, node in root.items.items():
        if name not in JOBS:
            mend = f"use one of {', '.join(JOBS)}"
            problems.append(unknown_name("job", name, JOBS, at=root.key_at[name], otherwise=mend))
            continue
        values = (
            {key: item.value for key, item in node.items.items() if isinstance(item, Text)}
            if isinstance(node, Table)
            else {}
        )
        if not isinstance(node, Table) or set(values) != set(_KEYS):
            problems.append(Problem(f"job `{name}` needs `cron` and `zone`, and nothing else", "write both", node.at))
            continue
        cron, zone = str(values["cron"]), str(values["zone"])
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            at = node.items["zone"].at
            problems.append(Problem(f"`{zone}` is no IANA time zone", "write one like `Asia/Shanghai`", at))
            continue
        if len(cron.split()) == 5 and any(letter.isdecimal() for letter in cron.rsplit(maxsplit=1)[-1]):
            # Zero is Sunday to cron and Monday to APScheduler: a number here means another day to somebody.
            what = f"`{cron}` numbers its weekdays, and not everybody counts from the same day"
            problems.append(Problem(what, "write names: `mon-fri`, `sat,sun`", node.items["cron"].at))
            continue
        try:
            CronTrigger.from_crontab(cron, zone)
        except ValueError as e:
            mend = "write minute hour day month weekday, e.g. `30 7 * * *`"
            problems.append(
                Problem(f"`{cron}` is no cron entry: {str(e)[:1].lower()}{str(e)[1:]}", mend, node.items["cron"].at)
            )
            continue
        entries[name] = Entry(name, cron, zone)
    if problems:
        raise RuleError(problems)
    return entries
