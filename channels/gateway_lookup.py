"""A gateway's own records: what its file says of asking about a message in doubt, and what its answer means."""

from collections.abc import Collection
from typing import Any, Final, Literal

from channels.faults import in_doubt
from channels.gateway_call import CALL_KEYS, check_call, check_signed, read_call
from channels.gateway_incoming import read_statuses
from channels.gateway_sign import PLACE
from channels.gateway_spec import LOOKUP_SIGN_VALUES, LOOKUP_VALUES, Lookup, Signature
from channels.gateway_values import read_signature
from channels.message import Receipt
from channels.posted import CODE_MAX, REF_MAX, at_path, json_of
from channels.refusals import codes_of
from channels.reports import DELIVERIES, Refused
from engine.fields import Fields
from engine.source import Text

_PATHS: Final = ("contact_id", "ref", "status", "code")


def read_lookup(top: Fields, signature: Signature | None) -> Lookup | None:
    """
    How the gateway is asked; None where its file does not say, or says it wrongly.

    Args:
        signature: how sends are signed; the same unless the lookup has a signature of its own.
    """
    node = top.node("lookup")
    if node is None:
        return None
    keys = (*CALL_KEYS, "signature", "answer", "each", *_PATHS, *DELIVERIES, "codes")
    fields = Fields.of(node, "`lookup`", keys, top.problems, example="lookup: {url: https://..., fields: {...}}")
    if fields is None:
        return None
    before = len(top.problems)
    used = check_call(fields, LOOKUP_VALUES, example="https://sms.example/query")
    if not {"contact_id", "number"} & set(used):
        fields.refuse("nothing in `lookup` says what is asked about", "write `{contact_id}` where the gateway wants it")
    own = fields.node("signature") is not None
    signed = read_signature(fields, LOOKUP_SIGN_VALUES) if own else signature
    check_signed(fields, used, signed=signed is not None or (own and "signature" in used))
    if signed is not None and (strange := set(PLACE.findall(signed.over)) - set(LOOKUP_SIGN_VALUES)):
        what = f"sends are signed over `{{{min(strange)}}}`, which a lookup does not have"
        fields.refuse(what, "give `lookup` a `signature` of its own")
    code, ok = _answer(fields)
    paths = {name: path for name in _PATHS if (path := fields.text(name)) is not None}
    for name in ("contact_id", "status"):
        if name not in paths:
            fields.refuse(f"`lookup` has no `{name}`", f"write `{name}:` and where it stands in the answer")
    statuses = read_statuses(fields, "`lookup` says")
    given = fields.node("codes")
    codes = codes_of(given, top.problems) if given is not None else {}
    if len(top.problems) > before:
        return None
    return Lookup(read_call(fields), signed, code, ok, fields.text("each") or "", paths, statuses, codes)


def _answer(fields: Fields) -> tuple[str, frozenset[str]]:
    node = fields.required("answer", '{code: code, ok: ["0"]}')
    example = 'answer: {code: code, ok: ["0"]}'
    answer = (
        Fields.of(node, "the answer of `lookup`", ("code", "ok"), fields.problems, example=example) if node else None
    )
    if answer is None:
        return "", frozenset()
    answer.required("ok", '["0"]')
    ok = frozenset(item.raw for item in answer.listing("ok", '"0"') if isinstance(item, Text))
    return answer.text("code", required="code") or "", ok


def found_in(
    lookup: Lookup, status: int, body: bytes, *, provider: str, contact_id: str, taken: Collection[str]
) -> Receipt | None:
    """
    What an answer says of one contact's message; None: the gateway lists none.

    Sent, if any try of it was; failed only if each that is listed was. A word that the file does not list leaves it in doubt.
    """
    read = json_of(body)
    if status >= 300 or isinstance(read, Refused) or at_path(read, lookup.code) not in lookup.ok:
        return in_doubt(provider, "no_answer", "the gateway did not answer what was asked")
    found = [
        receipt
        for one in _listed(read, lookup.each)
        if at_path(one, lookup.paths["contact_id"]) == contact_id
        and (receipt := _receipt(lookup, one, provider)).provider_ref not in taken
    ]
    for wanted in ("sent", "unknown", "failed"):
        for receipt in found:
            if receipt.status == wanted:
                return receipt
    return None


def _listed(read: Any, each: str) -> list[Any]:
    for name in each.split(".") if each else ():
        read = read.get(name) if isinstance(read, dict) else None
    if isinstance(read, list):
        return read
    return [read] if read is not None and not each else []


def _receipt(lookup: Lookup, one: Any, provider: str) -> Receipt:
    said = {name: at_path(one, path) or "" for name, path in lookup.paths.items()}
    ref, code = said.get("ref", "")[:REF_MAX], said.get("code", "")[:CODE_MAX]
    became: Literal["sent", "delivered", "failed"] | None = lookup.statuses.get(said["status"])
    if became is None:
        words = "the gateway's records say what its file does not list"
        return Receipt("unknown", provider, ref, said["status"][:CODE_MAX], "unclear", words)
    if became != "failed":
        return Receipt("sent", provider, ref)
    known = lookup.codes.get(code)
    words = known[2] if known else "the gateway's records say that it did not arrive"
    return Receipt("failed", provider, ref, code, known[1] if known else "unclear", words)
