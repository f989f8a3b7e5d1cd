"""Reading how a gateway is called: address, method, headers and fields, and the `{values}` that stand in them."""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Final, cast
from urllib.parse import urlsplit

from channels.gateway_sign import PLACE
from channels.gateway_spec import Call, Encoding, Tree
from channels.gateway_values import check_values
from engine.errors import Place, Problem
from engine.fields import Fields
from engine.source import Listing, Node, Table, Text

CALL_KEYS: Final = ("url", "method", "encoding", "headers", "fields")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def check_call(call: Fields, known: Collection[str], *, example: str) -> list[str]:
    """
    Gather what is wrong with a call; returns the values that it uses.

    Args:
        known: values that it may use; example: an address, for whoever left it out.
    """
    url = call.text("url", required=example)
    if url is not None and not _is_safe(url):
        call.refuse(
            f"`{url}` is no https address",
            "write `https://...`; secrets and numbers do not go in clear",
            _at(call, "url"),
        )
    encoding = _encoding(call)
    if _method(call) == "GET" and encoding == "json":
        call.refuse("a GET carries no JSON", "write `encoding: form`, or `method: POST`", _at(call, "encoding"))
    return [*_used_in_headers(call, known), *_used_in_fields(call, encoding, known)]


def read_call(call: Fields) -> Call:
    """A call that `check_call` found nothing wrong with."""
    return Call(
        where=call.what.strip("`"),
        url=call.text("url") or "",
        method="GET" if _method(call) == "GET" else "POST",
        encoding=_encoding(call),
        headers=_headers(call),
        fields=cast(Mapping[str, Tree], _tree(call.table.items["fields"])),
    )


def check_signed(call: Fields, used: Collection[str], *, signed: bool) -> None:
    """A call says `{signature}` where something says how it is signed, and only there."""
    if ("signature" in used) != signed:
        where = call.what
        missing = f"`{{signature}}` stands nowhere in {where}" if signed else f"{where} is signed, and nothing says how"
        call.refuse(missing, "write both `{signature}` and `signature:`, or neither")


def _method(call: Fields) -> str:
    return call.one_of("method", "method", ("POST", "GET")) or "POST"


def _encoding(call: Fields) -> Encoding:
    return "json" if call.one_of("encoding", "encoding", ("form", "json")) == "json" else "form"


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    plain_is_fine = host in ("127.0.0.1", "localhost", "::1")
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and plain_is_fine))


def _at(fields: Fields, key: str) -> Place:
    node = fields.node(key)
    return node.at if node is not None else fields.at


def _used_in_headers(call: Fields, known: Collection[str]) -> list[str]:
    node = call.node("headers")
    if node is None:
        return []
    if not isinstance(node, Table):
        call.refuse("`headers` is not a table", 'write `headers: {X-Account: "{account}"}`', node.at)
        return []
    used: list[str] = []
    for name, value in node.items.items():
        if not _HEADER.fullmatch(name) or not isinstance(value, Text) or not value.raw.isprintable():
            call.refuse(f"`{name}` is no header", "write a name and a text on one line", node.key_at[name])
        else:
            used += check_values(value, known, call.problems)
            if risky := {"text", "template_values"} & set(PLACE.findall(value.raw)):
                call.refuse(f"`{{{min(risky)}}}` cannot stand in a header", "put it into `fields`", value.at)
    return used


def _headers(call: Fields) -> dict[str, str]:
    node = call.node("headers")
    items = node.items if isinstance(node, Table) else {}
    return {name: value.raw for name, value in items.items() if isinstance(value, Text)}


def _used_in_fields(call: Fields, encoding: Encoding, known: Collection[str]) -> list[str]:
    node = call.required("fields", '{to: "{number}"}')
    if node is None:
        return []
    if not isinstance(node, Table):
        call.refuse("`fields` is not a table", 'write `fields: {to: "{number}"}`', node.at)
        return []
    used: list[str] = []
    for value in node.items.values():
        if encoding == "form" and not isinstance(value, Text):
            call.refuse("a form has no lists and tables in it", "write a text, or `encoding: json`", value.at)
        used += _used(value, known, call.problems)
    return used


def _used(node: Node, known: Collection[str], problems: list[Problem]) -> list[str]:
    if isinstance(node, Text):
        if node.value is None or isinstance(node.value, Decimal):
            problems.append(Problem("a field with no value, or with a broken number", "put it in quotes", node.at))
        return check_values(node, known, problems)
    inside = node.items if isinstance(node, Listing) else tuple(node.items.values())
    return [name for item in inside for name in _used(item, known, problems)]


def _tree(node: Node) -> Tree:
    if isinstance(node, Listing):
        return [_tree(item) for item in node]
    if isinstance(node, Table):
        return {name: _tree(item) for name, item in node.items.items()}
    return node.value if isinstance(node.value, str | int | bool) else node.raw
