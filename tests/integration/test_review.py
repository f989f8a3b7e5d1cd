"""The compliance review of a month: numbers against plain counting, breaches that nobody refused, and files that hold together."""

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from pypdf import PdfReader
from sqlmodel import SQLModel, col, select

from engine.errors import DataError
from store import log
from store.bulk import reading
from store.db import Database
from store.tables import (
    Consent,
    Contact,
    ContactLoan,
    ContactStatus,
    DecisionRow,
    Deed,
    Endpoint,
    Hold,
    Notice,
    OverrideRow,
    Person,
    Run,
)  # fmt: skip
from tests.factories import make_loan, make_person
from tests.opening import open_database
from tests.outgoing import add, rows
from tests.review_book import MADE, MONTH, fill, reviewed, signed
from workflows.review.review import Reviewed

MONEY = ("collect",)


def listed(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of a list; none where there is no such list."""
    path = folder / "entries" / f"{name}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []


def marked(folder: Path, kind: str, rule: str) -> set[str]:
    """The contacts in a list of breaches."""
    return {row["contact"] for row in listed(folder, f"breach-{kind}-{rule}")}


def made(database: Database) -> list[Contact]:
    """Every contact that was made or may have been."""
    return [
        one for one in rows(database, Contact) if one.status in ("sending", "sent", "delivered", "failed", "unknown")
    ]


def in_month(at: datetime) -> bool:
    """Whether it is of the month where the lender works."""
    return at.astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m") == MONTH.name


def zones(database: Database) -> dict[int, list[ZoneInfo]]:
    """Where everybody may be."""
    return {person.id: [ZoneInfo(zone) for zone in person.zones.split()] for person in rows(database, Person)}


def counted(one: Contact) -> bool:
    """Whether a message counts for the house's limits."""
    return (one.outcome or one.status) not in ("failed", "bounced")


def too_many_messages(database: Database) -> Iterator[str]:
    """By hand: the second message that asks for money on one date, in any zone."""
    where = zones(database)
    messages = [
        one for one in made(database) if one.channel in ("sms", "email") and one.purpose in MONEY and counted(one)
    ]
    for one in messages:
        before = [
            other for other in messages
            if other.person_id == one.person_id and (other.at, other.id) < (one.at, one.id)
            and any(other.at.astimezone(z).date() == one.at.astimezone(z).date() for z in where[one.person_id])
        ]  # fmt: skip
        if before and in_month(one.at):
            yield one.id


def too_many_in_a_week(database: Database) -> Iterator[str]:
    """By hand: the seventh contact that asks for money in seven dates."""
    where = zones(database)
    asking = [
        one
        for one in made(database)
        if one.purpose in MONEY and (one.outcome or one.status) not in ("failed", "bounced", "not_in_service")
    ]
    for one in asking:
        for zone in where[one.person_id]:
            day = one.at.astimezone(zone).date()
            span = [
                other for other in asking
                if other.person_id == one.person_id and (other.at, other.id) <= (one.at, one.id)
                and day - timedelta(days=6) <= other.at.astimezone(zone).date()
            ]  # fmt: skip
            if len(span) > 6 and in_month(one.at):
                yield one.id
                break


def at_night(database: Database) -> Iterator[str]:
    """By hand: a call or message outside 08:00 to 21:00 in any zone."""
    where = zones(database)
    for one in made(database):
        closed = any(not 8 <= one.at.astimezone(zone).hour < 21 for zone in where[one.person_id])
        if one.channel in ("sms", "email", "call") and in_month(one.at) and closed:
            yield one.id


def against_a_stop(database: Database) -> Iterator[str]:
    """By hand: something that asks for money after an opt-out of that channel was in the book."""
    for said in rows(database, Consent):
        for one in made(database):
            about = one.person_id == said.person_id and (not said.channels or one.channel in said.channels.split())
            if (
                about
                and one.purpose in MONEY
                and said.received_at <= one.at
                and said.recorded_at < one.at
                and in_month(one.at)
            ):
                yield one.id


def in_a_dispute(database: Database) -> Iterator[str]:
    """By hand: something that asks for money while a dispute stood that was in the book."""
    for held in rows(database, Hold):
        for one in made(database):
            stood = held.starts_at <= one.at < held.ends_at and held.recorded_at < one.at
            if one.person_id == held.person_id and stood and one.purpose in MONEY and in_month(one.at):
                yield one.id


def test_breaches_are_those_that_plain_counting_finds(database: Database, tmp_path: Path) -> None:
    """Over a random book that no gate saw: too many a day and a week, at night, after a stop, in a dispute; no more and no less."""
    fill(database, 1)
    folder = tmp_path / "review"
    found = reviewed(database, folder)
    by_hand = {
        ("limit", "house.default.message_day"): set(too_many_messages(database)),
        ("limit", "house.default.contacts_week"): set(too_many_in_a_week(database)),
        ("hours", "house.default.hours"): set(at_night(database)),
        ("refusal", "house.default.refusals"): set(against_a_stop(database)),
        ("hold", "house.default.holds"): set(in_a_dispute(database)),
    }
    for (kind, rule), wanted in by_hand.items():
        assert marked(folder, kind, rule) == wanted, (kind, rule)
    assert sum(map(len, by_hand.values())) > 20
    lists = [path.stem for path in (folder / "entries").glob("breach-*.csv")]
    assert found.findings == sum(len({row["contact"] for row in listed(folder, name)}) for name in lists)


@pytest.mark.parametrize("as_other", ["landline", "mobile"])
def test_calls_to_a_number_that_two_share_are_counted_together(
    database: Database, tmp_path: Path, as_other: str
) -> None:
    """
    Two recorded calls to each of two people on one home line are four of three, though no person had more than two;
    also where the other's file calls it a mobile.
    """
    rows: list[SQLModel] = []
    for number in range(2):
        person = make_person(database, country="US", region="US-FL", zones="America/New_York")
        loan = make_loan(database, borrower_id=person)
        kind = "landline" if number else as_other
        line = Endpoint(person_id=person, kind=kind, value="+12025550107", recorded_at=MADE)
        add(database, line)
        for call in range(2):
            at, name = datetime(2026, 3, 3 + 2 * call + number, 17, tzinfo=UTC), f"7-{number}-{call}"
            rows += [
                Contact(
                    id=name, loan_id=loan, person_id=person, channel="call", rule="r", slot=name, status="delivered",
                    outcome="voicemail", planned_at=at, not_before_at=at, expires_at=at, at=at, endpoint_id=line.id,
                ),
                ContactLoan(contact_id=name, loan_id=loan),
            ]  # fmt: skip
    for table in (Contact, ContactLoan):
        add(database, *(row for row in rows if isinstance(row, table)))
    add(database, Run(id=900, kind="sweep", now_at=datetime(2026, 3, 2, tzinfo=UTC), known_at=MADE, started_at=MADE))
    reviewed(database, tmp_path / "review", signed(database))
    assert marked(tmp_path / "review", "limit", "us.tcpa.landline_30d") == {"7-1-1"}


def test_numbers_are_those_of_plain_counting(database: Database, tmp_path: Path) -> None:
    """Contacts by channel, decisions, refusals and deferrals by rule, people and loans: all as counted in Python."""
    fill(database, 3)
    folder = tmp_path / "review"
    found = reviewed(database, folder)
    ours = [one for one in made(database) if in_month(one.at)]
    assert found.figures["contacts made"] == len(ours)
    assert found.figures["persons contacted"] == len({one.person_id for one in ours})
    for channel, number in Counter(one.channel for one in ours).items():
        assert {row["contact"] for row in listed(folder, f"contacts-channel-{channel}")} == {
            one.id for one in ours if one.channel == channel
        }
        assert len(listed(folder, f"contacts-channel-{channel}")) == number
    decided = [one for one in rows(database, DecisionRow) if in_month(one.now_at)]
    assert found.figures["decisions"] == len(decided) > 0
    assert found.figures["decisions in which a rule held something back"] == sum(bool(one.reasons) for one in decided)
    for rule in ("house.default.holds", "house.default.quiet", "us.ma.freq_home"):
        mine = {f"decision:{one.run_id}-{one.loan_id}" for one in decided if rule in one.reasons.split()}
        both = [row["entry"] for word in ("deny", "defer") for row in listed(folder, f"{word}-{rule}")]
        assert sorted(both) == sorted(mine)
    hours = Counter[str]()
    for path in (folder / "entries").glob("hour-*.csv"):
        hours[path.stem] += len(listed(folder, path.stem))
        assert all(
            datetime.fromisoformat(row["local"]).hour == int(path.stem[-2:]) for row in listed(folder, path.stem)
        )
    assert hours.total() == len(ours)


class One(NamedTuple):
    """One review of a signed book, for several tests to look at; `places`: where the log holds which entry."""

    folder: Path
    found: Reviewed
    places: dict[str, int]


@pytest.fixture(scope="module")
def one(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> One:
    """It."""
    home = tmp_path_factory.mktemp("review")
    shutil.copyfile(sqlite_template, home / "book.db")
    database = open_database(f"sqlite:///{home / 'book.db'}")
    fill(database, 4)
    keys = signed(database)
    found = reviewed(database, home / "review", keys)
    with reading(database) as reader:
        places = {f"{leaf.kind}:{leaf.key}": leaf.position for leaf in log.leaves(reader, 0, 100_000)}
    database.close()
    return One(home / "review", found, places)


def test_every_number_leads_to_what_it_counts(one: One) -> None:
    """Each link of the page is there, its list has rows enough, and each entry is one that the log holds at that position."""
    page = (one.folder / "review.html").read_text(encoding="utf-8")
    links = re.findall(r'<a href="entries/([^"]+)\.html">([0-9,]+)</a>', page)
    assert len(links) > 100
    for name, number in links:
        assert (one.folder / "entries" / f"{name}.html").exists()
        assert len(listed(one.folder, name)) >= (1 if name.startswith("refusals-") else int(number.replace(",", "")))
    for path in (one.folder / "entries").glob("*.csv"):
        for row in listed(one.folder, path.stem):
            if row.get("entry"):
                assert int(row["position"]) == one.places[row["entry"]], (path.name, row)
    assert "the log stands as it was signed" in page


def test_the_same_month_gives_the_same_bytes_and_leaves_a_deed(database: Database, tmp_path: Path) -> None:
    """Twice at one instant: every file alike; each left a deed with its hash."""
    fill(database, 5)
    keys = signed(database)
    one = reviewed(database, tmp_path / "a", keys)
    assert reviewed(database, tmp_path / "b", keys) == one
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name
    deeds = [row for row in rows(database, Deed) if row.kind == "export"]
    assert [row.subject for row in deeds] == [one.digests["review.html"]] * 2


def test_what_people_wrote_and_who_they_are_stays_out(one: One) -> None:
    """No name, number, address or reason in any file; a reference that begins like a formula, or looks like markup, is harmless."""
    texts = [path.read_text(encoding="utf-8") for path in one.folder.rglob("*.*") if path.suffix != ".pdf"]
    texts.append("\n".join(page.extract_text() for page in PdfReader(one.folder / "review.pdf").pages))
    for text in texts:
        assert not re.search(r"Test Person|\+8613|@example|secret words", text)
    contacts = (one.folder / "entries" / "contacts.csv").read_text(encoding="utf-8")
    assert "'=L<4>-0" in contacts
    assert ",=L<4>" not in contacts
    assert "=L&lt;4&gt;-0" in (one.folder / "entries" / "contacts.html").read_text(encoding="utf-8")


def test_paper_says_what_the_page_says(one: One) -> None:
    """The figures stand on the paper too, with the same numbers; numbers are links to the same lists."""
    paper = PdfReader(BytesIO((one.folder / "review.pdf").read_bytes()))
    words = " ".join("".join(page.extract_text() for page in paper.pages).split())
    assert f"{one.found.findings} findings break a rule" in words
    for name, number in one.found.figures.items():
        assert re.search(rf"{re.escape(name)} (! )?{number:,}", words)
    uris = {note["/A"]["/URI"] for page in paper.pages for note in page.get("/Annots", []) if "/A" in note}
    assert "entries/contacts.html" in uris


def test_consent_addressees_and_notices_are_counted_from_the_rows(database: Database, tmp_path: Path) -> None:
    """What stands on file at the moment: bases and consents of a number, who somebody is to the loan, and what had been served."""
    at = datetime(2026, 3, 10, 17, tzinfo=UTC)
    person = make_person(
        database,
        ref="P-US",
        country="US",
        region="US-TX",
        zones="America/Chicago",
        mobile="+12145550101",
        email="a@example.org",
    )
    other = make_person(
        database, ref="P-O", country="US", region="US-TX", zones="America/Chicago", mobile="+12145550102"
    )
    loan = make_loan(database, borrower_id=person, stage="field_visit", episode_on=date(2026, 2, 1))
    calm = make_loan(database, borrower_id=person)
    mobile, email = (one.id for one in rows(database, Endpoint, col(Endpoint.person_id) == person))
    theirs = rows(database, Endpoint, col(Endpoint.person_id) == other)[0].id
    with database.write() as session:
        for endpoint in (mobile, theirs):
            session.get_one(Endpoint, endpoint).basis = "text_from_consumer"
            session.get_one(Endpoint, endpoint).basis_at = at - timedelta(days=50)

    def contact(name: str, channel: str, **values: object) -> Contact:
        given = {
            "loan_id": loan,
            "person_id": person,
            "by": "agency-1",
            "status": "delivered",
            "outcome": "delivered",
            "at": at,
            **values,
        }
        return Contact(
            id=name, channel=channel, slot=name, planned_at=given["at"], not_before_at=at, expires_at=at, **given
        )

    def notice(name: str, sent: date, **values: object) -> Notice:
        given = {
            "loan_id": loan,
            "person_id": person,
            "kind": "visit_notice",
            "effective_on": sent + timedelta(days=1),
            **values,
        }
        return Notice(sent_on=sent, how="letter", recorded_at=at, ref=name, **given)

    later = at + timedelta(days=12)
    others_loan = make_loan(database, borrower_id=other, episode_on=date(2026, 2, 1))
    add(
        database,
        contact("sms-fresh", "sms", endpoint_id=mobile), contact("sms-stale", "sms", endpoint_id=mobile, at=later),
        contact("mail-never", "email", endpoint_id=email), contact("mail-unknown", "email"),
        contact("mail-agreed", "email", endpoint_id=email, at=later), contact("mail-of-ours", "email", endpoint_id=email, by="lender"),
        contact("call-third", "call", person_id=other, role="contact_person", endpoint_id=theirs),
        contact("call-where", "call", person_id=other, role="contact_person", endpoint_id=theirs, purpose="location"),
        contact("visit-young", "visit", at=datetime(2026, 3, 4, 17, tzinfo=UTC), outcome="met"),
        contact("visit-good", "visit", outcome="met"), contact("visit-void", "visit", outcome="met", at=later),
        contact("visit-calm", "visit", outcome="met", loan_id=calm), contact("visit-other", "visit", outcome="met", loan_id=others_loan, person_id=other),
        notice("n-1", date(2026, 3, 1), voided_at=at + timedelta(days=1)),
        notice("n-old", date(2026, 1, 2)), notice("n-else", date(2026, 3, 1), kind="prelegal_notice"),
        notice("n-third", date(2026, 3, 1), loan_id=others_loan),
        Consent(person_id=person, kind="consent", scope="electronic", channels="email", given_to="agency-1", received_at=at + timedelta(days=2),
                recorded_at=at + timedelta(days=20), ref="k-1"),
        Consent(person_id=person, kind="opt_out", channels="sms", received_at=at - timedelta(days=1), recorded_at=later, ref="k-2"),
    )  # fmt: skip
    for name in [one.id for one in rows(database, Contact)]:
        add(database, ContactStatus(contact_id=name, status="delivered", at=at))
    found = reviewed(database, tmp_path / "review")
    folder = tmp_path / "review"
    assert marked(folder, "consent", "us.regf.sms.procedure") == {"sms-stale"}
    assert marked(folder, "consent", "us.regf.email.procedure") == {"mail-never"}
    assert marked(folder, "addressee", "us.regf.third_party") == {"call-third"}
    assert marked(folder, "addressee", "house.default.addressee") == {"call-third"}
    assert marked(folder, "notice", "house.default.visit_notice") == {
        "visit-young",
        "visit-void",
        "visit-calm",
        "visit-other",
    }
    assert found.findings >= 8
    page = (folder / "review.html").read_text(encoding="utf-8")
    for said in (
        "without consent or another basis",
        "to somebody who may not be addressed",
        "without the notice that it owes",
    ):
        assert said in page


def test_a_presumption_set_aside_is_no_breach_and_is_told(sqlite_database: Database, tmp_path: Path) -> None:
    """Eight calls in seven days break Regulation F; with an override for the eighth there is none, and its ground stands in the review."""
    from tests.factories import make_loan, make_person

    person = make_person(sqlite_database, country="US", region="US-TX", zones="America/Chicago")
    loan = make_loan(sqlite_database, borrower_id=person)
    for number in range(8):
        at = datetime(2026, 3, 9, 16, tzinfo=UTC) + timedelta(hours=19 * number)
        add(sqlite_database, Contact(id=f"c{number}", loan_id=loan, person_id=person, channel="call", slot=f"c{number}", status="delivered", outcome="no_answer", planned_at=at, not_before_at=at, expires_at=at, at=at, by="agency-1"))  # fmt: skip
        add(sqlite_database, ContactStatus(contact_id=f"c{number}", status="delivered", at=at))
    reviewed(sqlite_database, tmp_path / "a")
    assert marked(tmp_path / "a", "limit", "us.regf.freq.calls") == {"c7"}
    at = datetime(2026, 3, 15, 5, tzinfo=UTC)
    add(sqlite_database, OverrideRow(contact_id="c7", rule="us.regf.freq.calls", ground="consumer_request", evidence="tape 7", agent="mei", approved_by="lin", at=at))  # fmt: skip
    reviewed(sqlite_database, tmp_path / "b")
    assert marked(tmp_path / "b", "limit", "us.regf.freq.calls") == set()
    page = (tmp_path / "b" / "review.html").read_text(encoding="utf-8")
    assert re.search("us.regf.freq.calls</td><td>[^<]*</td><td>consumer_request</td><td>mei</td><td>lin</td>", page)
    assert "tape 7" not in page


def test_a_month_that_is_not_over_and_a_folder_that_is_there_are_refused(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """Nothing is written then, and nothing is left beside it."""
    with pytest.raises(DataError, match="2026-03 is not over"):
        reviewed(sqlite_database, tmp_path / "review", now=datetime(2026, 3, 31, 15, 59, tzinfo=UTC))
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="is there already"):
        reviewed(sqlite_database, tmp_path / "review")
    assert [path.name for path in tmp_path.iterdir() if "book.db" not in path.name] == ["review"]
    with sqlite_database.session() as session:
        assert session.exec(select(Deed)).all() == []


def test_findings_settled_by_hand_are_listed_from_the_log(sqlite_database: Database, tmp_path: Path) -> None:
    """Also where the book of duties does not hold the finding any more; one of another month, and a deed that cannot be read, do no harm."""
    fill(sqlite_database, 4, people=1)
    at = datetime(2026, 3, 9, tzinfo=UTC)
    said = '{"digest":"0","rule":"match.contact_without_decision","subject":"contact:x"}'
    add(
        sqlite_database,
        Deed(id=70, at=at, kind="settled", subject="duty:999", detail_json=said),
        Deed(id=71, at=at.replace(month=5), kind="settled", subject="duty:998", detail_json=said),
        Deed(id=72, at=at, kind="settled", subject="duty:997", detail_json="{"),
    )
    reviewed(sqlite_database, tmp_path / "made", signed(sqlite_database))
    found = listed(tmp_path / "made", "duty-settled-match.contact_without_decision")
    assert [(row["entry"], row["duty"]) for row in found] == [("deed:70", "duty:999")]
    assert found[0]["position"]
    assert "settled by hand" in (tmp_path / "made" / "review.html").read_text(encoding="utf-8")


def test_tasks_that_the_gate_kept_from_an_agent_are_counted(sqlite_database: Database, tmp_path: Path) -> None:
    """Put off they keep the status of their queue, and seen already they are in doubt: both were held back by a rule."""
    fill(sqlite_database, 1, 1)
    kept = [one for one in made(sqlite_database) if one.channel == "call" and in_month(one.at)][:3]
    no, later, go = ({"look": 1, "answer": answer, "verdict": verdict, "reasons": [{"rule": "us.regf.cease", "outcome": verdict, "citation": "c"}] if verdict != "allow" else []}
                     for answer, verdict in (("cancel", "deny"), ("delay", "defer"), ("go", "allow")))  # fmt: skip
    for one, status, said in zip(kept, ("unknown", "sent", "sent"), (no, later, go), strict=True):
        add(
            sqlite_database,
            ContactStatus(contact_id=one.id, status=status, at=one.at, why="w", detail_json=json.dumps(said)),
        )
    reviewed(sqlite_database, tmp_path / "review", signed(sqlite_database))
    for what, contact in (("called-off", kept[0]), ("put-off", kept[1])):
        assert [row["contact"] for row in listed(tmp_path / "review", f"stopped-{what}-us.regf.cease")] == [contact.id]
    assert len(listed(tmp_path / "review", "stopped")) == 2
