"""What a later file changes of people, loans, endpoints, holds and promises, and what it may not."""

from datetime import UTC, date, datetime

import pytest
from sqlmodel import select

from engine.errors import DataError
from store.tables import Endpoint
from tests.imports import AS_OF, LATER, PEOPLE, Importer, counts, dump, rejects, rows
from workflows.desk.sayings import restore


def test_people_are_updated(book: Importer) -> None:
    """Only who changed, and only in what the file speaks of: a column left out says nothing, an empty value does."""
    text = "ref,name,language,country,preferred_channel\nP1,Ann Other,en,CN,\nP2,Bob Example,zh,CN,\n"
    assert counts(book.take("people", text)) == (0, 1, 0, 1, 0)
    assert rows(book.database, "person", "ref", "name", "region", "zones", "preferred_channel")[:2] == [
        ("P1", "Ann Other", "CN-SH", "Asia/Shanghai", None),
        ("P2", "Bob Example", "CN-SH", "Asia/Shanghai", None),
    ]
    assert counts(book.take("people", "ref,name,language,country,zones\nP1,Ann Other,en,CN,\n")) == (0, 1, 0, 0, 0)
    assert rows(book.database, "person", "ref", "zones")[0] == ("P1", "")


def test_loans_are_updated_in_what_may_change(book: Importer) -> None:
    """A loan that is sold is known as sold, and stays so when a file does not speak of it."""
    header = "ref,borrower,product,currency,principal,opened_on"
    row = "L1,P1,personal,CNY,3000,2025-12-01"
    sold = f"{header},custody,charged_off_on\n{row},sold,2026-02-28\n"
    assert counts(book.take("loans", sold)) == (0, 1, 0, 0, 0)
    assert counts(book.take("loans", f"{header}\n{row}\n")) == (0, 0, 0, 1, 0)
    assert rows(book.database, "loan", "ref", "custody", "charged_off_on")[1] == ("L1", "sold", date(2026, 2, 28))
    changed = book.take(
        "loans", f"{header}\nL1,P2,personal,USD,3000,2025-12-01\nL2,P1,personal,JPY,300000,2025-12-01\n"
    )
    assert counts(changed) == (0, 0, 0, 1, 1)
    mend = "give another record another ref"
    assert rejects(changed) == [
        (2, "borrower", "differs from what is known, and can never change", mend),
        (2, "currency", "differs from what is known, and can never change", mend),
    ]


def test_endpoints_are_updated(book: Importer) -> None:
    """Known in whatever spelling; one that failed stays failed while the file does not say otherwise."""
    known = rows(book.database, "endpoint", "kind", "value", "zone", "rank", "valid")
    assert known == [
        ("email", "p1@example.com", None, 2, True),
        ("mobile", "+12125550101", "Asia/Shanghai", 1, True),
        ("postal", '{"text": "1 Example Street New York"}', None, 3, True),
    ]
    dead = "person,kind,value,valid\nP1,mobile,+1 (212) 555-0101,false\n"
    assert counts(book.take("endpoints", dead)) == (0, 1, 0, 0, 0)
    plain = "person,kind,value\nP1,mobile,+12125550101\nP2,mobile,+12125550102\n"
    assert counts(book.take("endpoints", plain)) == (1, 0, 0, 1, 0)
    assert rows(book.database, "endpoint", "value", "zone", "valid")[:2] == [
        ("+12125550101", "Asia/Shanghai", False),
        ("+12125550102", "America/New_York", True),
    ]


def test_a_file_does_not_bring_back_what_we_learnt(book: Importer) -> None:
    """A number that bounced stays lost, whatever a file says and however often, until somebody takes that back."""
    lost = datetime(2026, 3, 1, tzinfo=UTC)
    mobile = select(Endpoint).where(Endpoint.kind == "mobile")
    with book.database.write() as session:
        endpoint = session.exec(mobile).one()
        endpoint.valid, endpoint.lost_at = False, lost
        session.add(endpoint)
    good = "person,kind,value,valid,rank\nP1,mobile,+12125550101,true,{}\n"
    assert counts(book.take("endpoints", good.format(1))) == (0, 0, 0, 1, 0)
    assert counts(book.take("endpoints", good.format(5))) == (0, 1, 0, 0, 0)
    assert ("mobile", 5, False, lost) in rows(book.database, "endpoint", "kind", "rank", "valid", "lost_at")
    with book.database.write() as session:
        restore(session, session.exec(mobile).one().id or 0)
    assert counts(book.take("endpoints", good.format(1))) == (0, 1, 0, 0, 0)
    assert ("mobile", 1, True, None) in rows(book.database, "endpoint", "kind", "rank", "valid", "lost_at")


def test_holds_and_promises_are_updated(book: Importer) -> None:
    """A hold ends, a promise is kept; neither changes hands."""
    hold = "ref,person,kind,owner,review_on,starts_at,ends_at\nH1,P1,dispute,care,2026-03-20,2026-02-01T00:00:00Z,{}\n"
    assert counts(book.take("holds", hold.format(""))) == (1, 0, 0, 0, 0)
    assert counts(book.take("holds", hold.format("2026-03-01T00:00:00Z"))) == (0, 1, 0, 0, 0)
    assert rows(book.database, "hold", "ref", "kind", "ends_at") == [
        ("H1", "dispute", datetime(2026, 3, 1, tzinfo=UTC))
    ]
    promise = "ref,loan,amount,made_at,due_on,status\nX1,{},100.00,2026-02-20T09:00:00+08:00,2026-02-28,{}\n"
    assert counts(book.take("promises", promise.format("L1", ""))) == (1, 0, 0, 0, 0)
    assert counts(book.take("promises", promise.format("L1", "kept"))) == (0, 1, 0, 0, 0)
    assert rows(book.database, "promise", "ref", "amount_minor", "status") == [("X1", 100_00, "kept")]
    moved = book.take("promises", promise.format("L2", "kept").replace("100.00", "100"))
    assert [row[:3] for row in rejects(moved)] == [(2, "loan", "differs from what is known, and can never change")]


def test_an_older_file_does_not_undo_a_newer_one(book: Importer) -> None:
    """Files of the day before that come late are refused whole where they would change something back."""
    newer = book.take("people", PEOPLE.replace("Ann", "Anna"), **LATER)
    assert newer.changed == 1
    before = dump(book.database)
    with pytest.raises(DataError) as error:
        book.take("people", PEOPLE.replace("Ann", "Anne"), as_of=AS_OF, now=LATER["now"])
    assert str(error.value).replace(f"{book.folder}/", "") == (
        "people.csv: it is as of 2026-03-01 23:00Z, and would undo what a file as of 2026-03-03 08:00Z said\n"
        "  mend: import the newest file; to go back on purpose give a later `--as-of`"
    )
    assert dump(book.database) == before
    late = "ref,name,language,country\nP9,Nob Example,en,CN\n"
    assert counts(book.take("people", late, as_of=AS_OF, now=LATER["now"])) == (1, 0, 0, 0, 0)
