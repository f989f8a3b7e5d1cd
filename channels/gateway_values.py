"""The `{values}` of a gateway's file, and how its signatures are described."""

from collections.abc import Collection
from typing import Final, cast

from channels.gateway_sign import PLACE
from channels.gateway_spec import Method, Signature
from engine.errors import Problem, unknown_name
from engine.fields import Fields
from engine.source import Text

_METHODS: Final = ("hmac-sha256", "hmac-sha1", "md5", "sha256")
_WRITTEN: Final = ("hex", "HEX", "base64")


def check_values(node: Text, known: Collection[str], problems: list[Problem], *, fields: bool = False) -> list[str]:
    """
    The values that a text names; unknown ones, and braces that name none, are problems.

    Args:
        fields: `{field.NAME}` is known too, whatever the name.
    """
    names = PLACE.findall(node.raw)
    for name in names:
        if name not in known and not (fields and name.startswith("field.")):
            otherwise = f"use one of {', '.join(known)}"
            problems.append(unknown_name("value", name, known, at=node.at, otherwise=otherwise))
    if {"{", "}"} & set(PLACE.sub("", node.raw)):
        problems.append(Problem("a brace that names no value", "write a value such as `{number}`", node.at))
    return list(names)


def read_signature(fields: Fields, known: Collection[str], *, incoming: bool = False) -> Signature | None:
    """
    How something is signed; None where the file has no `signature`, or a wrong one.

    Args:
        incoming: it is checked, so it stands in a field or a header, and may be the bare secret (`token`).
    """
    node = fields.node("signature")
    if node is None:
        return None
    keys = ("method", "over", "written", *(("field", "header") if incoming else ()))
    example = 'signature: {method: hmac-sha256, over: "{sorted}"}'
    given = Fields.of(node, f"the signature of {fields.what}", keys, fields.problems, example=example)
    if given is None:
        return None
    methods = (*_METHODS, "token") if incoming else _METHODS
    given.required("method", "hmac-sha256")
    method = cast(Method | None, given.one_of("method", "method of signing", methods))
    written = given.one_of("written", "way to write a signature", _WRITTEN) or "hex"
    over = given.text("over", required="" if method == "token" else '"{sorted}"') or ""
    used = check_values(cast(Text, given.table.items["over"]), known, fields.problems, fields=incoming) if over else []
    if method in ("md5", "sha256") and over and "secret" not in used:
        given.refuse(
            f"a {method} without `{{secret}}` in it signs nothing", "write `{secret}` where the gateway wants it"
        )
    field, header = (given.text("field") or "", given.text("header") or "") if incoming else ("", "")
    if incoming and bool(field) == bool(header):
        given.refuse("a signature stands in one place", "write either `field: sign` or `header: X-Sign`")
    return Signature(method, over, written, field, header.lower()) if method is not None else None
