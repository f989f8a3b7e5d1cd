"""What a gateway posts to us, verified and read as its file says: receipts and replies."""

import hmac
from typing import Any, Final

from channels.gateway_sign import compact, number_from, sign, sorted_values
from channels.gateway_spec import Gateway, Incoming
from channels.message import CONTACT_ID, Secret
from channels.posted import CODE_MAX, REF_MAX, Posted, at_path, read_form, read_json, read_query
from channels.reports import InboundText, Refused, StatusReport

EACH_MAX: Final = 1000
"""Receipts in one request."""


class GatewayReports:
    """
    Reads what one gateway posts.

    Attributes:
        receipts_answer, replies_answer: what it wants to hear once that is kept; None: its file does not tell of any.
    """

    def __init__(self, gateway: Gateway, account: str, secret: Secret) -> None:
        self.receipts_answer = gateway.receipts.answer if gateway.receipts is not None else None
        self.replies_answer = gateway.replies.answer if gateway.replies is not None else None
        self._gateway = gateway
        self._account = account
        self._secret = secret

    def receipts(self, posted: Posted) -> list[StatusReport | Refused]:
        """What became of messages; each that cannot be understood is refused by itself."""
        return [self._receipt(one) for one in self._each(self._gateway.receipts, posted)]

    def replies(self, posted: Posted) -> list[InboundText | Refused]:
        """What people wrote."""
        return [self._reply(one) for one in self._each(self._gateway.replies, posted)]

    def _receipt(self, one: Any) -> StatusReport | Refused:
        about = self._gateway.receipts
        if isinstance(one, Refused) or about is None:
            return one if isinstance(one, Refused) else _NOT_SET_UP
        found = _found(about, one)
        contact, ref, code = found.get("contact_id", ""), found.get("ref", ""), found.get("code", "")
        status = about.statuses.get(found.get("status", ""))
        if status is None:
            return Refused("unexpected", "a status that the gateway's file does not list")
        if contact and not CONTACT_ID.fullmatch(contact):
            return Refused("unmatched", "it is not about a contact of ours")
        if (not contact and not ref) or len(ref) > REF_MAX:
            return Refused("malformed", "it does not say which message it is about")
        if status != "failed":
            return StatusReport(self._gateway.name, contact, ref, status)
        meaning = about.codes[code][1] if code in about.codes else "unclear"
        return StatusReport(self._gateway.name, contact, ref, "failed", (code or found["status"])[:CODE_MAX], meaning)

    def _reply(self, one: Any) -> InboundText | Refused:
        about = self._gateway.replies
        if isinstance(one, Refused) or about is None:
            return one if isinstance(one, Refused) else _NOT_SET_UP
        found = _found(about, one)
        if not found.get("sender") or "text" not in found:
            return Refused("malformed", "a reply without its sender or its text")
        if max(len(found.get(name, "")) for name in ("sender", "to", "ref")) > REF_MAX:
            return Refused("malformed", "a number or an id that is none")
        sender = number_from(self._gateway, found["sender"])
        return InboundText(self._gateway.name, sender, found.get("to", ""), found["text"], found.get("ref", ""))

    def _each(self, about: Incoming | None, posted: Posted) -> list[Any]:
        if about is None:
            return [_NOT_SET_UP]
        document = self._document(about, posted)
        if isinstance(document, Refused):
            return [document]
        if refused := self._unsigned(about, posted, document):
            return [refused]
        if not about.each:
            return self._bounded(document if isinstance(document, list) else [document])
        here = document
        for name in about.each.split("."):
            here = here.get(name) if isinstance(here, dict) else None
        if not isinstance(here, list):
            return [Refused("malformed", "the list of the gateway's file is not there")]
        return self._bounded(here)

    def _bounded(self, found: list[Any]) -> list[Any]:
        return found if len(found) <= EACH_MAX else [Refused("oversized", f"more than {EACH_MAX} at once")]

    def _document(self, about: Incoming, posted: Posted) -> Any:
        if about.encoding == "json":
            document = read_json(posted)
            wrong = not isinstance(document, dict | list | Refused)
            return Refused("malformed", "the body is neither a table nor a list") if wrong else document
        form = read_form(posted)
        if isinstance(form, Refused):
            return form
        # A field that comes twice has no one value: whoever signs the first could read the second.
        twice = any(len(values) != 1 for values in form.values())
        return (
            Refused("malformed", "a field came twice") if twice else {name: values[0] for name, values in form.items()}
        )

    def _unsigned(self, about: Incoming, posted: Posted, document: Any) -> Refused | None:
        signature, secret = about.signature, self._secret.get_secret_value()
        if signature.header:
            given = posted.headers.get(signature.header)
        else:
            query = read_query(posted.query)
            in_address = None if isinstance(query, Refused) else query.one(signature.field)
            given = at_path(document, signature.field) or in_address
        if not given:
            return Refused("unsigned", "it carries no signature")
        named = document if isinstance(document, dict) else {}
        fields = {name: value for name, value in named.items() if name != signature.field}
        values = {
            "account": self._account,
            "body": posted.body.decode("utf-8", "replace"),
            **sorted_values(fields),
            **{f"field.{name}": compact(value) for name, value in fields.items()},
        }
        try:
            right = sign(signature, values, secret)
        except KeyError:
            return Refused("malformed", "a field that is signed is not there")
        same = hmac.compare_digest(given.encode(), right.encode())
        return None if same else Refused("forged", "its signature is wrong")


_NOT_SET_UP = Refused("unexpected", "the gateway's file does not say what this means")


def _found(about: Incoming, one: Any) -> dict[str, str]:
    found = {name: at_path(one, path) for name, path in about.paths.items()}
    return {name: value for name, value in found.items() if value is not None}
