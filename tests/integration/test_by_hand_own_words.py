"""What people write in words of their own: asked like any message, and forgotten when it has left or will not."""

from dataclasses import replace
from datetime import timedelta

from sqlmodel import SQLModel, select

from store.consents import NewStatement, add_statement
from store.db import Database
from store.tables import MessageText
from tests.by_hand import ref, told
from tests.outgoing import NOW, Silent, SmallGate, book, borrower_of, contact_of, counts, door_of, go, statuses
from workflows.desk.asking import Wanted
from workflows.desk.by_hand import Text, send

OWN = "Example Lender: please call us."


def sms(database: Database, loan: int, **changes: object) -> Wanted:
    return replace(Wanted(ref(database, loan), "sms"), **changes)  # type: ignore[arg-type]


def everywhere(database: Database) -> str:
    """Every text of every table, in one."""
    with database.session() as session:
        return "\n".join(
            str(list(session.connection().execute(select(table)))) for table in SQLModel.metadata.sorted_tables
        )


def test_own_words_are_in_one_place_until_they_have_left_and_then_nowhere(database: Database) -> None:
    """A message of somebody's own goes out as it was written; no table, log or history keeps its words."""
    (loan,) = book(database)
    said: list[str] = []
    adapter = Silent(before=lambda message: said.append(message.text))

    def compose(session, contact, look, now):  # type: ignore[no-untyped-def] # as the wiring does
        from channels.message import Message

        return Message(contact.id, "sms", "+1", "", session.get_one(MessageText, contact.id).text)

    door = door_of(database, {"sms": adapter}, compose=compose)
    done = send(door, sms(database, loan), Text(OWN, "en"), agent="mei", now=NOW)
    assert done.contact is not None
    assert everywhere(database).count(OWN) == 1
    assert counts(go(door)) == {"sent": 1}
    assert said == [OWN]
    assert OWN not in everywhere(database)
    assert statuses(database, done.contact) == ["planned", "sending", "sent"]
    assert told(database, loan, done).outcome == "contact"


def test_the_second_look_stops_own_words_and_forgets_them(database: Database) -> None:
    """A stop after the writing cancels the message like any other, and its words go with it."""
    (loan,) = book(database)
    door = door_of(database, {"sms": Silent()})
    done = send(door, sms(database, loan), Text(OWN, "en"), agent="mei", now=NOW)
    assert done.contact is not None
    with database.write() as session:
        add_statement(
            session, NewStatement(borrower_of(database, loan), "opt_out", NOW, source="test", ref="stop"), now=NOW
        )
    assert counts(go(door)) == {"cancelled": 1}
    assert contact_of(database, done.contact).why == "refused: test.opted_out"
    assert OWN not in everywhere(database)


def test_what_a_text_says_is_asked_again_before_it_leaves(database: Database) -> None:
    """The second look hears what the text says, as the first did: by then the law may read it otherwise."""
    (loan,) = book(database)
    gate = SmallGate()
    door = door_of(database, {"sms": Silent()}, gate=gate, said=lambda _session, _contact: {"opt_out_notice": True})
    send(door, sms(database, loan, content={"opt_out_notice": True}), Text(OWN, "en"), agent="mei", now=NOW)
    go(door)
    # As it is written, at the second look, and as it arrives.
    assert [asked.content.get("opt_out_notice") for asked in gate.asked] == [True, True, True]


def test_a_message_written_at_night_waits_for_the_morning(database: Database) -> None:
    """Put off by less than a day it is planned for then; put off longer, it is not planned at all."""
    (loan,) = book(database)
    done = send(door_of(database, {}), sms(database, loan), Text(OWN, "en"), agent="mei", now=NOW + timedelta(hours=9))
    assert done.not_before == NOW + timedelta(hours=20)
    assert done.contact is not None
    assert contact_of(database, done.contact).not_before_at == NOW + timedelta(hours=20)
