"""The listening process from outside, over real HTTP, on both databases: what providers and borrowers send, and what follows."""

import json
from datetime import UTC, datetime, timedelta

from sqlmodel import col, select

from channels.posted import BODY_MAX
from channels.testing.gateway import FakeGateway
from store.db import Database
from store.tables import Arrival, Consent, Contact, Endpoint, Event, Loan, MessageText
from tests.callers import TOKEN, US, text, twilio
from tests.listening import Listener, until
from tests.outgoing import rows
from workflows.inbox.unsubscribe import Unsubscribing, link_key, make_token


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


def status(contact: str, word: str, ref: str, **more: str) -> tuple[dict[str, str], str]:
    form = {"MessageSid": ref, "SmsSid": ref, "MessageStatus": word, "To": US, "From": "+15550100123", **more}
    return form, f"contact={contact}"


def settled(book: Database) -> bool:
    return not rows(book, Arrival, col(Arrival.state) == "waiting")


def contact(book: Database, contact_id: str) -> Contact:
    (found,) = rows(book, Contact, col(Contact.id) == contact_id)
    return found  # type: ignore[no-any-return]


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
    assert [c.scope for c in rows(book, Consent) if c.how == "key"] == ["prerecorded"]
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
    assert [one for one in rows(book, Consent) if one.source == "unsubscribe"] == []
    for _ in range(2):
        done = listener.post_form(path, {"List-Unsubscribe": "One-Click"})
        assert done.status == 200
        assert "send no more of these messages" in done.text
    (said,) = (one for one in rows(book, Consent) if one.source == "unsubscribe")
    assert (said.person_id, said.endpoint_id, said.channels) == (mail.person_id, mail.id, "email")
    for wrong in (token[:-1], token.replace("email", "sms"), "x", "%00", "%ff-1-2", "1-1-email-" + "0" * 32):
        for method in ("GET", "POST"):
            assert listener.ask(method, f"/unsubscribe/{wrong}").status == 404
    assert [one.source for one in rows(book, Consent)].count("unsubscribe") == 1
