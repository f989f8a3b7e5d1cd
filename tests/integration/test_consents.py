"""The consent ledger: one shape whoever writes, added to and never changed, and heard at once."""

import ast
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import col, select

from compliance.standing import standing
from engine.gate import Endpoint as Spot
from engine.gate import LocalWindow
from store.columns import to_us
from store.consents import NewStatement, add_statement, ledger
from store.db import Database
from store.people import read_statement
from store.sealing import hashed
from store.tables import Endpoint, Person
from tests.factories import make_loan, make_person
from tests.imports import AS_OF, ENDPOINTS, NOW, PEOPLE, Importer
from workflows.importing import KINDS

ROOT = Path(__file__).parents[2]
ROOMS = ("store", "workflows", "duecourse", "compliance", "channels", "config", "engine")
WINDOWS = (LocalWindow(0, 720, (0, 5)), LocalWindow(1320, 1440, (0, 5)))


def test_an_import_and_the_writer_write_the_same(database: Database, tmp_path: Path) -> None:
    """The same statement by file and by hand is read as the same one."""
    importer = Importer(database, tmp_path)
    importer.take("people", PEOPLE, as_of=AS_OF)
    importer.take("endpoints", ENDPOINTS, as_of=AS_OF)
    importer.take(
        "consents",
        "ref,person,kind,scope,channels,endpoint,purposes,hours,days,place,given_to,how,evidence,received_at,until_at\n"
        "f1,P1,inconvenient_time,,,,,00:00-12:00 22:00-24:00,mon sat,,lender,phone,rec:1,2026-02-01T10:00:00+00:00,\n"
        "f2,P1,consent,electronic,sms email,+12125550101,collect,,,,collector,letter,doc:2,2026-02-02T10:00:00+00:00,"
        "2026-12-31T00:00:00+00:00\n"
        "f3,P1,inconvenient_place,,,,,,,work,lender,phone,,2026-02-03T10:00:00+00:00,\n",
        as_of=AS_OF,
    )
    with database.write() as session:
        person = session.exec(select(Person).where(col(Person.ref) == "P1")).one().id or 0
        mobile = session.exec(
            select(Endpoint.id).where(col(Endpoint.value_hash) == hashed(session, "+12125550101"))
        ).one()

        def said(day: int, kind: str, **rest: object) -> None:
            at = datetime.fromisoformat(f"2026-02-0{day}T10:00:00+00:00")
            add_statement(session, NewStatement(person, kind, at, source="core", ref=f"h{day}", **rest), now=NOW)  # type: ignore[arg-type]

        said(1, "inconvenient_time", windows=WINDOWS, how="phone", evidence="rec:1")
        said(
            2, "consent", scope="electronic", channels=("sms", "email"), endpoint=mobile, purposes=("collect",),
            given_to="collector", how="letter", evidence="doc:2", until_at=datetime.fromisoformat("2026-12-31T00:00+00:00"),
        )  # fmt: skip
        said(3, "inconvenient_place", place="work", how="phone")
    with database.session() as session:
        lines = ledger(session, person, as_of=NOW)
    by_ref = {line.ref: line for line in lines}
    for n in "123":
        by_file, by_hand = by_ref[f"f{n}"], by_ref[f"h{n}"]
        assert (by_file.said, by_file.how, by_file.evidence) == (by_hand.said, by_hand.how, by_hand.evidence)


def test_what_the_writer_keeps_is_what_the_gate_reads(database: Database) -> None:
    """Every part of a statement comes back; the version of whoever said it grows; the same name again is the same."""
    person = make_person(database)
    loan = make_loan(database, borrower_id=person)
    at = NOW - timedelta(days=1)
    new = NewStatement(
        person, "consent", at, "agent:mei", "r1", scope="contact_time", debts=(loan,), windows=WINDOWS,
        only_on=(date(2026, 3, 4),), given_to="collector",
    )  # fmt: skip
    with database.write() as session:
        assert add_statement(session, new, now=NOW)
        assert not add_statement(session, new, now=NOW)
    with database.session() as session:
        (line,) = ledger(session, person, as_of=NOW)
        assert session.get_one(Person, person).version == 1
        assert ledger(session, person, as_of=at - timedelta(seconds=1)) == []
    said = line.said
    assert (said.kind, said.scope, said.debts, said.windows, said.only_on, said.given_to, said.at_us) == (
        "consent", "contact_time", (loan,), WINDOWS, (date(2026, 3, 4),), "collector", to_us(at),
    )  # fmt: skip


def test_the_later_word_counts_whatever_clock_heard_it(database: Database) -> None:
    """A stop after a start that was heard by a clock ahead stands, and so does a start after such a stop; a given date stays."""
    person = make_person(database)
    heard = [("opt_in", 5), ("opt_out", 2), ("opt_in", 3)]

    def closed(at: datetime) -> list[str]:
        with database.session() as session:
            lines = ledger(session, person, as_of=at)
        (stands,) = standing([line.said for line in lines], [("sms", Spot(1, "mobile"))], to_us(at))
        return [one.kind for one in stands.closed_by]

    stood = []
    for kind, minutes in heard:
        at = NOW + timedelta(minutes=minutes)
        with database.write() as session:
            new = NewStatement(person, kind, at, "twilio", f"r{minutes}", channels=("sms",))
            assert add_statement(session, new, now=at, live=True)
        stood.append(closed(NOW + timedelta(minutes=6)))
    assert stood == [[], ["opt_out"], []]
    with database.write() as session:
        dated = NOW - timedelta(hours=2)
        letter = NewStatement(person, "opt_out", dated, "agent:mei", "l1", channels=("sms",), how="letter")
        assert add_statement(session, letter, now=NOW + timedelta(minutes=4))
    assert closed(NOW + timedelta(minutes=6)) == []
    with database.session() as session:
        assert [line.ref for line in ledger(session, person)] == ["l1", "r5", "r2", "r3"]


CLOCKS = {
    # What is on file, and what a file of the core system then says: (source, kind, minutes, channels).
    "a clock ahead heard the start": ([("agent:mei", "opt_in", 28, "")], [("core", "opt_out", 0, "")], True),
    "what comes later and is dated later is no doubt": (
        [("agent:mei", "no_contact", 0, "")],
        [("core", "opt_in", 28, "sms call")],
        False,
    ),
    "an hour and more is no doubt": ([("agent:mei", "opt_in", 61, "")], [("core", "opt_out", 0, "")], False),
    "one clock is no doubt": ([("core", "opt_in", 28, "")], [("core", "opt_out", 0, "")], False),
    "what the other office also heard": (
        [("agent:mei", "opt_out", 0, "sms"), ("agent:mei", "opt_in", 10, "sms")],
        [("core", "opt_out", 0, "sms"), ("core", "opt_in", 10, "sms")],
        False,
    ),
    "it took back mails alone": (
        [("agent:mei", "opt_in", 10, "sms")],
        [("core", "opt_out", 0, ""), ("core", "opt_in", 5, "email")],
        True,
    ),
    "a consent is a start, too": ([("agent:mei", "consent", 28, "sms")], [("core", "opt_out", 0, "sms")], True),
}


@pytest.mark.parametrize("case", CLOCKS)
def test_between_two_clocks_the_refusal_stands(database: Database, tmp_path: Path, case: str) -> None:
    """Where two who wrote it down may have had different clocks nobody knows what was said last: by file and by hand alike."""
    on_file, then, refused = CLOCKS[case]
    importer = Importer(database, tmp_path)
    importer.take("people", PEOPLE, as_of=AS_OF)
    at = NOW - timedelta(hours=3)
    with database.write() as session:
        people = {one.ref: one.id or 0 for one in session.exec(select(Person))}

    def write(person: str, said: list[tuple[str, str, int, str]], start: int = 0) -> None:
        for number, (source, kind, minutes, channels) in enumerate(said, start):
            with database.write() as session:
                heard = at + timedelta(minutes=minutes)
                new = NewStatement(
                    people[person], kind, heard, source, f"{person}{number}", channels=tuple(channels.split()), how="phone"
                )  # fmt: skip
                assert add_statement(session, new, now=NOW)

    write("P1", on_file)
    write("P2", on_file)
    write("P2", then, len(on_file))
    rows = "".join(
        f"P1{number},P1,{kind},{channels},{at + timedelta(minutes=minutes)},phone\n"
        for number, (_, kind, minutes, channels) in enumerate(then, len(on_file))
    )
    file = "ref,person,kind,channels,received_at,how\n" + rows.replace("+00:00", "Z").replace(" 0", "T0")
    done = importer.take("consents", file, as_of=AS_OF)
    assert (done.added, done.rejected) == (len(then), 0)
    again = importer.take("consents", file, as_of=NOW, now=NOW + timedelta(minutes=1))
    assert (again.added, again.same) == (0, len(then))

    kept = []
    # Written one by one, the stop that both heard comes before its start.
    for person in ("P1", "P2") if len(then) == 1 else ("P1",):
        with database.session() as session:
            lines = ledger(session, people[person])
        kept.append(
            [(line.at, line.said, line.how, line.source, line.ref.replace(person, "")) for line in lines]
        )  # fmt: skip
        (sms,) = standing([line.said for line in lines], [("sms", Spot(1, "mobile"))], to_us(NOW))
        assert bool(sms.closed_by) is refused, person
        told = {line.ref: line.at for line in lines if ":again:" not in line.ref}
        assert sorted(told.values()) == sorted(at + timedelta(minutes=one[2]) for one in (*on_file, *then))
        assert any(":again:" in line.ref for line in lines) is refused
    assert kept[0] == kept[-1]


def test_what_cannot_be_read_is_a_statement_that_says_so() -> None:
    """A line of the ledger is never dropped because it is odd."""
    for detail in ("{", "[]", '{"windows": [{}]}', '{"only_on": ["soon"]}', '{"debts": 5}'):
        row = {"kind": "opt_out", "received_at": 7, "detail_json": detail, "scope": "", "channels": "", "purposes": "",
               "endpoint_id": None, "given_to": "lender", "until_at": None, "how": ""}  # fmt: skip
        assert (read_statement(row).kind, read_statement(row).at_us) == ("unreadable", 7), detail


def test_the_ledger_is_only_ever_added_to() -> None:
    """One module makes statements; none updates or deletes one, and an import rejects other content under a known name."""
    assert not KINDS["consents"].replaces
    makers, changers = set(), []
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Consent":
                makers.add(name)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"update", "delete"}:
                changers += [name for arg in node.args if isinstance(arg, ast.Name) and arg.id == "Consent"]
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "store/migrations" not in name:
                said = " ".join(node.value.lower().split())
                changers += [name for words in ("update consent ", "delete from consent") if words in said]
    # `Consent` of `compliance.pack` is a kind of limit.
    assert makers - {"compliance/limit_file.py"} == {"store/consents.py"}
    assert changers == []


def test_an_import_leaves_what_people_learnt(database: Database, tmp_path: Path) -> None:
    """The lender's marks come and go with its files; what our people found out stays, and the gate sees both."""
    importer = Importer(database, tmp_path)
    importer.take("people", PEOPLE, as_of=AS_OF)
    header = "person,kind,value,marks\n"
    importer.take("endpoints", header + "P1,mobile,+12125550101,employer_provided\n", as_of=AS_OF)
    with database.write() as session:
        session.exec(select(Endpoint)).one().learnt_marks = "known_disclosure"
    importer.take("endpoints", header + "P1,mobile,+12125550101,\n", as_of=NOW)
    with database.session() as session:
        endpoint = session.exec(select(Endpoint)).one()
    assert (endpoint.marks, endpoint.learnt_marks) == ("", "known_disclosure")
