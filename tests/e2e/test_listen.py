"""The listening process from outside, over real HTTP, on both databases: what is taken, what is refused, what follows."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copyfile

import pytest
from sqlmodel import col, select
from twilio.request_validator import RequestValidator

import channels
from channels.posted import BODY_MAX
from channels.testing.gateway import ACCOUNT, SECRET, FakeGateway
from duecourse.commands.init import create_workspace
from duecourse.workspace import open_workspace
from store.db import Database
from store.lock import sole
from store.tables import Arrival, Consent, Contact, Endpoint, Event, Loan, MessageText, Movement, Person
from tests.e2e.command import duecourse
from tests.factories import make_loan, make_person
from tests.listening import Heard, Listener, listening, until
from tests.outgoing import rows
from tests.postgres import Server
from workflows.unsubscribe import Unsubscribing, link_key, make_token

ACCOUNT_SID, AUTH_TOKEN = "AC" + "0" * 32, "a" * 32
TOKEN, FORMER = "t" * 32, "f" * 32
PUBLIC = "https://hooks.lender.example"
US, CN = "+12125550102", "+12125550101"
ENV = {
    "DUECOURSE_SMS__AUTH_TOKEN": AUTH_TOKEN, "DUECOURSE_SMS_GATEWAY__SECRET": SECRET, "DUECOURSE_LISTEN__TOKEN": TOKEN,
    "DUECOURSE_LISTEN__FORMER_TOKEN": FORMER,
}  # fmt: skip
SETTINGS = f"""
sms: {{account_sid: {ACCOUNT_SID}, from_number: "+15550100123"}}
sms_gateway: {{file: config/gateway.yaml, account: {ACCOUNT}}}
listen: {{public_url: "{PUBLIC}"}}
"""
PAYMENT = {"event": "payment", "ref": "API-1", "loan": "CN-1", "amount": "250.00", "effective_on": "2026-03-02"}


def make(folder: Path, url: str | None) -> Path:
    """A workspace with a loan in China and one in the United States."""
    workspace = folder / "ws"
    create_workspace(workspace, url)
    with (workspace / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write(SETTINGS)
    copyfile(Path(channels.__file__).with_name("gateway_example.yaml"), workspace / "config" / "gateway.yaml")
    with opened(workspace) as book:
        first = make_person(book, ref="C1", mobile=CN)
        make_loan(book, ref="CN-1", borrower_id=first, instalments=[(date(2026, 2, 20), 1000_00)])
        second = make_person(
            book, ref="U1", country="US", zones="America/Los_Angeles", mobile=US, email="u1@example.com"
        )
        make_loan(book, ref="US-1", borrower_id=second, instalments=[(date(2026, 2, 20), 100_00)], currency="USD")
    return workspace


@pytest.fixture(scope="module")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with its book."""
    return make(tmp_path_factory.mktemp("listen"), None)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(
    request: pytest.FixtureRequest, sqlite_place: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The same, once on each database."""
    if request.param == "sqlite":
        yield sqlite_place
        return
    server: Server = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield make(tmp_path_factory.mktemp("listen"), url)


@pytest.fixture(scope="module")
def listener(place: Path) -> Iterator[Listener]:
    """It runs for all tests of the module, as it would."""
    with listening(place, **ENV) as running:
        yield running
        assert running.process.poll() is None, "\n".join(running.lines)


@pytest.fixture
def book(place: Path) -> Iterator[Database]:
    """The book as another process sees it."""
    with opened(place) as found:
        yield found


@contextmanager
def opened(workspace: Path) -> Iterator[Database]:
    secrets = {"sms": {"auth_token": AUTH_TOKEN}, "sms_gateway": {"secret": SECRET}}
    found = open_workspace(workspace, secrets).open_database()
    yield found
    found.close()


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the listener's clock is the machine's


def sent(book: Database, contact_id: str, *, ref: str | None = None, **values: object) -> str:
    """A text to the second client that has left."""
    with book.write() as session:
        endpoint = session.exec(select(Endpoint).where(col(Endpoint.value_hash) == book.sealing.hashed(US))).one()
        loan = session.exec(select(Loan).where(col(Loan.borrower_id) == endpoint.person_id)).one()
        at = now() - timedelta(minutes=5)
        given = {
            "id": contact_id, "loan_id": loan.id, "person_id": endpoint.person_id, "endpoint_id": endpoint.id,
            "channel": "sms", "slot": contact_id, "status": "sent", "outcome": "sent", "planned_at": at,
            "not_before_at": at, "expires_at": at + timedelta(hours=1), "at": at, "attempts": 1, "provider": "twilio",
            "provider_ref": ref,
        }  # fmt: skip
        session.add(Contact(**{**given, **values}))
    return contact_id


def twilio(
    listener: Listener, form: Mapping[str, str], query: str = "", *, token: str = AUTH_TOKEN, url: str = ""
) -> Heard:
    """A callback, signed by the provider's own library for the address that it knows us by."""
    full = {"AccountSid": ACCOUNT_SID, "ApiVersion": "2010-04-01", **form}
    path = "/callbacks/twilio" + (f"?{query}" if query else "")
    signature = RequestValidator(token).compute_signature((url or PUBLIC) + path, full)
    return listener.post_form(path, full, {"X-Twilio-Signature": signature})


def status(contact: str, word: str, ref: str, **more: str) -> tuple[dict[str, str], str]:
    form = {"MessageSid": ref, "SmsSid": ref, "MessageStatus": word, "To": US, "From": "+15550100123", **more}
    return form, f"contact={contact}"


def text(body: str, ref: str, sender: str = US, **more: str) -> dict[str, str]:
    return {"MessageSid": ref, "From": sender, "To": "+15550100123", "Body": body, "NumMedia": "0", **more}


def settled(book: Database) -> bool:
    return not rows(book, Arrival, col(Arrival.state) == "waiting")


def contact(book: Database, contact_id: str) -> Contact:
    (found,) = rows(book, Contact, col(Contact.id) == contact_id)
    return found  # type: ignore[no-any-return]


# -- callbacks ---------------------------------------------------------------------------------------------------------


def test_it_lives_and_is_ready(listener: Listener) -> None:
    """Whoever watches it, and the proxy, can ask."""
    assert listener.ask("GET", "/health").json == {"alive": True}
    assert listener.ask("GET", "/ready").json == {"ready": True, "problems": []}
    assert listener.ask("GET", "/elsewhere").status == 404
    # Figures are told only where the settings name who may ask.
    assert listener.ask("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status == 404


def test_reports_come_home_in_any_order(listener: Listener, book: Database) -> None:
    """Delivered before sent, and again: delivered, once; the proxy's own address plays no part in the signature."""
    one = sent(book, "9-1-0", ref="SM1")
    for word in ("delivered", "sent", "queued", "delivered"):
        assert twilio(listener, *status(one, word, "SM1")).status == 204
    until(lambda: settled(book))
    assert (contact(book, one).status, contact(book, one).outcome) == ("delivered", "delivered")
    failed = sent(book, "9-2-0", ref="SM2")
    twilio(listener, *status(failed, "undelivered", "SM2", ErrorCode="30003"))
    until(lambda: contact(book, failed).status == "failed")
    assert [e.kind for e in rows(book, Event, col(Event.key) == f"{failed}:1")] == ["delivery_failed"]


def test_what_is_not_the_providers_changes_nothing(listener: Listener, book: Database) -> None:
    """Unsigned, forged, for another address or account, too long, no form: refused, told by reason, and nothing is kept."""
    one = sent(book, "9-3-0", ref="SM3")
    form, query = status(one, "undelivered", "SM3", ErrorCode="30006")
    before, told = len(rows(book, Arrival)), len(listener.log)
    path = f"/callbacks/twilio?{query}"
    answers = [
        listener.post_form(path, form),
        twilio(listener, form, query, token="gues" + "sed"),
        twilio(listener, form, query, url="https://other.example"),
        twilio(listener, {**form, "AccountSid": "AC" + "1" * 32}, query),
        twilio(listener, form, "contact=%27%3B--"),
        listener.ask("POST", path, b"\xff\x00", {"Content-Type": "application/x-www-form-urlencoded"}),
        listener.ask("POST", path, "<html></html>", {"Content-Type": "text/html"}),
        listener.ask("POST", path),
        listener.ask("POST", path, "a=" + "x" * BODY_MAX, {"Content-Type": "application/x-www-form-urlencoded"}),
        listener.ask("GET", path),
        listener.ask("POST", "/callbacks/other", "a=b"),
    ]  # fmt: skip
    assert [answer.status for answer in answers] == [403, 403, 403, 403, 400, 400, 400, 400, 413, 405, 404]
    assert {answer.text for answer in answers[:8]} == {""}
    until(lambda: len(listener.log) >= told + 8)
    lines = listener.log[told:]
    assert {(line["action"], line["source"]) for line in lines} == {("refused", "twilio")}
    assert [line["reason"] for line in lines] == ["unsigned", "forged", "forged", "forged", "malformed"] + [
        "malformed"
    ] * 3
    assert len(rows(book, Arrival)) == before
    assert contact(book, one).status == "sent"


def test_a_report_about_nothing_of_ours_comes_to_a_person(listener: Listener, book: Database) -> None:
    """Genuine and about no contact: parked with its reason, and others are not held up by it."""
    form, query = status("7-7-7", "delivered", "SM777")
    assert twilio(listener, form, query).status == 204
    one = sent(book, "9-4-0", ref="SM4")
    twilio(listener, *status(one, "delivered", "SM4"))
    until(lambda: settled(book))
    assert contact(book, one).status == "delivered"
    (parked,) = rows(book, Arrival, col(Arrival.key).like("%SM777%"))
    assert (parked.state, parked.why) == ("parked", "it is about contact `7-7-7`, and there is none")


def test_what_people_write(listener: Listener, book: Database) -> None:
    """A stop closes texts to them at once and a start opens them; other words wait to be read, and stand nowhere else."""
    (person,) = [e.person_id for e in rows(book, Endpoint, col(Endpoint.value_hash) == book.sealing.hashed(US))]
    answer = twilio(listener, text("Stop!", "SMa", OptOutType="STOP"))
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/xml")
    assert "<Response/>" in answer.text
    until(lambda: settled(book))
    twilio(listener, text("START", "SMb"))
    twilio(listener, text("Stop!", "SMa", OptOutType="STOP"))
    twilio(listener, text("My son lost his job, call me", "SMc"))
    twilio(listener, text("who is this", "SMd", sender="+12125550199"))
    until(lambda: settled(book))
    said = [c for c in rows(book, Consent, col(Consent.person_id) == person) if c.source == "twilio"]
    assert [(c.kind, c.channels) for c in said] == [("opt_out", "sms"), ("opt_in", "sms")]
    # The provider that heard a stop has confirmed it itself.
    assert rows(book, Contact, col(Contact.purpose) == "opt_out_confirmation") == []
    assert [row.text for row in rows(book, MessageText)] == ["My son lost his job, call me"]
    (stranger,) = rows(book, Arrival, col(Arrival.key) == "text:SMd")
    assert (stranger.state, stranger.why) == ("parked", "it came from a number that nobody with a loan has on file")
    waiting = [a for a in rows(book, Arrival) if a.private_json is not None]
    assert [a.id for a in waiting] == [stranger.id]
    assert "lost his job" not in "\n".join(listener.lines)
    assert "+1212555" not in "\n".join(listener.lines)


def test_a_key_in_a_recorded_call(listener: Listener, book: Database) -> None:
    """Nine is answered with the promise that such calls end, and it is kept; an unknown call hears who we are."""
    call = sent(book, "9-5-0", channel="call", ref="CA5")
    form = {
        "CallSid": "CA5",
        "CallStatus": "in-progress",
        "Direction": "outbound-api",
        "To": US,
        "From": "+15550100123",
    }
    answer = twilio(listener, {**form, "Digits": "9"}, f"contact={call}")
    assert answer.status == 200
    assert "no more recorded calls" in answer.text
    assert "+15550100" in twilio(listener, {**form, "Digits": "1"}, f"contact={call}").text
    assert "Example Lender" in twilio(listener, {**form, "Digits": "2"}, f"contact={call}").text
    until(lambda: settled(book))
    assert [c.scope for c in rows(book, Consent, col(Consent.how) == "key")] == ["prerecorded"]
    twilio(listener, {**form, "CallStatus": "completed", "AnsweredBy": "human"}, f"contact={call}")
    until(lambda: contact(book, call).status == "delivered")
    assert contact(book, call).outcome == "heard"


def test_a_gateways_receipts_and_replies(listener: Listener, book: Database) -> None:
    """Each receipt of a batch stands for itself; the gateway hears the answer its file names; a forgery hears none."""
    one = sent(book, "9-6-0", provider="freedonia", ref="F6")
    host = f"http://127.0.0.1:{listener.port}/callbacks/gateway"
    told = len(listener.log)
    with FakeGateway() as gateway:
        good = {"outId": one, "msgId": "F6", "stat": "DELIVRD"}
        assert gateway.report(f"{host}/receipts", good, {"outId": one, "stat": "LOST"}) == (200, '{"code":0}')
        assert gateway.report(f"{host}/receipts", good, secret="gues" + "sed")[0] == 403
        assert gateway.reply(f"{host}/replies", "13800138000", "退订") == (200, "success")
        assert gateway.reply(f"{host}/replies", "13800138000", "退订", secret="gues" + "sed")[0] == 403
    until(lambda: settled(book))
    assert contact(book, one).status == "delivered"
    (stranger,) = rows(book, Arrival, col(Arrival.source) == "freedonia", col(Arrival.kind) == "text")
    assert json.loads(stranger.private_json or "")["sender"] == "+8613800138000"
    until(lambda: len(listener.log) >= told + 4)
    reasons = [line["reason"] for line in listener.log[told:] if line["action"] == "refused"]
    assert reasons == ["unexpected", "forged", "forged"]


# -- unsubscribe -------------------------------------------------------------------------------------------------------


def test_a_link_is_looked_at_and_then_pressed(listener: Listener, book: Database) -> None:
    """Looking changes nothing, also for a program that opens every link; RFC 8058's post ends the mails; again it is done."""
    (mail,) = rows(book, Endpoint, col(Endpoint.kind) == "email")
    with book.write() as session:
        token = make_token(link_key(session), Unsubscribing(mail.person_id, mail.id or 0, "email"))
    path = f"/unsubscribe/{token}"
    page = listener.ask("GET", path, headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert page.status == 200
    assert "停止接收" in page.text
    assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert rows(book, Consent, col(Consent.source) == "unsubscribe") == []
    for _ in range(2):
        done = listener.post_form(path, {"List-Unsubscribe": "One-Click"})
        assert done.status == 200
        assert "send no more of these messages" in done.text
    (said,) = rows(book, Consent, col(Consent.source) == "unsubscribe")
    assert (said.person_id, said.endpoint_id, said.channels) == (mail.person_id, mail.id, "email")
    for wrong in (token[:-1], token.replace("email", "sms"), "x", "%00", "%ff-1-2", "1-1-email-" + "0" * 32):
        for method in ("GET", "POST"):
            assert listener.ask(method, f"/unsubscribe/{wrong}").status == 404
    assert len(rows(book, Consent, col(Consent.source) == "unsubscribe")) == 1


# -- events ------------------------------------------------------------------------------------------------------------


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


# -- endings -----------------------------------------------------------------------------------------------------------


def test_a_request_under_way_is_answered_before_it_ends(sqlite_place: Path) -> None:
    """Half a body is there when SIGTERM comes: the rest is heard, booked and answered, and the process ends in peace."""
    body = json.dumps({**PAYMENT, "ref": "API-LAST", "amount": "1.00"}).encode()
    head = (
        f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nIdempotency-Key: last\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with listening(sqlite_place, **ENV) as listener:
        assert listener.ask("GET", "/health").status == 200
        with listener.raw() as connection:
            connection.sendall(head.encode() + body[:10])
            # It has begun to be read: a request after it on another connection was.
            assert listener.ask("GET", "/health").status == 200
            listener.process.send_signal(signal.SIGTERM)
            until(lambda: _refuses(listener))
            connection.sendall(body[10:])
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert listener.process.wait(60) == 0
        until(lambda: listener.lines[-1:] == ["stopped; whatever was taken is kept"])
    with opened(sqlite_place) as book:
        assert len(rows(book, Movement, col(Movement.ref) == "API-LAST")) == 1


def test_what_was_taken_survives_a_kill(sqlite_place: Path) -> None:
    """Killed after its yes and before anybody heard the stop: the inbox has it, and whoever comes next hears it."""
    workspace = sqlite_place
    with opened(sqlite_place) as book:
        before = len(rows(book, Consent, col(Consent.source) == "twilio"))
        with sole(book, "inbox", what="the inbox"), listening(workspace, **ENV) as listener:
            assert twilio(listener, text("stop", "SMkill")).status == 200
            listener.process.kill()
            listener.process.wait(30)
        said = duecourse("-w", str(workspace), "inbox", "run", cwd=workspace, env=ENV)
        assert said.out == "1 done, 0 parked, 0 early\n"
        assert len(rows(book, Consent, col(Consent.source) == "twilio")) == before + 1


def _refuses(listener: Listener) -> bool:
    try:
        listener.raw().close()
    except ConnectionRefusedError:
        return True
    return False
