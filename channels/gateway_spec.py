"""What a text-message gateway expects and says, as its file describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from zoneinfo import ZoneInfo

from channels.refusals import Refusal
from channels.reports import Delivery

Tree = str | int | bool | list["Tree"] | dict[str, "Tree"]
"""Fields of a request: texts with `{values}` in them, in lists and tables where the encoding is JSON."""
Encoding = Literal["form", "json"]
Method = Literal["hmac-sha256", "hmac-sha1", "md5", "sha256", "token"]

SEND_VALUES: Final = (
    "account", "number", "text", "template_id", "template_values", "contact_id", "time", "nonce", "signature",
)  # fmt: skip
SIGN_VALUES: Final = (
    "secret", "account", "number", "text", "template_id", "template_values", "contact_id", "time", "nonce",
    "sorted", "sorted_plain", "sorted_encoded", "body", "method", "path",
)  # fmt: skip
LOOKUP_VALUES: Final = ("account", "number", "contact_id", "time", "nonce", "signature")
LOOKUP_SIGN_VALUES: Final = tuple(
    name for name in SIGN_VALUES if name not in ("text", "template_id", "template_values")
)
RECEIVED_VALUES: Final = ("secret", "account", "sorted", "sorted_plain", "sorted_encoded", "body")
"""Beside these, `{field.NAME}` is a field of what came in."""


@dataclass(frozen=True, slots=True)
class Signature:
    """
    How something is signed.

    Attributes:
        over: what is signed, with `{values}` in it; empty for `token`, which is the secret itself.
        written: hex, HEX or base64.
        field, header: where the signature of something that comes in stands; one of the two.
    """

    method: Method
    over: str
    written: str = "hex"
    field: str = ""
    header: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """A template that the gateway's carriers approved in one language: their id, and which of our values it takes."""

    id: str
    values: tuple[str, ...] | Mapping[str, str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What the gateway's answer to a send means.

    Attributes:
        code, ref: paths in its JSON, e.g. `data.id`; an empty ref: it gives no ids.
        sent: codes that say it took the message.
        codes, http: codes and HTTP statuses that surely mean that it did not.
    """

    code: str
    ref: str
    sent: frozenset[str]
    codes: Mapping[str, Refusal]
    http: Mapping[str, Refusal]


@dataclass(frozen=True, slots=True)
class Incoming:
    """
    What the gateway posts to us: receipts or replies.

    Attributes:
        each: path of the list in its JSON; empty: one at a time, or nothing but a list.
        paths: our name of a value -> where it stands.
        statuses: for receipts, their word -> ours.
        codes: for receipts, what their codes mean.
        answer: what the gateway wants to hear back.
    """

    encoding: Encoding
    each: str
    paths: Mapping[str, str]
    signature: Signature
    answer: str
    statuses: Mapping[str, Delivery] = field(default_factory=dict)
    codes: Mapping[str, Refusal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """How the gateway is called; `where` is what that part of the file is called."""

    where: str
    url: str
    method: Literal["POST", "GET"]
    encoding: Encoding
    headers: Mapping[str, str]
    fields: Mapping[str, Tree]


@dataclass(frozen=True, slots=True)
class Lookup:
    """
    How a message in doubt is looked up in the gateway's own records.

    Attributes:
        code, ok: where the answer's code stands, and the codes that say that it answers what was asked.
        each: path of the list of messages; empty: the answer is about one, or nothing but a list.
        paths: our name of a value -> where it stands in each; always `contact_id` and `status`.
        statuses: their word -> ours; codes: what their codes mean.
    """

    call: Call
    signature: Signature | None
    code: str
    ok: frozenset[str]
    each: str
    paths: Mapping[str, str]
    statuses: Mapping[str, Delivery]
    codes: Mapping[str, Refusal]


@dataclass(frozen=True, slots=True)
class Gateway:
    """
    One gateway. `channels.gateway_file.read_gateway` makes it of a file.

    Attributes:
        send: how a text is handed over.
        serves: country prefixes it sends to, e.g. `+86`; empty: everywhere.
        number: e164 (`+8613...`), digits (`8613...`) or national (`13...`, with one prefix served).
        time: seconds, milliseconds, iso, or compact (`20260305093000`), in `zone`.
        templates: our template -> language -> what was approved; None: it takes any text.
    """

    name: str
    send: Call
    serves: tuple[str, ...]
    number: str
    time: str
    zone: ZoneInfo
    signature: Signature | None
    templates: Mapping[str, Mapping[str, Approved]] | None
    answer: Answer
    receipts: Incoming | None = None
    replies: Incoming | None = None
    lookup: Lookup | None = None
