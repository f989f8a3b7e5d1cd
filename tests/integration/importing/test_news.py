"""Who has to be looked at again after an import, and what the rules are told."""

import pytest

from tests.imports import LATER, Importer, only_sqlite, rows, versions


@pytest.mark.parametrize(
    ("kind", "row", "who"),
    [
        ("people", "ref,name,language,country\nP2,Bob Other,zh,CN", {"P2"}),
        ("endpoints", "person,kind,value\nP2,email,p2@example.com", {"P2"}),
        ("loans", "ref,borrower,product,currency,principal,opened_on,custody\nA1,P3,card,USD,5000,2024-12-01,agency", {"P3"}),
        ("loans", "ref,borrower,product,currency,principal,opened_on\nL9,P2,card,USD,5000,2024-12-01", {"P2"}),
        ("parties", "loan,person,role\nL1,P2,guarantor", {"P1", "P2"}),
        ("instalments", "loan,number,due_on,amount\nL2,1,2026-01-31,299999", {"P1"}),
        ("movements", "ref,loan,kind,amount,effective_on\nM9,L1,payment,1,2026-03-01", {"P1"}),
        ("accounts", "loan,as_of_on,dpd,overdue,balance\nA1,2026-03-01,0,0,1", {"P3"}),
        ("facts", "loan,name,value,as_of\nL1,risk_band,c,2026-03-01T00:00:00Z", {"P1"}),
        ("consents", "ref,person,kind,received_at\nS1,P2,opt_out,2026-03-01T00:00:00Z", {"P2"}),
        ("consents", "ref,person,loan,kind,received_at\nS1,P2,A1,opt_out,2026-03-01T00:00:00Z", {"P2", "P3"}),
        ("holds", "ref,person,loan,kind,owner,review_on,starts_at\nH1,P2,L1,fraud,x,2026-04-01,2026-03-01T00:00:00Z", {"P1", "P2"}),
        ("notices", "ref,loan,person,kind,sent_on,effective_on,how\nN1,L1,P2,visit_notice,2026-02-01,2026-02-06,x", {"P1", "P2"}),
        ("contacts", "ref,loan,person,channel,at,outcome\nC1,A1,P3,call,2026-03-01T00:00:00Z,no_answer", {"P3"}),
        ("promises", "ref,loan,amount,made_at,due_on\nX1,L1,1,2026-02-01T00:00:00Z,2026-02-06", {"P1"}),
    ],
)  # fmt: skip
@only_sqlite
def test_whatever_could_forbid_a_contact_bumps_the_version(book: Importer, kind: str, row: str, who: set[str]) -> None:
    """Of everybody concerned and nobody else; the same file again bumps nobody."""
    before = versions(book.database)
    assert book.take(kind, f"{row}\n").rejected == 0
    after = versions(book.database)
    assert {ref for ref, version in after.items() if version > before[ref]} == who
    book.take(kind, f"{row}\n")
    assert versions(book.database) == after


def events(book: Importer) -> list[tuple[str, str | None]]:
    """Kind and key of every event."""
    return rows(book.database, "event", "kind", "key")  # type: ignore[return-value] # rows of two


def test_later_movements_are_news(book: Importer) -> None:
    """The first file sets the book up; what a later one brings is told once, old history not at all."""
    assert events(book) == []
    header = "ref,loan,kind,amount,effective_on,recorded_at,ends\n"
    text = (
        f"{header}"
        "D,L1,pending_debit,50.00,2026-03-02,2026-03-02T09:00:00+08:00,\n"
        "P,L1,payment,100.00,2026-03-02,2026-03-02T09:00:00+08:00,\n"
        "W,L1,waiver,10.00,2026-03-02,2026-03-02T09:00:00+08:00,\n"
        "R,L1,reversal,100.00,2026-03-02,2026-03-02T10:00:00+08:00,P\n"
        "V,L1,reversal,10.00,2026-03-02,2026-03-02T10:00:00+08:00,W\n"
        "C,L1,pending_cancelled,50.00,2026-03-02,2026-03-02T10:00:00+08:00,D\n"
        "F,L1,fee,5.00,2026-03-02,2026-03-02T09:00:00+08:00,\n"
        "OLD,L1,payment,1.00,2026-02-01,2026-02-01T09:00:00+08:00,\n"
    )
    book.take("movements", text, **LATER)
    told = [
        ("payment", "movement:P"), ("payment", "movement:W"), ("payment_reversed", "movement:C"),
        ("payment_reversed", "movement:R"), ("pending_debit", "movement:D"),
    ]  # fmt: skip
    assert events(book) == told
    book.take("movements", text, **LATER)
    assert events(book) == told
    owners = {row[0] for row in rows(book.database, "event", "person_id")}
    assert owners == {dict(rows(book.database, "person", "ref", "id"))["P1"]}
    recorded = {row[0] for row in rows(book.database, "event", "recorded_at")}
    assert recorded == {LATER["now"]}


def test_holds_promises_and_contacts_are_news(book: Importer) -> None:
    """Placed and released, made, kept and broken, answered and failed."""
    hold = "ref,person,kind,owner,review_on,starts_at,ends_at\n{},P1,{},x,2026-04-01,2026-02-01T00:00:00Z,{}\n"
    book.take("holds", hold.format("H0", "fraud", ""))
    book.take("holds", hold.format("H1", "dispute", ""), **LATER)
    released = hold.format("H1", "dispute", "2026-03-01T00:00:00Z")
    book.take("holds", released, **LATER)
    book.take("holds", hold.format("H1", "dispute", ""), **LATER)
    book.take("holds", released, **LATER)
    assert [kind for kind, _ in events(book)] == ["dispute", "hold_released"]
    promise = "ref,loan,amount,made_at,due_on,status\n{},L1,1,2026-03-02T09:00:00Z,2026-03-06,{}\n"
    book.take("promises", promise.format("X0", ""), **LATER)
    book.take("promises", promise.format("X1", ""), **LATER)
    book.take("promises", promise.format("X1", "broken"), **LATER)
    assert [kind for kind, key in events(book) if str(key).startswith("promise")] == ["promise_broken", "promise_made"]
    contact = "ref,loan,person,channel,direction,at,outcome\n{},L1,P1,{},{},2026-03-02T09:00:00Z,{}\n"
    book.take("contacts", contact.format("C0", "sms", "in", "received"), **LATER)
    for number, said in enumerate((("sms", "in", "received"), ("email", "out", "bounced"), ("call", "out", "no_answer"), ("sms", "out", "delivered")), 1):  # fmt: skip
        book.take("contacts", contact.format(f"C{number}", *said), **LATER)
    told = [kind for kind, key in events(book) if str(key).startswith("import-")]
    assert told == ["call_outcome", "delivery_failed", "reply"]
