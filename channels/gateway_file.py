"""
Reading a gateway's file: how its requests are made and signed, what its answers mean, what it posts to us.

Secrets are not in it; `channels/gateway_example.yaml` shows every key.
"""

import re
from collections.abc import Collection
from typing import Final
from zoneinfo import ZoneInfo

from channels.gateway_call import CALL_KEYS, check_call, check_signed, read_call
from channels.gateway_incoming import read_receipts, read_replies
from channels.gateway_lookup import read_lookup
from channels.gateway_spec import SEND_VALUES, SIGN_VALUES, Answer, Approved, Gateway
from channels.gateway_values import read_signature
from channels.mail_connection import NAME as MAIL
from channels.refusals import codes_of
from channels.twilio_client import NAME as TWILIO
from engine.content import GROUPS, LANGUAGES
from engine.errors import Problem, RuleError, unknown_name
from engine.fields import Fields
from engine.source import Node, Table, Text, read_yaml

_KEYS: Final = (
    "gateway", "serves", "number", "time", "zone", "send", "signature", "templates", "answer", "receipts", "replies",
    "lookup",
)  # fmt: skip
_NUMBERS: Final = ("e164", "digits", "national")
_TIMES: Final = ("seconds", "milliseconds", "iso", "compact")
_PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,3}")
_TAKEN: Final = (TWILIO, MAIL)
_VALUES: Final = frozenset(f"{group}.{name}" for group, names in GROUPS.items() for name in names)


def read_gateway(text: str, file: str) -> Gateway:
    """
    The gateway that a file describes.

    Raises:
        RuleError: every problem of the file at once, with its place and mend.
    """
    problems: list[Problem] = []
    top = Fields.of(read_yaml(text, file), "a gateway", _KEYS, problems, example="gateway: name")
    if top is None:
        raise RuleError(problems)
    name = top.identifier("gateway", required="freedonia") or ""
    if name in _TAKEN:
        # What an account takes is counted by this name, and what comes back is told apart by it.
        top.refuse(
            f"`{name}` is the name of another provider", "name the gateway otherwise", top.table.items["gateway"].at
        )
    serves = _serves(top)
    number = top.one_of("number", "form of number", _NUMBERS) or "e164"
    if number == "national" and len(serves) != 1:
        top.refuse("national numbers are those of one country", 'write `serves: ["+86"]`')
    send = _send(top)
    templates = _templates(top)
    signature = read_signature(top, SIGN_VALUES)
    if send is not None:
        signed = top.node("signature") is not None
        _check_send(send, signed=signed, with_templates=templates is not None)
    answer = _answer(top)
    receipts, replies = read_receipts(top), read_replies(top)
    lookup = read_lookup(top, signature)
    zone = _zone(top)
    time = top.one_of("time", "way to write an instant", _TIMES) or "seconds"
    if problems or send is None or answer is None:
        raise RuleError(problems)
    return Gateway(
        name=name,
        send=read_call(send),
        serves=serves,
        number=number,
        time=time,
        zone=zone,
        signature=signature,
        templates=templates,
        answer=answer,
        receipts=receipts,
        replies=replies,
        lookup=lookup,
    )


def _serves(top: Fields) -> tuple[str, ...]:
    prefixes = []
    for item in top.listing("serves", '"+86"'):
        if isinstance(item, Text) and _PREFIX.fullmatch(item.raw):
            prefixes.append(item.raw)
        else:
            top.refuse("`serves` holds something that is no country prefix", 'write `serves: ["+86"]`', item.at)
    return tuple(prefixes)


def _zone(top: Fields) -> ZoneInfo:
    name = top.text("zone") or "UTC"
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        at = top.table.items["zone"].at
        top.refuse(f"`{name}` is no IANA time zone", "write one like `Asia/Shanghai`", at)
        return ZoneInfo("UTC")


def _send(top: Fields) -> Fields | None:
    node = top.required("send", "{url: https://..., fields: {...}}")
    example = "send: {url: https://..., fields: {...}}"
    return Fields.of(node, "`send`", CALL_KEYS, top.problems, example=example) if node is not None else None


def _check_send(send: Fields, *, signed: bool, with_templates: bool) -> None:
    used = check_call(send, SEND_VALUES, example="https://sms.example/send")
    if "number" not in used:
        send.refuse("nothing in `send` says whom the text is for", "write `{number}` where the gateway wants it")
    if ("template_id" if with_templates else "text") not in used:
        what = "the template" if with_templates else "the text"
        value = "{template_id}" if with_templates else "{text}"
        send.refuse(f"nothing in `send` says {what}", f"write `{value}` where the gateway wants it")
    if not with_templates and {"template_id", "template_values"} & set(used):
        send.refuse("`send` names a template, and none is approved", "list them under `templates:`")
    check_signed(send, used, signed=signed)


def _templates(top: Fields) -> dict[str, dict[str, Approved]] | None:
    node = top.node("templates")
    if node is None:
        return None
    if not isinstance(node, Table):
        top.refuse("`templates` is not a table", "write `friendly-reminder: {en: {id: T1}}`", node.at)
        return {}
    found: dict[str, dict[str, Approved]] = {}
    for name, by_language in node.items.items():
        what = f"template `{name}`"
        example = f"{name}: {{en: {{id: T1}}}}"
        languages = Fields.of(by_language, what, LANGUAGES, top.problems, example=example)
        if languages is not None:
            items = languages.table.items
            found[name] = {code: _approved(items[code], what, top.problems) for code in items if code in LANGUAGES}
    return found


def _approved(node: Node, what: str, problems: list[Problem]) -> Approved:
    fields = Fields.of(node, what, ("id", "values"), problems, example="en: {id: T1, values: [loan.overdue]}")
    if fields is None:
        return Approved("")
    given = fields.required("id", "T1")
    ours: tuple[str, ...] | dict[str, str] = ()
    values = fields.node("values")
    if isinstance(values, Table):
        texts = {name: item for name, item in values.items.items() if isinstance(item, Text)}
        ours = {name: item.raw for name, item in texts.items()}
        _check_names(list(values.items.values()), problems)
    elif values is not None:
        items = list(fields.listing("values", "loan.overdue"))
        ours = tuple(item.raw for item in items if isinstance(item, Text))
        _check_names(items, problems)
    return Approved(given.raw if isinstance(given, Text) else "", ours)


def _check_names(nodes: Collection[Node], problems: list[Problem]) -> None:
    for node in nodes:
        name = node.raw if isinstance(node, Text) else "..."
        if name not in _VALUES:
            otherwise = "write one that templates have, such as `loan.overdue`"
            problems.append(unknown_name("value", name, _VALUES, at=node.at, otherwise=otherwise))


def _answer(top: Fields) -> Answer | None:
    node = top.required("answer", '{code: code, sent: ["0"]}')
    if node is None:
        return None
    keys = ("code", "ref", "sent", "retry", "failed", "http")
    fields = Fields.of(node, "`answer`", keys, top.problems, example='answer: {code: code, sent: ["0"]}')
    if fields is None:
        return None
    code = fields.text("code", required="code") or ""
    fields.required("sent", '["0"]')
    sent = frozenset(item.raw for item in fields.listing("sent", '"0"') if isinstance(item, Text))
    codes = codes_of(fields.table, top.problems, leave_out=("code", "ref", "sent", "http"))
    if both := sorted(sent & codes.keys()):
        fields.refuse(f"code `{both[0]}` means both sent and not sent", "keep one of them")
    http = fields.node("http")
    statuses = codes_of(http, top.problems, numbers=True) if http is not None else {}
    for status in statuses:
        if not 400 <= int(status) < 500:
            at = http.at if http is not None else fields.at
            what = f"`{status}` does not say for sure that nothing was sent"
            fields.refuse(what, "list HTTP statuses from 400 to 499 only; the rest is in doubt", at)
    return Answer(code, fields.text("ref") or "", sent, codes, statuses)
