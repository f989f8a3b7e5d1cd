"""
Everything that can be wrong from outside: one clear message with its mend, on standard error, and nothing half done.

Whole messages are compared; a traceback would be in them. What was live stays live: the book is the same afterwards.
"""

import os
import resource
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from store.migrations import HEAD
from tests.e2e.book import AS_OF, FILES, IMPORTED, SENT, SWEPT, rehearse, write_book
from tests.e2e.command import Said, duecourse

_TIMES = ("--as-of", AS_OF, "--at", IMPORTED)


@dataclass(frozen=True, slots=True)
class Live:
    """A workspace with a small book in it."""

    home: Path

    @property
    def folder(self) -> Path:
        """The workspace."""
        return self.home / "ws"

    @property
    def database(self) -> Path:
        """Its database."""
        return self.folder / "data" / "duecourse.db"

    def run(self, *arguments: str | Path) -> Said:
        """A command in this workspace."""
        return duecourse("-w", "ws", *arguments, cwd=self.home)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that must be in a file of the workspace."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def content(self) -> list[str]:
        """The whole book as SQL text."""
        return _dump(self.database)


def _dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        # Who held a lock last is no part of the book.
        return [line for line in connection.iterdump() if "_holder'" not in line]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the small book imported and swept."""
    home = tmp_path_factory.mktemp("template")
    write_book(home / "book")
    duecourse("init", "ws", cwd=home)
    rehearse(home / "ws")
    for arguments in (("import", "book", *_TIMES), ("sweep", "--at", SWEPT)):
        assert duecourse("-w", "ws", *arguments, cwd=home).code == 0
    return home


@pytest.fixture
def live(template: Path, tmp_path: Path) -> Live:
    """A copy of it."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Live(tmp_path)


def refused(said: Said, message: str, code: int = 1) -> None:
    """Nothing on standard output, exactly this on standard error."""
    assert said.failure == (code, "", message)


# -- files to import ----------------------------------------------------------------------------------------------------

_KINDS = (
    "`people.csv`, `endpoints.csv`, `loans.csv`, `parties.csv`, `instalments.csv`, `movements.csv`, `accounts.csv`, "
    "`facts.csv`, `consents.csv`, `holds.csv`, `notices.csv`, `contacts.csv`, `promises.csv`"
)
_WRONG_FILES: dict[str, tuple[str, bytes, str]] = {
    "a wrong key": (
        "movements.csv",
        b"ref,lone,kind,amount,effective_on\n",
        (
            "movements.csv:1: unknown column `lone`\n  mend: write `loan`\n"
            "movements.csv:1: column `loan` is missing\n  mend: add it: the loan's ref\n"
        ),
    ),
    "nothing in it": (
        "loans.csv",
        b"",
        "loans.csv: the file is empty\n  mend: write the header, and a row for each record\n",
    ),
    "not UTF-8": (
        "people.csv",
        FILES["people"].encode().replace(b"Sample", b"\xff\xfe"),
        "people.csv:2: not UTF-8 text\n  mend: save the file as UTF-8\n",
    ),
    "another encoding": (
        "people.csv",
        FILES["people"].encode("utf-16"),
        "people.csv: this is UTF-16 text, not CSV\n  mend: save it as CSV, UTF-8, separated by commas\n",
    ),
    "a workbook": (
        "people.csv",
        b"PK\x03\x04" + b"x" * 100,
        (
            "people.csv: this is a workbook or a zip archive, not CSV\n"
            "  mend: save it as CSV, UTF-8, separated by commas\n"
        ),
    ),
    "not Parquet": (
        "people.parquet",
        b"PAR1" + b"x" * 100 + b"PAR1",
        (
            "people.parquet: not readable as Parquet: Parquet file size is 108 bytes, "
            "smaller than the size reported by footer's (2021161080bytes)\n  mend: write the file anew\n"
        ),
    ),
    "an unknown name": (
        "debtors.csv",
        FILES["people"].encode(),
        f"`debtors.csv` is named after no kind of file\n  mend: name it after its kind: {_KINDS}\n",
    ),
}


@pytest.mark.parametrize("name", _WRONG_FILES)
def test_a_file_that_is_not_what_it_says(name: str, live: Live) -> None:
    """It is refused whole, with its place and its mend."""
    file, content, message = _WRONG_FILES[name]
    (live.home / file).write_bytes(content)
    before = live.content()
    refused(live.run("import", file, *_TIMES), message)
    assert live.content() == before


def test_a_file_that_is_not_there(live: Live) -> None:
    """Neither file nor folder."""
    refused(
        live.run("import", "loans.csv", *_TIMES),
        "cannot read `loans.csv`: no such file or directory\n  mend: name a CSV or Parquet file\n",
    )


def test_a_feed_that_does_not_say_how_old_it_is(live: Live) -> None:
    """Payments age by the hour, so their file must say of when it is."""
    write_book(live.home / "later")
    refused(
        live.run("import", "later/movements.csv", "--at", IMPORTED),
        "later/movements.csv: a file of movements has an age, and it is not told\n"
        "  mend: say when it was made, e.g. `--as-of 2026-03-02T06:00+08:00`\n",
    )


_WRONG_ROWS: dict[str, tuple[str, str, str]] = {
    "amount": ("movements", "ref,loan,kind,amount,effective_on\nX,CN-1,payment,12.345,2026-03-01\n",
               "2,amount,more decimals than the currency has,round it to whole minor units"),
    "date": ("movements", "ref,loan,kind,amount,effective_on\nX,CN-1,payment,12,01/03/2026\n",
             "2,effective_on,not a date,write it like 2026-03-31"),
    "key": ("movements", "ref,loan,kind,amount,effective_on\nX,CN-9,payment,12,2026-03-01\n",
            '2,loan,no loan of that ref is known,"correct it, or import `loans` first"'),
    "currency": ("loans", "ref,borrower,product,currency,principal,opened_on\nL,C1,personal,CNX,100,2026-01-01\n",
                 "2,currency,not an ISO 4217 currency,write it like CNY"),
    "phone": ("endpoints", "person,kind,value\nC1,mobile,12345\n",
              '2,value,not a phone number in international form,"write it as +, country and number"'),
    "address": ("endpoints", "person,kind,value\nC1,email,somewhere\n",
                "2,value,not a mail address,write it as name@domain"),
    "zone": ("endpoints", "person,kind,value,zone\nC1,mobile,+12125550103,Asia/Shanghia\n",
             "2,zone,not an IANA time zone,write one like Asia/Shanghai"),
}  # fmt: skip


@pytest.mark.parametrize("name", _WRONG_ROWS)
def test_a_row_that_cannot_be_true(name: str, live: Live) -> None:
    """It is listed beside the file with row, column, reason and mend, never with the value; exit 3, the book unchanged."""
    kind, text, reject = _WRONG_ROWS[name]
    (live.home / f"{kind}.csv").write_text(text, encoding="utf-8")
    before = _without_feeds(live.content())
    said = live.run("import", f"{kind}.csv", *_TIMES)
    assert (said.code, said.err) == (3, "")
    assert f"1 rejected rows of {kind} are in {kind}.csv.rejects.csv\n" in said.out
    rejects = (live.home / f"{kind}.csv.rejects.csv").read_text(encoding="utf-8")
    assert rejects == f"row,column,reason,mend\n{reject}\n"
    assert _without_feeds(live.content()) == before


def _without_feeds(dump: list[str]) -> list[str]:
    # That a file came, and how old it is, is news even where every row of it was rejected; the log says so too.
    told = tuple(f'INSERT INTO "{table}"' for table in ("feed", "deed", "log_queue"))
    return [line for line in dump if not line.startswith(told)]


# -- the lender's own files ---------------------------------------------------------------------------------------------

_Edit = Callable[[Live], None]


def _edit(name: str, old: str, new: str) -> _Edit:
    return lambda live: live.edit(name, old, new)


def _bytes(name: str) -> _Edit:
    def write(live: Live) -> None:
        (live.folder / name).write_bytes(b"zone: \xff\n")

    return write


_WRONG_SETTINGS: dict[str, tuple[_Edit, str]] = {
    "an unknown setting": (
        _edit("duecourse.yaml", "zone:", "zoen:"),
        "ws/duecourse.yaml:4:1: unknown setting `zoen`\n  mend: `duecourse config show` lists the settings there are\n",
    ),
    "a zone that is none": (
        _edit("duecourse.yaml", "Asia/Shanghai", "Asia/Shanghia"),
        (
            "ws/duecourse.yaml:4:1: setting `zone` cannot be used: `Asia/Shanghia` is no IANA time zone; "
            "one is `Asia/Shanghai`\n  mend: write a value of that kind\n"
        ),
    ),
    "no YAML": (
        _edit("duecourse.yaml", "zone: Asia/Shanghai", "zone: ["),
        (
            "ws/duecourse.yaml:6:6: not readable as YAML: expected ',' or ']', but got ':'\n"
            "  mend: mend the YAML here; text that holds `: `, `#` or starts with a sign wants quotes\n"
        ),
    ),
    "not UTF-8": (_bytes("duecourse.yaml"), "ws/duecourse.yaml: not UTF-8 text\n  mend: save the file as UTF-8\n"),
    "a database of another kind": (
        _edit("duecourse.yaml", "sqlite:///data/duecourse.db", "mysql://host/name"),
        (
            "`mysql` is no database Duecourse knows\n"
            "  mend: write `sqlite:///path/to/book.db` or `postgresql://user@host/name`\n"
        ),
    ),
    "a database server that is not there": (
        _edit("duecourse.yaml", "sqlite:///data/duecourse.db", "postgresql://nobody:hush@127.0.0.1:9/none"),
        (
            "`postgresql://nobody:***@127.0.0.1:9/none` is out of reach\n"
            "  mend: start the database server, or mend `database:`\n"
        ),
    ),
}


@pytest.mark.parametrize("name", _WRONG_SETTINGS)
def test_settings_that_do_not_hold_together(name: str, live: Live) -> None:
    """No command runs, and the message says which line to mend."""
    wrong, message = _WRONG_SETTINGS[name]
    wrong(live)
    refused(live.run("sweep", "--at", SENT), message)


_WRONG_RULES: dict[str, tuple[_Edit, str]] = {
    "an unknown fact": (
        _edit("rules/us_card.yaml", "dpd >= 30}", "days_past_duo >= 30}"),
        "rules/us_card.yaml:46:42: unknown fact `days_past_duo`\n  mend: write `dpd`\n",
    ),
    "a wrong key": (
        _edit("rules/us_card.yaml", "strategy:", "stratgy:"),
        (
            "rules/us_card.yaml:6:1: unknown key of strategy file `stratgy`\n  mend: write `strategy`\n"
            "rules/us_card.yaml:6:1: strategy file has no `strategy`\n  mend: write `strategy: personal-loan`\n"
        ),
    ),
    "a currency that is none": (
        _edit("rules/us_card.yaml", "currency: USD", "currency: USX"),
        ("rules/us_card.yaml:9:11: `USX` is no currency\n  mend: write its ISO 4217 code in capitals, such as `CNY`\n"),
    ),
    "a strategy that is not UTF-8": (
        _bytes("rules/us_card.yaml"),
        "rules/us_card.yaml: not UTF-8 text\n  mend: save the file as UTF-8\n",
    ),
    "a template that breaks off": (
        _edit("rules/templates/thanks.yaml", "{{", "{{ {{"),
        (
            "rules/templates/thanks.yaml:6:9: the text does not parse: expected token `:`, got `}`\n"
            "  mend: write `{{ loan.ref }}` or `{% if promise %}...{% endif %}`\n"
        ),
    ),
    "a template that threatens": (
        _edit("rules/templates/payday-reminder.yaml", "If this month is tight,", "Or else you lose your job."),
        (
            "rules/templates/payday-reminder.yaml:7:35: `en` says `lose your job`: `threat`, which house.default.conduct "
            "(House policy 14) forbids\n  mend: say it otherwise: No text threatens, insults, or says that others will be told\n"
        ),
    ),
    "a template that leaves somebody without a way to object": (
        _edit("rules/templates/plan-letter.yaml", "如对金额有异议，请先告知我们。", ""),
        (
            "rules/templates/plan-letter.yaml:17:1: `zh` does not say `objection_route` by letter, which cn.cba2026.letter "
            "(Credit-card Measures arts. 68, 69) requires\n  mend: say `异议` or `争议`, outside of any `{% if %}`\n"
        ),
    ),
    "a phrase that cannot be read": (
        _edit("packs/default.yaml", "arrest*, jail*", "arr*est, jail*"),
        (
            "packs/default.yaml:205:12: phrase `arr*est` cannot be read: `*` stands for the rest of a Latin word\n"
            "  mend: write it at the end of one: `threat*`\n"
        ),
    ),
    "a pack of an unknown kind": (
        _edit("packs/default.yaml", "kind: hours", "kind: ours"),
        "packs/default.yaml:14:11: unknown kind of limit `ours`\n  mend: write `hours`\n",
    ),
    "a queue without room": (
        _edit("config/queues.yaml", "capacity: ", "capacity: minus "),
        (
            "config/queues.yaml:4:26: a capacity is a number a day\n"
            "  mend: write `6000/day`, or leave it out for no limit\n"
        ),
    ),
}


@pytest.mark.parametrize("name", _WRONG_RULES)
def test_rules_that_mean_nothing(name: str, live: Live) -> None:
    """`rules check` answers no; a sweep does not run, with the same words, and writes nothing."""
    wrong, message = _WRONG_RULES[name]
    wrong(live)
    before = live.content()
    refused(live.run("rules", "check"), message, code=3)
    refused(live.run("sweep", "--at", SENT), message)
    assert live.content() == before


def test_every_problem_of_every_file_at_once(live: Live) -> None:
    """A fact, a template, a pack: one look tells all that is to be mended, as JSON where that was asked for."""
    live.edit("rules/us_card.yaml", "dpd >= 30}", "ddp >= 30}")
    live.edit("rules/cn_consumer_finance.yaml", "{sms: friendly-reminder}", "{sms: friendly-remainder}")
    live.edit("packs/default.yaml", "kind: hours", "kind: ours")
    said = duecourse("-w", "ws", "--json", "rules", "check", cwd=live.home)
    assert (said.code, said.out) == (3, "")
    told = [(one["file"], one["line"], one["what"], one["mend"]) for one in said.problems]
    assert told == [
        (
            "rules/cn_consumer_finance.yaml",
            238,
            "unknown sms template `friendly-remainder`",
            "write `friendly-reminder`",
        ),
        ("rules/us_card.yaml", 46, "unknown fact `ddp`", "write `dpd`"),
        ("packs/default.yaml", 14, "unknown kind of limit `ours`", "write `hours`"),
    ]


# -- the database -------------------------------------------------------------------------------------------------------


def test_no_database(live: Live) -> None:
    """The file is gone."""
    live.database.unlink()
    message = f"there is no database at `{live.database}`\n  mend: run `duecourse init DIR`, or mend `database:`\n"
    refused(live.run("log"), message)
    refused(live.run("db", "upgrade"), message)
    assert not live.database.exists()


@pytest.mark.parametrize("content", [b"hello\n" * 100, os.urandom(50_000)], ids=["text", "noise"])
def test_a_file_that_is_no_database(content: bytes, live: Live) -> None:
    """It is left as it is."""
    live.database.write_bytes(content)
    message = f"`{live.database}` is not a database\n  mend: mend `database:`, or restore it from the last backup\n"
    refused(live.run("sweep", "--at", SENT), message)
    assert live.database.read_bytes() == content


def test_somebody_elses_database(live: Live) -> None:
    """A database of another program, with Alembic versions of its own, is not touched."""
    live.database.unlink()
    with closing(sqlite3.connect(live.database)) as connection, connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('a1b2c3d4e5f6')")
    before = live.content()
    message = f"`{live.database}` is no Duecourse database\n  mend: run `duecourse init DIR`\n"
    refused(live.run("log"), message)
    refused(live.run("db", "upgrade"), message)
    assert live.content() == before


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0000", "`{db}` has schema 0, this Duecourse needs {head}\n  mend: run `duecourse db upgrade`\n"),
        (
            f"{HEAD + 1:04}",
            f"`{{db}}` has schema {HEAD + 1}, this Duecourse knows only {{head}}\n  mend: upgrade Duecourse\n",
        ),
    ],
    ids=["older", "newer"],
)
def test_a_database_of_another_version(version: str, message: str, live: Live) -> None:
    """Nothing is read or written by the wrong program."""
    with closing(sqlite3.connect(live.database)) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", (version,))
    before = live.content()
    for arguments in (("log",), ("sweep", "--at", SENT), ("import", "book", *_TIMES), ("dispatch", "--at", SENT)):
        refused(live.run(*arguments), message.format(db=live.database, head=HEAD))
    assert live.content() == before


@pytest.mark.slow
def test_a_locked_database(live: Live) -> None:
    """After half a minute's patience the command gives up, and says what to do."""
    before = live.content()
    with closing(sqlite3.connect(live.database, isolation_level=None)) as other:
        other.execute("begin immediate")
        message = f"`{live.database}` is locked by another writer\n  mend: let it finish, or stop it, and run the same again\n"
        refused(live.run("db", "environment", "--sending", "on"), message)
        other.execute("rollback")
    assert live.content() == before


def _many_people(live: Live) -> str:
    rows = "".join(f"P{n},Sample Client {n},en,US,US-CA,America/Los_Angeles\n" for n in range(6000))
    (live.home / "people.csv").write_text(f"ref,name,language,country,region,zones\n{rows}", encoding="utf-8")
    return "people.csv"


def test_a_limit_on_the_size_of_files(live: Live) -> None:
    """A write that the system refuses half-way leaves nothing behind."""
    file, before = _many_people(live), live.content()
    # Less than the write needs, wherever it goes: into the file itself, or into its log beside it.
    most = 40_000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    said = duecourse("-w", "ws", "import", file, "--at", IMPORTED, cwd=live.home, beforehand=limited)
    refused(said, f"`{live.database}` cannot be read or written\n  mend: check the disk and run the same again\n")
    assert live.content() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, four megabytes large, where this user may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this user may not make a file system; the limit on file sizes is tested above")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk(live: Live, small_disk: Path) -> None:
    """The import is undone whole; with room again the same command works."""
    file, before = _many_people(live), live.content()
    moved = small_disk / "duecourse.db"
    shutil.copyfile(live.database, moved)
    live.edit("duecourse.yaml", "sqlite:///data/duecourse.db", f"sqlite:///{moved}")
    assert live.run("log").code == 0
    filler = small_disk / "filler"
    room = shutil.disk_usage(small_disk).free - 150_000
    filler.write_bytes(b"\0" * room)
    message = f"no room left for `{moved}`; nothing was changed\n  mend: free disk space and run the same again\n"
    refused(live.run("import", file, "--at", IMPORTED), message)
    filler.unlink()
    assert _dump(moved) == before
    done = live.run("import", file, "--at", IMPORTED)
    assert (done.code, done.err) == (0, "")


# -- the world ----------------------------------------------------------------------------------------------------------


def test_providers_that_nobody_answers_at(live: Live) -> None:
    """The messages wait, and the message says where to look."""
    nobody = _closed_port()
    live.edit("duecourse.yaml", '["+12125550101"]', '["+12125550101", u1@example.com]')
    with (live.folder / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write(
            f"mail: {{host: 127.0.0.1, port: {nobody}, from_address: care@lender.example, security: plain}}\n"
        )
    live.run("db", "environment", "--sending", "on")
    said = live.run("dispatch", "--at", "2026-03-02T09:30+08:00")
    assert (said.code, said.err) == (
        1,
        (
            "1 email contacts wait: the email provider cannot be reached\n"
            "  mend: check the network and `mail:` in duecourse.yaml; they are tried again\n"
        ),
    )
    rows = _select(live, "select status, error from contact where channel = 'email'")
    assert rows == [("planned", "unreachable")]


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _select(live: Live, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(live.database)) as connection:
        return connection.execute(query).fetchall()


# -- the command line ---------------------------------------------------------------------------------------------------

_WRONG_WORDS: dict[str, tuple[tuple[str, ...], str]] = {
    "no such loan": (
        ("decide", "CN-9"),
        "no loan `CN-9`\n  mend: write the reference it was imported with\n",
    ),
    "no such task": (
        ("tasks", "outcome", "7-7-7", "--agent", "ann", "--outcome", "no_answer"),
        "no task `7-7-7`\n  mend: `duecourse tasks list` shows what is waiting\n",
    ),
    "no such queue": (
        ("tasks", "next", "early", "--agent", "ann"),
        "unknown queue `early`\n  mend: write `card-early`\n",
    ),
    "no such pack": (("packs", "show", "cn.cba"), "no pack `cn.cba`\n  mend: `duecourse packs list` shows them\n"),
    "no such case file": (
        ("packs", "test", "nowhere.yaml"),
        "there is no file `nowhere.yaml`\n  mend: write its name as it is on the disk\n",
    ),
    "an instant that is none": (
        ("sweep", "--at", "tomorrow"),
        "`tomorrow` is no instant\n  mend: write one like `2026-03-02T09:00+08:00`\n",
    ),
    "an instant without a zone": (
        ("sweep", "--at", "2026-03-02T09:00"),
        "`2026-03-02T09:00` names no zone\n  mend: write `2026-03-02T09:00+08:00`, or `Z` for UTC\n",
    ),
    "an unknown kind": (
        ("import", "book", "--kind", "loons"),
        "unknown kind of file `loons`\n  mend: write `loans`\n",
    ),
}


@pytest.mark.parametrize("name", _WRONG_WORDS)
def test_words_that_name_nothing(name: str, live: Live) -> None:
    """One message, exit 1, and the book as it was."""
    arguments, message = _WRONG_WORDS[name]
    before = live.content()
    refused(live.run(*arguments), message)
    assert live.content() == before


def test_no_workspace_there(tmp_path: Path) -> None:
    """A folder without settings, or none at all."""
    message = "no duecourse.yaml in `nowhere`\n  mend: run `duecourse init DIR`, then `duecourse --workspace DIR ...`\n"
    refused(duecourse("-w", "nowhere", "sweep", cwd=tmp_path), message)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", encoding="utf-8")
    for folder in ("full", "full/mine.txt"):
        refused(duecourse("init", folder, cwd=tmp_path), f"`{folder}` is not an empty folder\n  mend: name a new one\n")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_errors_are_json_where_json_was_asked_for(live: Live) -> None:
    """One object a line on standard error, nothing on standard output."""
    said = duecourse("-w", "ws", "--json", "loan", "CN-9", cwd=live.home)
    assert (said.code, said.out) == (1, "")
    assert said.problems == [{"what": "no loan `CN-9`", "mend": "write the reference it was imported with"}]
