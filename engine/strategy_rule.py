"""Reads one rule of a strategy file: when it matches, what it does, to whom, how often, and why."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final, cast, get_args

from engine.condition import Scope, parse_condition
from engine.durations import read_date, read_days, read_hours_of_day, read_length
from engine.errors import unknown_name
from engine.fields import Fields
from engine.gate import CHANNELS, Channel, Purpose, Role
from engine.source import Listing, Node, Table, Text
from engine.stages import Duty, Stage
from engine.strategy import EVENTS, OUTCOMES, RECORDED, Act, Per, Repeat, Rule, Send

RULE_KEYS: Final = (
    "id", "when", "act", "because", "purpose", "to", "repeat", "send", "valid_for", "valid", "on", "was", "notice",
)  # fmt: skip
_PURPOSES: Final = ("collect", "required_notice", "service")
_ROLES: Final[tuple[Role, ...]] = get_args(Role)
_PERIODS: Final[tuple[Per, ...]] = get_args(Per)
_DUTIES: Final[tuple[Duty, ...]] = get_args(Duty)
_TASKS: Final = frozenset({"call", "visit", "legal"})
"""Channels on which people work: a queue takes the task, and a script says how."""

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_VALID_FOR: Final = timedelta(hours=24)
_VALID_FOR_MAX: Final = timedelta(days=14)
_ONCE: Final = Repeat(max=1, per="stage")
"""A rule that says nothing about repeating fires once in each stay in its stage: no rule goes on for ever by default."""

_EXAMPLE: Final = (
    "{id: sms-day-1, when: dpd between 1 and 3, act: {sms: friendly-reminder}, because: Most simply forgot.}"
)
_ACT: Final = "act: {sms: friendly-reminder}"


def read_rule(node: Node, stage: Stage, scope: Scope) -> Rule | None:
    """Read a rule; None when it means nothing, and every problem of it in `scope.problems`."""
    problems = scope.problems
    found = len(problems)
    fields = Fields.of(node, "rule", RULE_KEYS, problems, example=_EXAMPLE)
    if fields is None:
        return None
    rule_id = fields.identifier("id", required="sms-day-1")
    if rule_id is not None:
        fields = Fields(fields.table, f"rule `{rule_id}`", problems)
    when_node = fields.required("when", "dpd between 1 and 3")
    when = parse_condition(when_node, scope) if when_node is not None else None
    acts = _acts(fields)
    because = fields.text("because", required="Most people have simply forgotten.")
    purpose_word = fields.one_of("purpose", "purpose", _PURPOSES)
    purpose = cast("Purpose", purpose_word or "collect")
    to = cast("tuple[Role, ...]", fields.words("to", "role", _ROLES) or ("borrower",))
    repeat = _repeat(fields)
    send = _send(fields)
    valid_from, valid_until = _valid(fields)
    valid_for = fields.parsed("valid_for", read_length, "a length of time", "24 hours") or _VALID_FOR
    if valid_for > _VALID_FOR_MAX:
        what = f"`valid_for` of {fields.what} is longer than 14 days"
        fields.refuse(what, "shorten it: every sweep looks again", fields.table.items["valid_for"].at)
    on = fields.words("on", "event", EVENTS)
    if "on" in fields.table.items and not on:
        fields.refuse(f"{fields.what} listens to no event", f"name one of {', '.join(EVENTS)}, or delete `on`")
    notice = fields.one_of("notice", "notice", _DUTIES)
    misread = purpose_word is None and "purpose" in fields.table.items
    if notice is not None and purpose != "required_notice" and not misread:
        what = f"{fields.what} gives notice and is not a required notice"
        fields.refuse(what, "write `purpose: required_notice`", fields.table.items["notice"].at)
    if len(problems) > found or rule_id is None or when is None or because is None:
        return None
    return Rule(
        id=rule_id,
        stage=stage,
        when=when,
        acts=acts,
        purpose=purpose,
        to=to,
        repeat=repeat,
        send=send,
        valid_for=valid_for,
        on=frozenset(on),
        valid_from=valid_from,
        valid_until=valid_until,
        was=fields.names("was"),
        because=because,
        at=fields.at,
        notice=notice,
    )


def _acts(fields: Fields) -> tuple[Act, ...]:
    node = fields.required("act", "{sms: friendly-reminder}")
    if node is None:
        return ()
    items = list(node) if isinstance(node, Listing) else [node]
    acts = [act for item in items for act in _act(fields, item)]
    if not items:
        fields.refuse(f"`act` of {fields.what} is empty", f"write `{_ACT}`", node.at)
    seen: set[Channel] = set()
    for act in acts:
        if act.channel in seen:
            mend = "keep one: two on one channel at once is one too many"
            fields.refuse(f"{fields.what} acts twice on channel `{act.channel}`", mend, node.at)
        seen.add(act.channel)
    return tuple(acts)


def _act(fields: Fields, node: Node) -> Iterator[Act]:
    if not isinstance(node, Table) or len(node.items) != 1:
        mend = f"write `{_ACT}`, or a list of such acts"
        fields.refuse(f"an act of {fields.what} is not one channel with what goes out on it", mend, node.at)
        return
    ((channel, content),) = node.items.items()
    if channel not in CHANNELS:
        otherwise = f"use one of {', '.join(CHANNELS)}"
        fields.problems.append(unknown_name("channel", channel, CHANNELS, at=node.key_at[channel], otherwise=otherwise))
        return
    if channel in _TASKS:
        yield from _task(fields, channel, content)
    elif isinstance(content, Text) and isinstance(content.value, str):
        yield Act(channel, content.value)
    else:
        mend = f"write `{channel}: friendly-reminder`"
        fields.refuse(f"`{channel}` of {fields.what} names no template", mend, content.at)


def _task(fields: Fields, channel: Channel, node: Node) -> Iterator[Act]:
    if channel == "call" and isinstance(node, Table) and "recorded" in node.items:
        yield from _recorded_call(fields, node)
        return
    example = f"{channel}: {{queue: early, script: first-{channel}}}"
    what = f"`{channel}` of {fields.what}"
    keys = ("queue", "script", "collectors") if channel == "visit" else ("queue", "script")
    task = Fields.of(node, what, keys, fields.problems, example=example)
    if task is None:
        return
    queue = task.identifier("queue", required="early")
    script = task.identifier("script", required=f"first-{channel}")
    collectors = task.whole("collectors", 1, 9)
    if queue is not None and script is not None:
        # Unless the file says that more go, one person does: where the law asks for two, that is refused.
        yield Act(channel, script, queue, {"collectors_present": collectors or 1} if channel == "visit" else {})


def _recorded_call(fields: Fields, node: Table) -> Iterator[Act]:
    """A call that nobody of ours makes: a text is read out to whoever picks up."""
    example = "call: {recorded: please-call-back}"
    call = Fields.of(node, f"`call` of {fields.what}", ("recorded",), fields.problems, example=example)
    name = call.identifier("recorded", required="please-call-back") if call is not None else None
    if name is not None:
        yield Act("call", name, content=RECORDED)


def _repeat(fields: Fields) -> Repeat:
    node = fields.node("repeat")
    if node is None:
        return _ONCE
    example = "repeat: {max: 2, in: 7 days}"
    repeat = Fields.of(
        node, f"`repeat` of {fields.what}", ("max", "in", "per", "counts"), fields.problems, example=example
    )
    if repeat is None:
        return _ONCE
    times = repeat.whole("max", 1, 100)
    if "max" not in repeat.table.items:
        repeat.refuse(f"{repeat.what} has no `max`", f"write `{example}`")
    days = repeat.parsed("in", read_days, "a number of days", "7 days")
    per = repeat.one_of("per", "period", _PERIODS)
    if ("in" in repeat.table.items) == ("per" in repeat.table.items):
        repeat.refuse(f"{repeat.what} needs either `in` or `per`", "write `in: 7 days` or `per: episode`, not both")
    outcomes = repeat.words("counts", "outcome", OUTCOMES)
    return Repeat(max=times or 1, days=days, per=cast("Per | None", per), outcomes=tuple(sorted(outcomes)))


def _send(fields: Fields) -> Send:
    node = fields.node("send")
    if node is None:
        return Send()
    example = 'send: {days: [tue, thu], between: "18:00-20:00"}'
    send = Fields.of(node, f"`send` of {fields.what}", ("days", "between"), fields.problems, example=example)
    if send is None:
        return Send()
    if not send.table.items:
        send.refuse(f"{send.what} is empty", f"write `{example}`, or delete it")
    days = sorted(_WEEKDAYS.index(day) for day in send.words("days", "weekday", _WEEKDAYS))
    hours = send.parsed("between", read_hours_of_day, "a span of hours within one day", '"18:00-20:00"')
    opens, closes = hours or (0, 24 * 60)
    return Send(tuple(days), opens, closes)


def _valid(fields: Fields) -> tuple[date | None, date | None]:
    node = fields.node("valid")
    if node is None:
        return None, None
    example = "valid: {from: 2027-02-01, until: 2027-04-15}"
    valid = Fields.of(node, f"`valid` of {fields.what}", ("from", "until"), fields.problems, example=example)
    if valid is None:
        return None, None
    first = valid.parsed("from", read_date, "a day", "2027-02-01")
    last = valid.parsed("until", read_date, "a day", "2027-04-15")
    if not valid.table.items:
        valid.refuse(f"{valid.what} is empty", f"write `{example}`, or delete it")
    if first is not None and last is not None and last < first:
        valid.refuse(f"{valid.what} ends before it begins", "put the earlier day under `from`")
    return first, last
