"""What else a lender knows: notices served, facts, statements, and contacts made elsewhere."""

from datetime import date

from engine.gate import LocalWindow
from store.bulk import reading
from store.bulk_arrow import table_of
from store.people import read_statement
from tests.imports import Importer, counts, rejects, rows


def test_evidence_of_a_notice_served(book: Importer) -> None:
    """Is a notice in force from the day it is deemed served."""
    text = "ref,loan,person,kind,sent_on,effective_on,how\nN1,L1,P1,prelegal_notice,2026-02-01,2026-02-06,registered letter\n"
    assert counts(book.take("notices", text)) == (1, 0, 0, 0, 0)
    assert rows(book.database, "notice", "ref", "kind", "effective_on", "voided_at") == [
        ("N1", "prelegal_notice", date(2026, 2, 6), None)
    ]
    result = book.take("notices", text.replace("N1", "N2").replace("2026-02-06", "2026-01-31"))
    assert rejects(result) == [(2, "effective_on", "is before `sent_on`", "correct one of them")]


def test_facts_are_read_by_their_types(book: Importer) -> None:
    """Whole numbers, money in the loan's own minor units, flags, words; outside type or range they are rejected."""
    names = {name: fact for name, fact in book.catalogue.facts.items() if fact.supplier == "imported"}
    number = next(name for name, fact in names.items() if fact.type == "int" and fact.low == 0 and fact.high)
    money = next(name for name, fact in names.items() if fact.type == "money")
    flag = next(name for name, fact in names.items() if fact.type == "bool")
    good = ("L1,risk_band,c", f"L1,{number},7", f"L1,{money},9500.50", f"L2,{money},4500", f"L1,{flag},true")
    bad = (
        ("L1,risk_band,z", "value", "not one of the words of this fact"),
        (f"L1,{number},1.5", "value", "not a whole number"),
        (f"L1,{number},{names[number].high + 1}", "value", "outside the range of this fact"),
        (f"L1,{money},1.234", "value", "more decimals than the currency has"),
        (f"L2,{money},1.5", "value", "more decimals than the currency has"),
        (f"L1,{flag},yes", "value", "neither true nor false"),
        ("L1,dpd,3", "name", "a fact that is computed, not imported"),
        ("L1,no_such_fact,3", "name", "no fact of that name"),
    )  # fmt: skip
    said = (*good, *(line for line, _, _ in bad))
    lines = [f"{line},2026-02-{day:02d}T00:00:00Z" for day, line in enumerate(said, start=1)]
    result = book.take("facts", "loan,name,value,as_of\n" + "\n".join(lines) + "\n")
    wanted = [(row, column, reason) for row, (_, column, reason) in enumerate(bad, start=7)]
    assert [row[:3] for row in rejects(result)] == wanted
    assert sorted(row[1:] for row in rows(book.database, "fact_value", "loan_id", "number", "text") if row[1] is not None) == [
        (1, None), (7, None), (4500, None), (9500_50, None),
    ]  # fmt: skip


def test_statements_name_endpoints_hours_and_debts(book: Importer) -> None:
    """As the gate reads them: an endpoint in any spelling, local hours by weekday, the loan it is about."""
    text = (
        "ref,person,kind,scope,channels,endpoint,loan,hours,days,place,received_at\n"
        "S1,P1,opt_out,,sms,+1 212 555 0101,,,,,2026-02-01T00:00:00Z\n"
        "S2,P1,inconvenient_time,,call visit,,L1,22:00-24:00 12:30-14:00,mon sun,,2026-02-01T00:00:00Z\n"
        "S3,P1,inconvenient_place,,,,,,,work,2026-02-01T00:00:00Z\n"
        "S4,P1,opt_out,,sms,p2@example.com,,,,,2026-02-01T00:00:00Z\n"
        "S5,P1,opt_out,,SMS,,,,,,2026-02-01T00:00:00Z\n"
        "S6,P1,inconvenient_time,,,,,25:00-26:00,,,2026-02-01T00:00:00Z\n"
    )
    result = book.take("consents", text)
    assert counts(result) == (3, 0, 0, 0, 3)
    assert rejects(result) == [
        (5, "endpoint", "not a number or address of this person", "write one of this person's `endpoints`, or import that first"),
        (6, "channels", "not words of this column", "write some of sms, email, call, visit, letter, legal, separated by one space"),
        (7, "hours", "not hours of the day", "write them like 12:00-14:00 22:00-24:00"),
    ]  # fmt: skip
    assert counts(book.take("consents", text)) == (0, 0, 0, 3, 3)
    consent = table_of("consent")
    with reading(book.database) as reader:
        stored = {row["ref"]: row for row in reader.read(consent.select()).to_pylist()}
    mobile = next(row[1] for row in rows(book.database, "endpoint", "kind", "id") if row[0] == "mobile")
    loan = dict(rows(book.database, "loan", "ref", "id"))["L1"]
    first, second, third = (read_statement(stored[ref]) for ref in ("S1", "S2", "S3"))
    assert (first.endpoint, first.channels, first.windows) == (mobile, ("sms",), ())
    assert second.windows == (LocalWindow(22 * 60, 24 * 60, (0, 6)), LocalWindow(12 * 60 + 30, 14 * 60, (0, 6)))
    assert (second.debts, second.channels) == ((loan,), ("call", "visit"))
    assert third.place == "work"


def test_a_refusal_for_a_number_listed_twice_is_for_both(book: Importer) -> None:
    """As mobile and as landline: what is refused is refused whatever it is called."""
    book.take("endpoints", "person,kind,value\nP1,landline,+12125550101\n")
    header = "ref,person,kind,scope,endpoint,received_at\n"
    text = f"{header}S1,P1,opt_out,,+12125550101,2026-02-01T00:00:00Z\nS2,P1,consent,electronic,+12125550101,2026-02-01T00:00:00Z\n"
    book.take("consents", text)
    assert [row[1] is None for row in rows(book.database, "consent", "ref", "endpoint_id")] == [True, False]


def test_contacts_made_elsewhere_count(book: Importer) -> None:
    """With their outcome, about their loan; what reached somebody else, or nobody, is known as such."""
    text = (
        "ref,loan,person,role,channel,direction,at,outcome\n"
        "C1,L1,P1,,call,out,2026-02-20T10:00:00+08:00,no_answer\n"
        "C2,L1,P2,guarantor,call,out,2026-02-20T10:00:00+08:00,wrong_person\n"
        "C3,L1,P1,,email,out,2026-02-20T10:00:00+08:00,bounced\n"
        "C4,L1,P1,,call,out,2026-02-20T10:00:00+08:00,no-answer\n"
        "C5,L1,P1,,call,out,2026-03-20T10:00:00+08:00,no_answer\n"
    )
    result = book.take("contacts", text)
    assert [row[:3] for row in rejects(result)] == [
        (5, "outcome", "not a word of this column"), (6, "at", "is still to come"),
    ]  # fmt: skip
    assert rows(book.database, "contact", "id", "role", "status", "outcome", "misdirected") == [
        ("import-C1", "borrower", "delivered", "no_answer", False),
        ("import-C2", "guarantor", "delivered", "wrong_person", True),
        ("import-C3", "borrower", "failed", "bounced", False),
    ]
    assert len(rows(book.database, "contact_loan", "contact_id")) == 3
