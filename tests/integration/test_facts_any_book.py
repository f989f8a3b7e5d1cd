"""Facts of random books: by the definition, alone as in the whole, on both databases alike, and read at a cost that does not grow."""

from datetime import timedelta
from random import Random

from sqlmodel import SQLModel, select

from engine.errors import DataError
from store.arrears import read_arrears
from store.book import packed, read_book
from store.bulk import reading, writing
from store.columns import to_us
from store.db import Database
from store.fact_query import FactStatement, contact_days, days_of, facts_of
from store.outline import OUTLINE_FACTS, read_outline
from store.tables import Loan, Party, StageChange
from tests.factories import add_movement, add_payment, make_loan, make_person, reverse
from tests.facts_of_books import (
    CATALOGUE,
    MONTHLY,
    NOW,
    NUMBERS,
    TODAY,
    Found,
    add,
    borrower_of,
    contact,
    days_ago,
    everybody,
    facts_in,
    facts_in_book,
    feed,
    hold,
    log,
    notice,
    of,
    promise,
    said,
    snapshot,
    value,
)


def random_book(database: Database, seed: int, people: int) -> None:
    """Borrowers with one to three loans, payments, fees, bounces and contacts, the same for the same seed."""
    rnd = Random(seed)
    zones = ["Asia/Shanghai", "America/New_York", "America/New_York Asia/Tokyo", "", "Pacific/Kiritimati"]
    for _ in range(people):
        person = make_person(database, zones=rnd.choice(zones), mobile=f"+{next(NUMBERS)}")
        for _ in range(rnd.randint(1, 3)):
            first, step = rnd.randint(-20, 200), rnd.randint(7, 95)
            amounts = [rnd.choice([0, 1, 99, 100_00, 250_00]) for _ in range(rnd.randint(1, 6))]
            schedule = [(days_ago(first - i * step), amount) for i, amount in enumerate(amounts)]
            loan = make_loan(
                database, borrower_id=person, instalments=schedule, episode_on=rnd.choice([None, days_ago(9)])
            )
            for _ in range(rnd.randint(0, 5)):
                kind = rnd.choice(["payment", "payment", "credit", "waiver", "forgiveness", "fee", "charge_off"])
                on, amount = days_ago(rnd.randint(1, 150)), rnd.choice([1, 50_00, 100_00, 350_00])
                ref = add_movement(database, loan, kind, amount, on)
                if rnd.random() < 0.3:
                    reverse(database, loan, ref, amount, min(TODAY, on + timedelta(days=rnd.randint(0, 20))))
            when = [NOW - timedelta(hours=rnd.randint(1, 400)) for _ in range(rnd.randint(0, 5))]
            log(database, *(contact(loan, person, moment, rnd.choice(["call", "sms", "visit"])) for moment in when))
            add(database, *(row for row in around(loan, person, rnd) if rnd.random() < 0.3))


def around(loan: int, person: int, rnd: Random) -> list[SQLModel]:
    """One row of everything else that facts are read from."""
    days = rnd.randint(1, 30)
    return [
        promise(loan, days_ago(days), days_ago(days - 5), rnd.choice(["open", "kept", "broken", "withdrawn"]), 10_00),
        hold(
            person,
            rnd.choice(["dispute", "attorney", "hardship"]),
            rnd.choice([None, loan]),
            days,
            rnd.choice([None, 1]),
        ),
        said(person, rnd.choice(["consent", "opt_out"]), days, rnd.choice(["", "sms", "sms email"])),
        notice(loan, person, days, days - 5),
        value(loan, "risk_band", days, text=rnd.choice(["a", "e"])),
        value(loan, "monthly_income", days, rnd.randint(0, 9)),
        feed("movements", timedelta(hours=days)),
        Party(loan_id=loan, person_id=person, role="guarantor"),
        StageChange(
            loan_id=loan, entry=1, source="current", target="phone", on_on=days_ago(days), at=NOW, cause="rule"
        ),
    ]


def test_arrears_are_those_of_the_definition(sqlite_database: Database) -> None:
    """For random ledgers, every number about arrears equals what `store.arrears` derives from the whole history."""
    import duckdb

    random_book(sqlite_database, seed=7, people=40)
    later = NOW + timedelta(days=1)  # everything has taken effect wherever the borrower is
    with duckdb.connect() as con:
        FactStatement(con, CATALOGUE).compute(
            read_book(sqlite_database, everybody(sqlite_database), now=later), now=later
        )
        found, today = facts_of(con, range(1000)), days_of(con)
    compared = 0
    with sqlite_database.session() as session:
        for loan in session.exec(select(Loan)):
            assert loan.id is not None
            facts = found[loan.id]
            try:
                want = read_arrears(session, loan, on=today[loan.borrower_id], known_at=later)
            except DataError:
                assert "dpd" not in facts
                continue
            if "dpd" not in facts:
                assert want.balance_minor <= 0 or want.first_unpaid_on is None
                continue
            compared += 1
            days_to_due = (want.due_next_on - want.on).days if want.due_next_on else 9999
            assert (
                facts["dpd"], facts["overdue_amount"], facts["instalments_overdue"], facts["days_to_due"],
                facts["fees_due"], facts["pending_amount"], facts["balance"],
            ) == (
                want.dpd, want.overdue_minor, want.instalments_overdue, days_to_due,
                want.fees_due_minor, want.pending_minor, max(0, want.balance_minor),
            ), loan.id  # fmt: skip
    assert compared > 60


def test_a_loan_alone_has_the_facts_it_has_in_the_whole_book(database: Database) -> None:
    """The filter is in what is read: borrower by borrower, in chunks or all at once, every fact is the same."""
    random_book(database, seed=11, people=6)
    whole = facts_in(database)
    alone: Found = {}
    for borrower in {borrower_of(database, loan) for loan in whole}:
        alone |= facts_in(database, [borrower])
    chunked: Found = {}
    people = everybody(database)
    for chunk in packed(people, [1] * len(people), 2):
        chunked |= facts_in(database, chunk)
    assert whole == alone == chunked
    assert len(whole) > 6


def test_the_outline_tells_the_facts_it_is_said_to_tell(database: Database) -> None:
    """Of random loans, by schedule and by account, each fact of the outline is the one of the whole book."""
    random_book(database, seed=5, people=25)
    for dpd in (0, 7):
        account = make_loan(database, basis="account")
        early, late = (snapshot(account, days_ago(days), dpd, dpd * 100_00) for days in (40, 5))
        add(database, early, late)
        add_payment(database, account, 10_00, days_ago(2))
    import duckdb

    whole = facts_in(database)
    outlined: Found = {}
    after = 0
    with reading(database) as source, duckdb.connect() as con:
        statement = FactStatement(con, CATALOGUE, only=OUTLINE_FACTS)
        while (outline := read_outline(source, after=after, loans=10, now=NOW)) is not None:
            statement.compute(outline.book, now=NOW)
            outlined |= facts_of(con, outline.book.loan["id"].to_pylist())
            assert outline.to > after
            after = outline.to
    assert outlined.keys() == whole.keys()
    compared = 0
    for loan, facts in whole.items():
        # Of a loan that is overdue the next instalment is not read, and nobody needs it: it is looked at anyway.
        told = OUTLINE_FACTS - ({"days_to_due"} if facts.get("dpd", 0) else set())
        assert {n: outlined[loan].get(n) for n in told} == {n: facts.get(n) for n in told}, loan
        compared += "days_to_due" in told
    assert 10 < compared < len(whole), "all overdue, or none"


def test_both_databases_give_the_same_facts(sqlite_database: Database, postgres_database: Database) -> None:
    """The same book, written the same way, is the same book."""
    for database in (sqlite_database, postgres_database):
        random_book(database, seed=3, people=12)
    assert facts_in(sqlite_database) == facts_in(postgres_database)


def test_facts_can_be_read_inside_the_transaction_that_holds_the_lock(database: Database) -> None:
    """A micro-batch of events sees its own uncommitted writes."""
    loan = make_loan(database, instalments=MONTHLY)
    with writing(database) as bulk:
        bulk.execute("update loan set custody = 'agency' where id = :id", {"id": loan})
        book = read_book(bulk, [borrower_of(database, loan)], now=NOW, contact_days=contact_days(CATALOGUE))
        bulk.rollback()
    assert facts_in_book(book)[loan]["custody"] == "agency"
    assert of(database, loan, "custody") == ("in_house",)


def test_a_book_holds_nothing_that_identifies_a_person(sqlite_database: Database) -> None:
    """Names, numbers and addresses are not even read."""
    loan = make_loan(
        sqlite_database, borrower_id=make_person(sqlite_database, name="Wang Xiaoming", mobile="+8613800000000")
    )
    book = read_book(sqlite_database, [borrower_of(sqlite_database, loan)], now=NOW)
    assert "Wang" not in str(book.person.to_pylist())
    assert "13800000000" not in str(book.endpoint.to_pylist())


def test_chunks_are_whole_borrowers() -> None:
    """As many as fit; a borrower with more loans than fit is a chunk alone."""
    assert list(packed([1, 2, 3, 4, 5, 6], [1, 2, 5, 1, 1, 1], 3)) == [[1, 2], [3], [4, 5, 6]]
    assert list(packed([4, 5, 6], [1, 1, 1], 100)) == [[4, 5, 6]]
    assert list(packed([], [], 100)) == []


def test_contacts_of_a_long_spell_are_read_however_old(database: Database) -> None:
    """`repeat: {per: episode}` must see what was done two years ago in the same spell, and nothing else that old."""
    old = NOW - timedelta(days=700)
    long, short = (make_loan(database, instalments=MONTHLY, episode_on=days_ago(days)) for days in (800, 100))
    for loan in (long, short):
        log(database, contact(loan, borrower_of(database, loan), old), contact(loan, borrower_of(database, loan), NOW))
    log(database, contact(short, borrower_of(database, short), old, status="unknown"))
    book = read_book(database, everybody(database), now=NOW)
    read = sorted((row["loan_id"], row["at"] == to_us(old), row["status"]) for row in book.contact.to_pylist())
    assert read == [
        (long, False, "delivered"),
        (long, True, "delivered"),
        (short, False, "delivered"),
        (short, True, "unknown"),
    ]
    assert sorted(book.contact_loan["contact_id"].to_pylist()) == sorted(book.contact["id"].to_pylist())


def test_only_open_instalments_up_to_the_next_due_are_read(database: Database) -> None:
    """Cost grows with what is due: neither the paid past nor the far future of a schedule is read."""
    schedule = [(days_ago(100 - 30 * i), 100) for i in range(12)]
    loan = make_loan(database, instalments=schedule)
    add_payment(database, loan, 250, days_ago(20))
    book = read_book(database, [borrower_of(database, loan)], now=NOW)
    assert sorted(book.instalment["number"].to_pylist()) == [3, 4, 5]
