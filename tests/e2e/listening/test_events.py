"""Events of a lender's own systems over real HTTP, on both databases: what is taken, and what is refused with its mend."""

import json

from sqlmodel import col

from channels.posted import BODY_MAX
from store.db import Database
from store.tables import Arrival, Event, Movement, Person
from tests.callers import FORMER, PAYMENT, TOKEN
from tests.listening import Heard, Listener
from tests.outgoing import rows


def post(listener: Listener, event: object, key: str = "", token: str = TOKEN) -> Heard:
    headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
    return listener.post_json("/events", event, headers)


def test_a_payment_is_in_the_ledger_when_the_answer_is_yes(listener: Listener, book: Database) -> None:
    """Once, whoever asks again; the token before this one is still taken."""
    first = post(listener, PAYMENT, "k1")
    (movement,) = rows(book, Movement, col(Movement.ref) == "API-1")
    assert (first.status, first.json["state"], movement.amount_minor, movement.source) == (201, "new", 250_00, "core")
    again = post(listener, PAYMENT, "k1", FORMER)
    assert (again.status, again.json) == (200, {"id": first.json["id"], "state": "known"})
    assert post(listener, {**PAYMENT, "amount": "251.00"}, "k1").status == 409
    assert post(listener, {**PAYMENT, "amount": "251.00"}, "k2").status == 409
    assert [e.kind for e in rows(book, Event, col(Event.key) == "movement:API-1")] == ["payment"]
    hold = {
        "event": "hold", "ref": "API-H", "person": "C1", "kind": "dispute", "owner": "mei", "review_on": "2026-12-30",
        "starts_at": "2026-03-02T09:00:00+08:00",
    }  # fmt: skip
    assert post(listener, hold, "k3").status == 201
    version = rows(book, Person, col(Person.ref) == "C1")[0].version
    assert (
        post(listener, {"event": "hold_released", "ref": "API-H", "ended_at": "2026-03-03T00:00:00Z"}, "k4").status
        == 201
    )
    assert rows(book, Person, col(Person.ref) == "C1")[0].version == version + 1


def test_an_event_that_is_none_is_refused_with_its_mend(listener: Listener, book: Database) -> None:
    """No token, no key, no JSON, no such field or loan, too long, twice the same field: nothing is taken, and it says why."""
    before = len(rows(book, Movement)), len(rows(book, Arrival))
    auth = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "w", "Content-Type": "application/json"}
    twice = json.dumps(PAYMENT)[:-1] + ', "amount": "1.00"}'
    answers = [
        post(listener, PAYMENT, "w", ""), post(listener, PAYMENT, "w", TOKEN + "x"),
        listener.ask("POST", "/events", json.dumps(PAYMENT), {**auth, "Authorization": f"Basic {TOKEN}"}),
        post(listener, PAYMENT), post(listener, PAYMENT, "k y"),
        listener.ask("POST", "/events", "a=b", {**auth, "Content-Type": "application/x-www-form-urlencoded"}),
        listener.ask("POST", "/events", "<html>", auth), listener.ask("POST", "/events", b"\xff", auth),
        listener.ask("POST", "/events", "[" * 30_000, auth), listener.ask("POST", "/events", twice, auth),
        listener.ask("POST", "/events", json.dumps({**PAYMENT, "x": "y" * BODY_MAX}), auth),
        post(listener, {**PAYMENT, "amount": 250, "note": "x"}, "w"), post(listener, [PAYMENT], "w"),
        post(listener, {**PAYMENT, "loan": "NO-SUCH"}, "w"),
    ]  # fmt: skip
    assert [answer.status for answer in answers] == [
        401,
        401,
        401,
        400,
        400,
        415,
        400,
        400,
        400,
        400,
        413,
        422,
        422,
        422,
    ]
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert answers[3].json == {
        "problems": [
            {
                "where": "Idempotency-Key", "what": "there is none, or it is none",
                "mend": "name each event once, with 1 to 200 printable characters, e.g. a UUID",
            }
        ]
    }  # fmt: skip
    assert answers[9].json["problems"][0]["what"] == "a field stands twice"
    assert answers[11].json == {
        "problems": [
            {
                "where": "amount",
                "what": "input should be a valid string",
                "mend": "see /openapi.json for what is taken",
            },
            {"where": "note", "what": "extra inputs are not permitted", "mend": "take `note` out"},
        ]
    }
    assert answers[13].json == {
        "problems": [
            {"where": "body", "what": "no loan `NO-SUCH`", "mend": "correct it, or import `loans` first"}
        ]
    }  # fmt: skip
    assert (len(rows(book, Movement)), len(rows(book, Arrival))) == before


def test_the_document_says_what_is_taken(listener: Listener) -> None:
    """A caller's own check by /openapi.json agrees with ours, for what is right and for what is not."""
    import jsonschema

    document = listener.ask("GET", "/openapi.json").json
    about = document["paths"]["/events"]["post"]
    schema = about["requestBody"]["content"]["application/json"]["schema"]
    check = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    assert list(check.iter_errors(PAYMENT)) == []
    for wrong in (
        {**PAYMENT, "amount": 250},
        {**PAYMENT, "x": 1},
        {**PAYMENT, "event": "refund"},
        {"event": "payment"},
    ):
        assert list(check.iter_errors(wrong)) != []
    assert set(about["responses"]) == {"200", "201", "400", "401", "408", "409", "413", "415", "422", "503"}
    assert about["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert list(document["paths"]) == ["/events"]
