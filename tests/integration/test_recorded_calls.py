"""Recorded calls from the rule to the report: a provider makes them, and for every limit they are calls."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlmodel import col, select

from channels.message import Receipt
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider
from duecourse.commands.init import create_workspace
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from engine.addressing import ask_contact
from engine.errors import RuleError
from engine.strategy import RECORDED, Act
from store.consents import NewStatement, add_statement
from store.db import Database
from store.outbox import expire
from store.sealing import hashed
from store.tables import Contact, DecisionRow, Endpoint, Person
from tests.e2e.book import AS_OF, IMPORTED, write_book
from tests.outgoing import DATES, NOW, Silent, book, contact_of, counts, door_of, go, plan, rows, set_setting, statuses
from tests.situations import loan, situation
from workflows.desk.tasks import waiting
from workflows.importing import import_folder
from workflows.sending.fate import Evidence, Fate, learn, lock_contacts
from workflows.sending.reconcile import reconcile

EVIDENCE = Evidence(lambda _: None, DATES)
MORNING = datetime.fromisoformat("2026-03-02T10:30-08:00")
"""In Los Angeles."""
STRATEGY = """
strategy: us-card
applies_to: currency = 'USD'
currency: USD
entry:
  - {id: book-reminded, stage: reminded, when: dpd >= 1}
moves:
  - {id: to-reminded, from: current, to: reminded, when: dpd >= 1}
  - {id: cured, from: reminded, to: current}
stages:
  reminded:
    - id: call-back
      when: [dpd >= 1, days_since_call >= 3]
      act: {call: {recorded: please-call-back}}
      repeat: {max: 3, in: 30 days}
      because: A machine's call costs less than a letter.
"""


def calls(provider: FakeProvider) -> SmsAdapter:
    return SmsAdapter(
        SmsSettings(
            ACCOUNT_SID, SecretStr(AUTH_TOKEN), FROM_NUMBER, base_url=provider.base_url, timeout_seconds=2,
            callback_url="http://127.0.0.1:9/report", calls_from="+15005550030",
        )
    )  # fmt: skip


@pytest.mark.parametrize("outcome", ["heard", "voicemail"])
def test_a_provider_makes_it_and_no_agent(database: Database, outcome: str) -> None:
    """It leaves over HTTP under its contact's id, waits in nobody's queue, does not lapse, and its report closes it."""
    first, second = book(database, 2)
    recorded, task = plan(database, first, "recorded"), plan(database, second, "call")
    with FakeProvider(clock=NOW.timestamp) as provider:
        assert counts(go(door_of(database, {"recorded_call": calls(provider)}))) == {"sent": 1, "handed over": 1}
        (made,) = provider.calls
    assert (made.contact, contact_of(database, recorded).provider_ref) == (recorded, made.sid)
    with database.session() as session:
        assert [waits.id for waits in waiting(session, queue=None, now=NOW)] == [task]
    assert expire(database, now=NOW + timedelta(days=9)) == 1
    with database.write() as session:
        held = lock_contacts(session, [recorded])
        fate = Fate("delivered", "twilio", made.sid, outcome=outcome)
        assert learn(session, recorded, fate, EVIDENCE, set(), now=NOW) == "delivered"
        del held
    assert statuses(database, recorded) == ["planned", "sending", "sent", "delivered"]
    assert (contact_of(database, recorded).outcome, contact_of(database, task).status) == (outcome, "expired")


def test_a_lost_answer_is_looked_up_among_the_calls(database: Database) -> None:
    """The provider's list of calls settles it; a call in doubt that a person made is nothing the provider knows of."""
    first, second = book(database, 2)
    recorded = plan(database, first, "recorded")
    by_hand = plan(database, second, "call", rule=None, queue=None, status="unknown")
    (number,) = [e.value for e in rows(database, Endpoint) if e.id == contact_of(database, recorded).endpoint_id]
    with FakeProvider(clock=NOW.timestamp) as provider:
        provider.fault(number, "drop_after_accept")
        adapters = {"recorded_call": calls(provider)}
        assert counts(go(door_of(database, adapters))) == {"unknown": 1}
        later = NOW + timedelta(minutes=2)
        assert asyncio.run(reconcile(database, adapters, EVIDENCE, lambda: later)).sent == 1
        assert len(provider.calls) == 1
    assert (contact_of(database, recorded).status, contact_of(database, by_hand).status) == ("sent", "unknown")


def test_its_lane_stands_still_alone(database: Database) -> None:
    """Nobody set up for it, or settings refused: what is due is told of, and texts and agents' calls go on."""
    first, second, third = book(database, 3)
    recorded = plan(database, first, "recorded")
    silent = Silent()
    done = go(door_of(database, {"sms": silent}))
    assert [problem.what for problem in done.problems] == [
        "1 recorded call contacts are due, and no recorded call provider is set up"
    ]
    refused = Silent(lambda _: Receipt("retry", "twilio", "", "21210", "misconfigured", "no such number"))
    go(door_of(database, {"recorded_call": refused}))
    text, call = plan(database, second), plan(database, third, "call")
    done = go(door_of(database, {"sms": silent, "recorded_call": refused}), NOW + timedelta(hours=1))
    assert [problem.what.partition(":")[0] for problem in done.problems] == ["recorded call stands still"]
    assert refused.seen == [recorded]
    assert (contact_of(database, text).status, contact_of(database, call).status) == ("sent", "sent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace whose only strategy has people called by a machine."""
    folder = tmp_path / "work"
    create_workspace(folder)
    for file in (folder / "rules").glob("*.yaml"):
        if file.name != "facts.yaml":
            file.unlink()
    (folder / "rules" / "us_card.yaml").write_text(STRATEGY, encoding="utf-8")
    return folder


def works(folder: Path, provider: FakeProvider, *, basis: str = "contract") -> Works:
    """The workspace with the small book of the other tests, its provider's account, and how a number came to us."""
    settings = folder / "duecourse.yaml"
    more = (
        f"sms: {{account_sid: {ACCOUNT_SID}, auth_token: {AUTH_TOKEN}, base_url: '{provider.base_url}',\n"
        "  from_number: '+15005550020', calls_from: '+15005550030', callback_url: 'http://127.0.0.1:9/report'}\n"
        'allow_list: ["+12125550102"]\nbacklog_share_max: 1\n'
    )
    settings.write_text(settings.read_text(encoding="utf-8") + more, encoding="utf-8")
    workspace = open_workspace(folder, {})
    made = Works(workspace, workspace.open_database())
    as_of, now = datetime.fromisoformat(AS_OF), datetime.fromisoformat(IMPORTED)
    import_folder(made.database, write_book(folder / "in"), as_of=as_of, now=now, catalogue=workspace.catalogue)
    with made.database.write() as session:
        (mobile,) = session.exec(select(Endpoint).where(col(Endpoint.value_hash) == hashed(session, "+12125550102")))
        mobile.basis = basis
    set_setting(made.database, "sending", "on")
    return made


def swept(made: Works, now: datetime) -> list[Contact]:
    made.sweep(now, lambda _done, _total: None)
    made.dispatch_all(now)
    return rows(made.database, Contact, col(Contact.rule) == "call-back")


def test_from_the_rule_to_the_phone(folder: Path) -> None:
    """The shipped text is read out to a number that the law lets a machine call, and as a call it counts from then on."""
    with FakeProvider(clock=MORNING.timestamp) as provider:
        made = works(folder, provider)
        (contact,) = swept(made, MORNING)
        (call,) = provider.calls
        assert (contact.channel, contact.queue, contact.status, call.to) == ("call", None, "sent", "+12125550102")
        assert "with a message. Please call us back at" in call.body
        made.close()
        again = Works(made.workspace, made.workspace.open_database())
        # Under way since yesterday, and nobody said what came of it: it was a call.
        assert len(swept(again, MORNING + timedelta(days=1))) == 1
        again.close()


def test_who_pressed_nine_is_not_called_by_a_machine(folder: Path) -> None:
    """What was agreed to in the contract ends with the key that ends such calls."""
    with FakeProvider() as provider:
        made = works(folder, provider)
        before = MORNING - timedelta(days=2)
        with made.database.write() as session:
            (mobile,) = session.exec(
                select(Endpoint).where(col(Endpoint.value_hash) == hashed(session, "+12125550102"))
            )
            statement = NewStatement(
                mobile.person_id, "opt_out", before, scope="prerecorded", channels=("call",), given_to="lender",
                how="key", source="twilio", ref="key:1",
            )  # fmt: skip
            add_statement(session, statement, now=before)
            session.get_one(Person, mobile.person_id).version += 1
        assert swept(made, MORNING) == []
        assert provider.calls == []
        made.close()


def test_a_number_that_nobody_agreed_to_have_called(folder: Path) -> None:
    """Found by tracing, it may be dialled by a person and not by a machine."""
    with FakeProvider() as provider:
        made = works(folder, provider, basis="skip_trace")
        assert swept(made, MORNING) == []
        assert [row.reasons for row in rows(made.database, DecisionRow) if row.reasons] == ["us.tcpa.mobile_consent"]
        made.close()


def test_a_landline_is_taken_for_a_homes() -> None:
    """Nobody says whose it is, and the law protects homes from recorded calls: the gate is asked as about a home."""
    for act, kind, line in (
        (Act("call", "x", content=RECORDED), "landline", "residential_landline"),
        (Act("call", "x", content=RECORDED), "mobile", None),
        (Act("call", "x", "early"), "landline", None),
    ):
        one = situation(loan())
        endpoint = next(endpoint for endpoint in one.borrower.endpoints if endpoint.kind == kind)
        asked = ask_contact(
            one, one.loans[0], person=one.borrower, role="borrower", act=act, endpoint=endpoint, purpose="collect"
        )
        assert asked.content.get("line") == line


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (
            "{recorded: first-call}",
            "rule `call-back` reads `first-call` out to whoever picks up, and it is a script for an agent",
        ),
        (
            "{queue: early, script: please-call-back}",
            "rule `call-back` gives `please-call-back` to an agent as a script, and it is the text of a recorded call",
        ),
        ("{recorded: nothing-like-it}", "unknown script `nothing-like-it`"),
        ("{recorded: please-call-back, queue: early}", "unknown key of `call` of rule `call-back` `queue`"),
    ],
)
def test_a_script_is_not_read_out_and_a_recording_not_handed_to_an_agent(folder: Path, act: str, what: str) -> None:
    """What is for one of the two is refused for the other, where the strategy is read."""
    text = STRATEGY.replace("{recorded: please-call-back}", act)
    (folder / "rules" / "us_card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RuleError) as refused:
        _ = open_workspace(folder, {}).rulebook
    assert what in str(refused.value)
