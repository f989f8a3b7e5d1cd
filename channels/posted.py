"""A request as it came to our door: bounded, read strictly, and believed only after its signature."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from channels.reports import Refused

BODY_MAX: Final = 65_536
"""Bytes; a provider's report is a few hundred. Web servers in front should stop more than that as well."""
FIELDS_MAX: Final = 200
CODE_MAX: Final = 40
REF_MAX: Final = 200
"""Characters of a provider's codes and ids: what is longer is none, and goes into no column of ours."""
_NUL: Final = "a NUL in it, which no text has and no database keeps"


@dataclass(frozen=True, slots=True)
class Posted:
    """
    What a web server was sent, nothing in it believed yet.

    Attributes:
        query: what stands after `?` in the address, as it came.
        headers: by name in lower case.
    """

    body: bytes
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Form(dict[str, list[str]]):
    """A form whose fields may come several times, in the shape that Twilio's validator asks for."""

    def getlist(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        return self.get(name, [])

    def one(self, name: str) -> str | None:
        """The value of a field that comes once; None: it is missing, or comes several times."""
        values = self.getlist(name)
        return values[0] if len(values) == 1 else None


def is_web_address(url: str) -> bool:
    """Whether a provider could call it."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  read only now, and no number from 0 to 65535 is an error
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def read_form(posted: Posted) -> Form | Refused:
    """The form in a request."""
    if refused := _wrong(posted, "application/x-www-form-urlencoded"):
        return refused
    try:
        text = posted.body.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError:
        return Refused("malformed", "the body is no form")
    return Refused("malformed", _NUL) if "%00" in text else as_form(pairs)


def read_query(query: str) -> Form | Refused:
    """The fields in an address."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        return Refused("malformed", "the address cannot be read")
    return as_form(pairs)


def read_json(posted: Posted) -> Any | Refused:
    """The JSON document in a request."""
    return _wrong(posted, "application/json") or json_of(posted.body)


def json_of(body: bytes) -> Any | Refused:
    """A JSON document; numbers keep their spelling, because they are ids and codes to us."""
    try:
        read = json.loads(body.decode("utf-8"), parse_int=str, parse_float=str, parse_constant=_no_constant)
        # Half a character pair can be written in JSON, and nowhere else.
        json.dumps(read, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return Refused("malformed", "the body is no JSON")
    return Refused("malformed", _NUL) if b"\\u0000" in body else read


def at_path(document: Any, path: str) -> str | None:
    """The value at a path of names, e.g. `data.id`; a number of a list counts from 0. None: it is not there."""
    here = document
    for name in path.split("."):
        if isinstance(here, dict):
            here = here.get(name)
        elif isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            return None
    if isinstance(here, bool):
        return "true" if here else "false"
    return here if isinstance(here, str) else None


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def as_form(pairs: list[tuple[str, str]]) -> Form:
    """Pairs as a form."""
    form = Form()
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form


def _wrong(posted: Posted, content_type: str) -> Refused | None:
    if len(posted.body) > BODY_MAX:
        return Refused("oversized", f"the body is longer than {BODY_MAX} bytes")
    given = posted.headers.get("content-type", "").partition(";")[0].strip().lower()
    return None if given == content_type else Refused("malformed", f"the body does not say that it is {content_type}")
