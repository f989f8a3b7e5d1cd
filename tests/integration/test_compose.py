"""Who is named in what goes out: the reader always, the borrower to those who stand for the contract."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from sqlmodel import select

from channels.mail_message import compose
from channels.template_file import Templates, read_templates
from config.settings import Lender
from duecourse.compose import Composer
from engine.errors import DataError
from engine.gate import Ask, Verdict
from engine.situation import Loan
from store.db import Database
from store.tables import Contact, Endpoint
from tests.factories import at, make_loan, make_person
from tests.outgoing import SmallGate
from workflows.inbox.unsubscribe import Unsubscribing, link_key, read_token
from workflows.sending.holding import LEAVES_WITHIN
from workflows.sending.second_look import Look

ON = date(2026, 3, 12)
NOW: datetime = at(ON, 4)
TEXT = "For {{ addressee.name }}: the loan of {{ borrower.name }}."
CAREFUL = "For {{ addressee.name }}{% if borrower.name %}: the loan of {{ borrower.name }}{% endif %}."


@dataclass
class Closing(SmallGate):
    """Allows everything until an instant."""

    closes: datetime = NOW

    def check(self, ask: Ask, now: datetime) -> Verdict:
        return Verdict("allow") if now < self.closes else Verdict("defer", (), self.closes + timedelta(hours=12))


def templates(text: str) -> Templates:
    file = f"template: note\nchannels: [letter]\npurpose: service\nen: {{text: '{text}'}}\nzh: {{text: '{text}'}}\n"
    return read_templates({"note.yaml": file})


def brief(database: Database, role: str, text: str) -> str:
    """What a letter to somebody in that role says about a loan of Ada Borrower."""
    borrower = make_person(database, name="Ada Borrower")
    reader = borrower if role == "borrower" else make_person(database, name="Gus Reader")
    loan = make_loan(database, borrower_id=borrower, instalments=[(date(2026, 3, 1), 100_00)])
    contact = Contact(
        id="1-1-1", loan_id=loan, person_id=reader, role=role, channel="letter", purpose="service", name="note",
        slot="", status="planned", planned_at=NOW, not_before_at=NOW, expires_at=NOW, at=NOW,
    )  # fmt: skip
    composer = Composer(templates(text), Lender(name="Example Lender"), "en", SmallGate())
    with database.session() as session:
        return composer.brief(session, contact, {"dpd": 11}, ON)


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("borrower", "For Ada Borrower: the loan of Ada Borrower."),
        ("co_borrower", "For Gus Reader: the loan of Ada Borrower."),
        ("guarantor", "For Gus Reader: the loan of Ada Borrower."),
        ("attorney", "For Gus Reader: the loan of Ada Borrower."),
        ("contact_person", "For Gus Reader."),
        ("third_party", "For Gus Reader."),
        ("spouse", "For Gus Reader."),
    ],
)
def test_each_reader_is_addressed_and_only_parties_learn_whose_loan_it_is(
    sqlite_database: Database, role: str, said: str
):
    """A guarantor reads their own name on the letter and the borrower's in it; a contact person reads only their own."""
    assert brief(sqlite_database, role, CAREFUL).rpartition("\n")[2] == said


def test_a_text_that_must_name_the_borrower_does_not_go_to_an_outsider(sqlite_database: Database):
    """Rather no letter than one that tells whose loan it is."""
    with pytest.raises(DataError) as refused:
        brief(sqlite_database, "contact_person", TEXT)
    assert str(refused.value) == (
        "note.yaml:1:1: template `note` says `borrower.name`, which is not known\n"
        "  mend: import it, or say it inside `{% if borrower.name %}...{% endif %}`"
    )


@pytest.mark.parametrize(("hours_left", "expires", "held"), [(2, 24, 2), (8, 3, 3), (24, 24, 4)])
def test_a_text_is_not_held_back_past_its_hour(database: Database, hours_left: int, expires: int, held: int):
    """Not beyond the hours in which it may arrive, its own end, or four hours; less what it takes to get there."""
    note = "template: note\nchannels: [sms, email]\npurpose: service\nen: {subject: Hello, text: Hello there.}\n"
    borrower = make_person(database, mobile="+8613900000001", email="ada@example.com")
    loan = make_loan(database, borrower_id=borrower, instalments=[(date(2026, 3, 1), 100_00)])
    gate = Closing(closes=NOW + timedelta(hours=hours_left))
    composer = Composer(read_templates({"note.yaml": note}, languages=["en"]), Lender(), "en", gate)
    asked = Ask("contact", "sms", "service", "borrower", borrower, (loan,), ("CN",), ("Asia/Shanghai",))
    look = Look("go", "", on=ON, loan=cast("Loan", SimpleNamespace(facts={"dpd": 11})), asked=asked)
    with database.write() as session:
        by_kind = dict(session.exec(select(Endpoint.kind, Endpoint.id)).all())
        messages = [
            composer.message(
                session,
                Contact(
                    id=f"1-1-{kind}", loan_id=loan, person_id=borrower, endpoint_id=by_kind[kind], channel=channel,
                    purpose="service", name="note", slot="", status="claimed", planned_at=NOW, not_before_at=NOW,
                    expires_at=NOW + timedelta(hours=expires), at=NOW,
                ),
                look,
                NOW,
            )
            for kind, channel in (("mobile", "sms"), ("email", "email"))
        ]  # fmt: skip
    seconds, no_mail = (one.valid_seconds for one in messages)
    ends = timedelta(hours=held) - LEAVES_WITHIN
    assert seconds is not None
    assert ends - timedelta(minutes=1) <= timedelta(seconds=seconds) <= ends
    assert no_mail is None


@pytest.mark.parametrize("public_url", ["", "https://hooks.lender.example/duecourse"])
def test_a_mail_can_be_ended_by_its_link_and_by_mail(database: Database, public_url: str):
    """With a public address by one click at a signed link, and by mail beside it; without one by mail only."""
    mail = "template: note\nchannels: [email]\npurpose: service\nen: {subject: Hello, text: Hello there.}\n"
    borrower = make_person(database, email="ada@example.com")
    loan = make_loan(database, borrower_id=borrower, instalments=[(date(2026, 3, 1), 100_00)])
    composer = Composer(read_templates({"note.yaml": mail}, languages=["en"]), Lender(), "en", SmallGate(), public_url)
    with database.write() as session:
        (endpoint,) = session.exec(select(Endpoint.id)).all()
        contact = Contact(
            id="1-1-1", loan_id=loan, person_id=borrower, endpoint_id=endpoint, channel="email", purpose="service",
            name="note", slot="", status="claimed", planned_at=NOW, not_before_at=NOW, expires_at=NOW, at=NOW,
        )  # fmt: skip
        loan_there = cast("Loan", SimpleNamespace(facts={"dpd": 11}))
        look = Look("go", "", on=ON, loan=loan_there, asked=cast("Ask", SimpleNamespace()))
        message = composer.message(session, contact, look, NOW)
        link_key(session)
    wire = compose(message, from_address="care@lender.example", sent_at=NOW).decode()
    by_mail = "mailto:care@lender.example?subject=stop-1-1-1"
    if not public_url:
        assert wire.startswith(f"List-Unsubscribe: <{by_mail}>\r\n")
        assert "List-Unsubscribe-Post" not in wire
        return
    token = message.unsubscribe_url.removeprefix(f"{public_url}/unsubscribe/")
    with database.session() as session:
        assert read_token(session, token) == Unsubscribing(borrower, endpoint or 0, "email")
    assert wire.startswith(
        f"List-Unsubscribe: <{message.unsubscribe_url}>,\r\n <{by_mail}>\r\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    )
