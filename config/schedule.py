"""When what runs. Read from `schedule.yaml`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from engine.errors import Problem, RuleError, unknown_name
from engine.source import Table, Text, read_yaml
from workflows.scheduling.jobs import JOBS, Entry

_KEYS: Final = ("cron", "zone")
_SOME_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)


def read_schedule(text: str, file: str) -> Mapping[str, Entry]:
    """
    The schedule of one file: `sweep: {cron: "30 7 * * *", zone: Asia/Shanghai}`.

    Raises:
        RuleError: every unknown job, key, cron entry and zone of the file at once.
    """
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
            # Some count from Sunday, some from Monday: a number here means another day to somebody.
            what = f"`{cron}` numbers its weekdays, and not everybody counts from the same day"
            problems.append(Problem(what, "write names: `mon-fri`, `sat,sun`", node.items["cron"].at))
            continue
        if wrong := _wrong(cron):
            mend = "write minute hour day month weekday, e.g. `30 7 * * *`"
            problems.append(Problem(f"`{cron}` is no cron entry: {wrong}", mend, node.items["cron"].at))
            continue
        entries[name] = Entry(name, cron, zone)
    if problems:
        raise RuleError(problems)
    return entries


def _wrong(cron: str) -> str | None:
    from cronsim import CronSim, CronSimError

    fields = len(cron.split())
    if fields != 5:
        # The library would take a sixth, for seconds.
        return f"it has {fields} fields and needs 5"
    try:
        CronSim(cron, _SOME_DAY)
    except CronSimError as error:
        said = str(error)
        return f"{said[:1].lower()}{said[1:]}"
    return None
