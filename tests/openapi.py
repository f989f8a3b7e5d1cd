"""The provider's own OpenAPI document, where it lies beside this repository, and what requests owe to it."""

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from channels.testing.provider import Asked

SPEC = Path(__file__).parents[2] / "shared/data/twilio/twilio_api_v2010.min.json"
ABSENT = "the provider's OpenAPI file is not beside this repository"


@cache
def document() -> Any:
    """The whole document."""
    return json.loads(SPEC.read_text(encoding="utf-8"))


def check_all(asked: Iterable[Asked]) -> None:
    """Every request is one that the document declares: its path, its parameters, and the kind of each value."""
    for request in asked:
        operation = _operation(request)
        if request.method == "POST":
            body = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
        else:
            declared = [p for p in operation["parameters"] if p["in"] == "query"]
            body = {"type": "object", "properties": {p["name"]: p["schema"] for p in declared}}
        values: dict[str, list[str]] = defaultdict(list)
        for name, value in request.fields:
            values[name].append(value)
        given = {name: _typed(body["properties"].get(name, {}), value) for name, value in values.items()}
        strict = {**body, "additionalProperties": False, "components": document()["components"]}
        jsonschema.validate(given, strict, format_checker=jsonschema.FormatChecker())


def check_answer(name: str, public: dict[str, Any]) -> None:
    """What the stand-in answers has the fields of the provider's resource, of the right kinds."""
    schema = document()["components"]["schemas"][name]
    assert public.keys() <= schema["properties"].keys()
    present = {key: value for key, value in public.items() if value is not None}
    jsonschema.validate(present, {**schema, "components": document()["components"]})


def _operation(request: Asked) -> Any:
    account = request.path.split("/")[3]
    path = request.path.replace(account, "{AccountSid}")
    for kind in ("Messages", "Calls"):
        if f"/{kind}/" in path:
            path = f"{path.partition(f'/{kind}/')[0]}/{kind}/{{Sid}}.json"
    return document()["paths"][path][request.method.lower()]


def _typed(schema: dict[str, Any], values: list[str]) -> Any:
    if schema.get("type") == "array":
        return values
    assert len(values) == 1, "a field came twice"
    if schema.get("type") == "integer":
        return int(values[0])
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}[values[0]]
    return values[0]
