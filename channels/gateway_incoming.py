"""Reading what a gateway's file says of receipts and replies: where each value stands, and how it is signed."""

from typing import Final

from channels.gateway_spec import RECEIVED_VALUES, Encoding, Incoming, Signature
from channels.gateway_values import read_signature
from channels.refusals import codes_of
from channels.reports import DELIVERIES, Delivery
from engine.fields import Fields
from engine.source import Text

_SHARED: Final = ("encoding", "each", "signature", "answer")
_RECEIPT: Final = ("contact_id", "ref", "status", "code")
_REPLY: Final = ("sender", "to", "text", "ref")


def read_receipts(top: Fields) -> Incoming | None:
    """What became of messages, as the gateway reports it."""
    fields = _table(top, "receipts", (*_SHARED, *_RECEIPT, *DELIVERIES, "codes"))
    if fields is None:
        return None
    paths = _paths(fields, _RECEIPT)
    if "contact_id" not in paths and "ref" not in paths:
        fields.refuse("nothing says which message a receipt is about", "write `contact_id:` or `ref:`, and its field")
    if "status" not in paths:
        fields.refuse("nothing says what became of the message", "write `status:` and its field")
    statuses = read_statuses(fields, "receipts say")
    codes = fields.node("codes")
    read = codes_of(codes, top.problems) if codes is not None else {}
    return Incoming(*_shared(fields, paths), statuses=statuses, codes=read)


def read_statuses(fields: Fields, who_says: str) -> dict[str, Delivery]:
    """Their words for what became of a message -> ours; `who_says`, for people, e.g. "receipts say"."""
    statuses: dict[str, Delivery] = {}
    for ours in DELIVERIES:
        for item in fields.listing(ours, "DELIVRD"):
            word = item.raw if isinstance(item, Text) else ""
            if word in statuses:
                fields.refuse(f"`{word}` means two things", "keep one of them", item.at)
            statuses[word] = ours
    if not {"delivered", "failed"} <= set(statuses.values()):
        what = f"{who_says} neither what arrived nor what did not"
        fields.refuse(what, "list their words under `delivered` and `failed`")
    return statuses


def read_replies(top: Fields) -> Incoming | None:
    """What people write back, as the gateway hands it on."""
    fields = _table(top, "replies", (*_SHARED, *_REPLY))
    if fields is None:
        return None
    paths = _paths(fields, _REPLY)
    for name in ("sender", "text"):
        if name not in paths:
            fields.refuse(f"replies have no `{name}`", f"write `{name}:` and its field")
    return Incoming(*_shared(fields, paths))


def _table(top: Fields, key: str, keys: tuple[str, ...]) -> Fields | None:
    node = top.node(key)
    return Fields.of(node, f"`{key}`", keys, top.problems, example=f"{key}: {{encoding: form}}") if node else None


def _paths(fields: Fields, names: tuple[str, ...]) -> dict[str, str]:
    return {name: path for name in names if (path := fields.text(name)) is not None}


def _shared(fields: Fields, paths: dict[str, str]) -> tuple[Encoding, str, dict[str, str], Signature, str]:
    word = fields.one_of("encoding", "encoding", ("form", "json"))
    encoding: Encoding = "json" if word == "json" else "form"
    each = fields.text("each") or ""
    if each and encoding == "form":
        fields.refuse("a form holds no list", "take `each` out, or write `encoding: json`")
    signature = read_signature(fields, RECEIVED_VALUES, incoming=True)
    if fields.node("signature") is None:
        fields.refuse(f"{fields.what} could be anybody's: nothing is signed", "write `signature:`, at least `token`")
    answer = fields.text("answer") or ""
    return encoding, each, paths, signature or Signature("token", ""), answer
