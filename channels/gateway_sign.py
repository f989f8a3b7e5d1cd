"""Filling a gateway's fields in, and its signatures, both ways."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from channels.gateway_spec import Gateway, Signature, Tree

PLACE: Final = re.compile(r"\{([^{}]*)\}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """A text with its `{values}` filled in, once: what a value says is never read as a value itself."""
    return PLACE.sub(lambda match: values[match[1]], template)


def fill_tree(tree: Tree, values: Mapping[str, str], native: Mapping[str, Any]) -> Any:
    """
    Fields filled in.

    Args:
        native: values that stand in JSON as they are (a list, a table) where a field is nothing but them.
    """
    if isinstance(tree, str):
        whole = PLACE.fullmatch(tree)
        return native[whole[1]] if whole and whole[1] in native else fill(tree, values)
    if isinstance(tree, list):
        return [fill_tree(item, values, native) for item in tree]
    if isinstance(tree, dict):
        return {key: fill_tree(item, values, native) for key, item in tree.items()}
    return tree


def compact(value: Any) -> str:
    """A value as JSON without white space; a text as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sorted_values(fields: Mapping[str, Any]) -> dict[str, str]:
    """The fields in the order of their names, in the three ways that gateways sign them."""
    pairs = [(name, compact(fields[name])) for name in sorted(fields)]
    return {
        "sorted": "&".join(f"{name}={value}" for name, value in pairs),
        "sorted_plain": "".join(name + value for name, value in pairs),
        "sorted_encoded": "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs),
    }


def sign(signature: Signature, values: Mapping[str, str], secret: str) -> str:
    """The signature over the values."""
    if signature.method == "token":
        return secret
    text = fill(signature.over, {**values, "secret": secret}).encode()
    if signature.method in ("md5", "sha256"):
        # Gateways that want MD5 want it over a text with the secret in it; nothing better is offered.
        digest = hashlib.new(signature.method, text, usedforsecurity=False).digest()
    else:
        digest = hmac.digest(secret.encode(), text, signature.method.removeprefix("hmac-"))
    if signature.written == "base64":
        return base64.b64encode(digest).decode()
    return digest.hex().upper() if signature.written == "HEX" else digest.hex()


def number_for(gateway: Gateway, to: str) -> str | None:
    """A number in E.164 as the gateway writes it; None: it does not serve it."""
    prefix = next((prefix for prefix in gateway.serves if to.startswith(prefix)), None)
    if gateway.serves and prefix is None:
        return None
    if gateway.number == "national":
        return to.removeprefix(prefix or "")
    return to if gateway.number == "e164" else to.removeprefix("+")


def number_from(gateway: Gateway, written: str) -> str:
    """A number as the gateway writes it, in E.164 where that can be told."""
    digits = written.removeprefix("+")
    if not digits.isdecimal() or written.startswith("+"):
        return written
    prefix = gateway.serves[0] if gateway.number == "national" else "+"
    return f"{prefix}{digits}"


def time_for(gateway: Gateway, now: datetime) -> str:
    """An instant as the gateway writes it."""
    if gateway.time == "iso":
        return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if gateway.time == "compact":
        return now.astimezone(gateway.zone).strftime("%Y%m%d%H%M%S")
    milliseconds = int(now.timestamp() * 1000)
    return str(milliseconds if gateway.time == "milliseconds" else milliseconds // 1000)
