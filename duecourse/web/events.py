"""`POST /events`: what the lender's own systems tell at once. In the book when the answer is yes, and never twice."""

import json
import re
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from duecourse.web.desk import Desk
from duecourse.web.event_models import EVENT, Problems, ProblemSaid, Taken
from duecourse.web.tokens import may
from engine.errors import DataError, Problem
from workflows.inbox.posting import Conflict, post

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse

PATH: Final = "/events"
_KEY: Final = re.compile(r"[!-~]{1,200}")
_PLAIN: Final = (408, 413)
"""Refused before anything reads it, in plain words."""
_ANSWERS: Final = {
    200: "It was in the book already; nothing was changed.",
    400: "No idempotency key, or no JSON.",
    401: "No token, or a wrong one.",
    408: "The body did not come in time.",
    409: "The key or the ref was used for something else.",
    413: "The body is too long.",
    415: "The body does not say that it is JSON.",
    422: "It does not mean anything, or does not hold together with the book.",
    503: "The book cannot be written now: send the same again.",
}


def add_events(app: "FastAPI", desk: Desk) -> None:
    """Add the endpoint."""
    from fastapi import Request
    from fastapi.responses import JSONResponse

    async def events(request: Request) -> JSONResponse:
        """Tell of one event. The same `Idempotency-Key` with the same content changes nothing."""
        listen = desk.settings.listen
        if not may(request.headers.get("authorization", ""), (listen.token, listen.former_token)):
            answer = refusal(401, [ProblemSaid(where="Authorization", what="no token, or a wrong one", mend=_WHO)])
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refusal(415, [_said("Content-Type", "the body does not say that it is JSON", _JSON)])
        key = request.headers.get("idempotency-key", "")
        if _KEY.fullmatch(key) is None:
            mend = "name each event once, with 1 to 200 printable characters, e.g. a UUID"
            return refusal(400, [_said("Idempotency-Key", "there is none, or it is none", mend)])
        body = await request.body()
        if wrong := _no_json(body):
            return refusal(400, [_said("body", wrong, _JSON)])
        try:
            event = EVENT.validate_json(body)
        except ValidationError as error:
            return refusal(422, [_wrong(one) for one in error.errors(include_url=False, include_input=False)])
        work = partial(post, desk.database, event.source, key, event.told(), now=desk.clock())
        try:
            taken = await desk.at(work)
        except DataError as error:
            status = 409 if isinstance(error, Conflict) else 422
            return refusal(status, [_said("body", problem.what, problem.mend) for problem in error.problems])
        status = 201 if taken.state == "new" else 200
        return JSONResponse({"id": taken.id, "state": taken.state}, status_code=status)

    app.post(
        PATH,
        status_code=201,
        response_model=None,
        responses={201: {"model": Taken, "description": "It is in the book."}, **_described()},
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": _schema(app)}}},
            "parameters": [
                {
                    "name": "Idempotency-Key", "in": "header", "required": True,
                    "schema": {"type": "string", "pattern": f"^{_KEY.pattern}$"},
                }
            ],
            "security": [{"token": []}],
        },
    )(events)  # fmt: skip


_WHO: Final = "send `Authorization: Bearer TOKEN` with the token of the setting `listen.token`"
_JSON: Final = "send one JSON object as `application/json`; /openapi.json has its fields"


def refusal(status: int, problems: Iterable[ProblemSaid]) -> "JSONResponse":
    """An answer that says what is wrong, where, and the mend."""
    from fastapi.responses import JSONResponse

    return JSONResponse(Problems(problems=list(problems)).model_dump(), status_code=status)


def said(problem: Problem) -> ProblemSaid:
    """A problem as JSON."""
    return _said(str(problem.at) if problem.at is not None else "", problem.what, problem.mend)


def _said(where: str, what: str, mend: str) -> ProblemSaid:
    return ProblemSaid(where=where, what=what, mend=mend)


def _no_json(body: bytes) -> str | None:
    """What is wrong with it as JSON; a field that stands twice has no one value."""
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice.append("")
        return found

    try:
        json.loads(body.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        return "it is no JSON"
    return "a field stands twice" if twice else None


def _wrong(error: Any) -> ProblemSaid:
    """Pydantic's word for it, without what was sent."""
    # What stands first is the kind of event, which tells the shapes apart.
    where = ".".join(str(part) for part in error["loc"][1:]) or "event"
    message = str(error["msg"])
    what = message[:1].lower() + message[1:]
    mend = {"missing": f"add `{where}`", "extra_forbidden": f"take `{where}` out"}.get(
        error["type"], "see /openapi.json for what is taken"
    )
    return _said(where, what, mend)


def _described() -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for status, words in _ANSWERS.items():
        model = Taken if status == 200 else None if status in _PLAIN else Problems
        found[status] = {"description": words, **({"model": model} if model is not None else {})}
    return found


def _schema(app: "FastAPI") -> dict[str, Any]:
    """The schema of the body; what it refers to is added to the document's components."""
    schema = EVENT.json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs")
    usual = app.openapi

    def openapi() -> dict[str, Any]:
        document = usual()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(definitions)
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        return document

    app.openapi = openapi  # type: ignore[method-assign] # as its manual says
    return schema
