"""`dispatch`, `tasks`, `events` and `serve` from outside: what they say, and what they refuse, word for word."""

import json
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import col

from duecourse.jobs import Jobs
from duecourse.workspace import open_workspace
from engine.errors import RuleError, SettingsError
from store.budgets import spend
from store.db import Database
from store.tables import Contact, Endpoint, LogCheckpoint, Promise
from tests.conftest import Run
from tests.opening import open_database
from tests.outgoing import NOW, Silent, add, book, contact_of, counts, door_of, fed, go, plan, rows, set_setting

AT = NOW.isoformat()


@pytest.fixture
def opened(folder: Path) -> Database:
    """Its database."""
    return open_database(f"sqlite:///{folder / 'data' / 'duecourse.db'}")


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command, an hour after the instant of these tests, whatever the machine's own clock says."""
    monkeypatch.setattr("duecourse.reports.now", lambda: NOW + timedelta(hours=1))
    return run


def call(database: Database, **values: object) -> str:
    """A call of the shipped strategy that waits in its queue."""
    (loan,) = book(database)
    fed(database, NOW)
    return plan(database, loan, "call", status="sent", rule=None, queue="early", name="first-call", **values)


def reachable(database: Database, *tasks: str) -> None:
    """Switch sending on, and name whom these tasks are for on the allow list: this is no production."""
    set_setting(database, "sending", "on")
    ids = [contact_of(database, task).endpoint_id for task in tasks]
    values = [endpoint.value for endpoint in rows(database, Endpoint, col(Endpoint.id).in_(ids))]
    with (Path(database.place).parents[1] / "duecourse.yaml").open("a", encoding="utf-8") as file:
        file.write(f"allow_list: {json.dumps(values, ensure_ascii=False)}\n")


def test_without_a_workspace_every_command_says_so(run: Run, tmp_path: Path) -> None:
    """A folder without settings is named, with the way to make one."""
    for words in (["dispatch"], ["events"], ["serve"], ["tasks", "list"]):
        assert run(*words, workspace=tmp_path) == (
            1,
            "",
            f"no duecourse.yaml in `{tmp_path}`\n  mend: run `duecourse init DIR`, then `duecourse --workspace DIR ...`",
        )


def test_a_new_workspace_sends_nothing(run: Run, opened: Database) -> None:
    """Sending is off until somebody switches it on, and the message says how."""
    assert run("dispatch") == (1, "", "sending is off\n  mend: run `duecourse db environment --sending on`")
    assert run("--json", "dispatch")[2] == json.dumps(
        {"what": "sending is off", "mend": "run `duecourse db environment --sending on`"}
    )
    assert run("db", "environment", "--sending", "on")[:2] == (0, "environment: development, sending: on")
    assert run("dispatch") == (
        1,
        "",
        (
            "this database says it is `development`, so real people are not reached\n"
            "  mend: run `duecourse db environment production`, or name test addresses in `allow_list`"
        ),
    )
    assert run("db", "environment", "production")[:2] == (0, "environment: production, sending: on")
    assert run("dispatch") == (0, "nothing was due", "")
    plan(opened, book(opened)[0], not_before_at=NOW - timedelta(days=9999), expires_at=NOW + timedelta(days=9999))
    code, out, err = run("dispatch")
    assert (code, out) == (1, "nothing was due")
    assert err == "1 sms contacts are due, and no sms provider is set up\n  mend: write `sms:` in duecourse.yaml"


def test_production_knows_one_time(run: Run) -> None:
    """In production nobody is contacted at an hour that it is not; an instant has to be one, with its zone."""
    assert run("dispatch", "--at", "noon") == (
        1, "", "`noon` is no instant\n  mend: write one like `2026-03-02T09:00+08:00`",
    )  # fmt: skip
    run("db", "environment", "production", "--sending", "on")
    refusal = (1, "", "`--at` is for rehearsals, and this database says it is production\n  mend: leave `--at` out")
    assert run("dispatch", "--at", AT) == refusal
    assert run("tasks", "next", "letter", "--agent", "ann", "--at", AT) == refusal


def test_the_brake_is_let_go_by_a_person(run: Run, opened: Database) -> None:
    """While it is on dispatch refuses; `--release` lets go and sends."""
    run("db", "environment", "production", "--sending", "on")
    set_setting(opened, "brake", "9 contacts are planned for 10 loans, more than 25%, at 2026-11-24 04:00Z")
    assert run("dispatch") == (
        1,
        "",
        (
            "the brake is on: 9 contacts are planned for 10 loans, more than 25%, at 2026-11-24 04:00Z\n"
            "  mend: look at `duecourse sweep --plan`, then run `duecourse dispatch --release`"
        ),
    )
    assert run("dispatch", "--release") == (0, "nothing was due", "")


def test_status_shows_what_accounts_have_taken_of_their_day(run: Run, opened: Database) -> None:
    """For people in a line each, for programs as values; an account without a limit is shown as well."""
    midnight = NOW + timedelta(hours=12)
    with opened.write() as session:
        spend(session, "sms", {"freedonia": None, "twilio": 20_000}, 1234, now=NOW, until_at=midnight)
        spend(session, "recorded_call", {"twilio": 300}, 7, now=NOW, until_at=midnight)
    _, out, _ = run("status", "--at", AT)
    assert [" ".join(line.split()) for line in out.splitlines() if line.startswith("today ")] == [
        "today recorded call twilio 7 of 300",
        "today sms freedonia 1,234",
        "today sms twilio 1,234 of 20,000",
    ]
    _, out, _ = run("--json", "status", "--at", AT)
    until = json.loads(out)["spent_today"][2].pop("until_at")
    assert datetime.fromisoformat(until) == midnight
    assert [(one["lane"], one["account"], one["used"], one["per_day"]) for one in json.loads(out)["spent_today"]] == [
        ("recorded_call", "twilio", 7, 300), ("sms", "freedonia", 1234, None), ("sms", "twilio", 1234, 20_000),
    ]  # fmt: skip


def test_an_agent_works_a_task(run: Run, opened: Database) -> None:
    """A task is listed without personal data, handed out with its script, and closed with a promise."""
    task = call(opened)
    code, out, _ = run("tasks", "list", "--at", AT)
    assert code == 0
    assert task in out
    assert "Somebody" not in out
    assert "needs" not in out
    for name in ("card-senior", "card-early"):
        with opened.write() as session:
            session.get_one(Contact, task).queue = name
        skilled = run("tasks", "list", "--at", AT)[1]
        assert ("needs" in skilled) == ("hardship" in skilled) == (name == "card-senior")
    queue = next(iter(open_workspace(Path(opened.place).parents[1], {}).queues))
    with opened.write() as session:
        session.get_one(Contact, task).queue = queue
    take = ("tasks", "next", queue, "--agent", "ann", "--at", AT)
    assert run(*take) == (1, "", "sending is off\n  mend: run `duecourse db environment --sending on`")
    reachable(opened, task)
    code, out, err = run(*take)
    assert (code, err) == (0, "")
    assert out.startswith(f"{task}  call  first-call\n\nSomebody Number")
    promise = ["tasks", "outcome", task, "--agent", "ann", "--at", AT, "--outcome", "promise"]
    assert run(*promise, "--amount", "55.50", "--due", "2026-11-26") == (0, f"{task}: promise", "")
    assert [(p.amount_minor, str(p.due_on)) for p in rows(opened, Promise)] == [(55_50, "2026-11-26")]
    assert run(*promise, "--amount", "55.50", "--due", "2026-11-26") == (
        1,
        "",
        (
            f"task `{task}` is delivered already: conversation\n"
            "  mend: an outcome is reported once; look at `duecourse loan` for what was said"
        ),
    )
    code, out, _ = run("--json", "events", "--at", AT)
    assert (code, json.loads(out)["events"]) == (0, 1)


def test_wrong_words_are_named(run: Run, opened: Database) -> None:
    """Every mistake on the command line has one message with its mend, and nothing is written."""
    task = call(opened)
    outcome = ["tasks", "outcome", task, "--agent", "ann", "--at", AT, "--outcome"]
    for words, said in (
        (["tasks", "next", "nowhere", "--agent", "ann"], "unknown queue `nowhere`\n  mend: `config/queues.yaml` lists the queues there are"),
        (["tasks", "outcome", "c-0", "--agent", "ann", "--outcome", "busy"], "no task `c-0`\n  mend: `duecourse tasks list` shows what is waiting"),
        ([*outcome, "bussy"], "unknown call outcome `bussy`\n  mend: write `busy`"),
        ([*outcome, "promise", "--amount", "5"], "a promise needs its amount and day\n  mend: write `--amount 500 --due 2026-03-09`"),
        ([*outcome, "promise", "--amount", "five", "--due", "2026-11-26"], "`five` is no amount\n  mend: write it like `1200.50`"),
        ([*outcome, "promise", "--amount", "Infinity", "--due", "2026-11-26"], "`Infinity` is no amount\n  mend: write it like `1200.50`"),
        ([*outcome, "promise", "--amount", "5.555", "--due", "2026-11-26"], "5.555 has more decimals than CNY has\n  mend: write at most 2 decimals"),
        ([*outcome, "promise", "--amount", "5", "--due", "friday"], "`friday` is no day\n  mend: write it like `2026-03-09`"),
        (
            ["tasks", "outcome", task, "--agent", "ann", "--at", "2199-01-01T00:00Z", "--outcome", "busy"],
            "`2199-01-01T00:00Z` has not come yet\n  mend: write when it happened, or leave `--at` out",
        ),
    ):  # fmt: skip
        assert run(*words) == (1, "", said)
    assert contact_of(opened, task).status == "sent"
    assert rows(opened, Promise) == []


def test_a_broken_workspace_does_not_start_and_a_mended_one_runs(run: Run, folder: Path, opened: Database) -> None:
    """An edit that does not mean anything refuses every job with its place; mended, the next run uses it."""
    jobs = Jobs(folder, lambda: NOW)
    jobs.run("events", lambda: False)
    rules = sorted((folder / "rules").glob("*.yaml"))
    file = next(path for path in rules if not path.name.endswith(("facts.yaml", ".test.yaml")))
    good = file.read_text(encoding="utf-8")
    file.write_text(good + "\nsurprise: 1\n", encoding="utf-8")
    with pytest.raises(RuleError) as caught:
        jobs.run("events", lambda: False)
    assert "unknown key of strategy file `surprise`" in str(caught.value)
    code, out, err = run("serve")
    assert (code, out) == (1, "")
    assert "unknown key of strategy file `surprise`" in err
    file.write_text(good, encoding="utf-8")
    jobs.run("events", lambda: False)
    jobs.close()


def test_jobs_keep_their_works_until_a_file_changes(folder: Path) -> None:
    """A matcher costs memory that is never given back, so a job's works are made anew only after an edit."""
    jobs = Jobs(folder, lambda: NOW)
    jobs.run("events", lambda: False)
    first = jobs._open["events"][1]
    jobs.run("events", lambda: False)
    assert jobs._open["events"][1] is first
    (folder / "rules" / "facts.yaml").touch()
    jobs.run("events", lambda: False)
    assert jobs._open["events"][1] is first
    with (folder / "rules" / "facts.yaml").open("a", encoding="utf-8") as file:
        file.write("# an edit\n")
    jobs.run("events", lambda: False)
    assert jobs._open["events"][1] is not first
    jobs.close()


def test_every_job_runs_in_a_new_workspace(folder: Path) -> None:
    """Promises, sweep and events run on an empty book; dispatch refuses, because sending is off."""
    jobs = Jobs(folder, lambda: NOW)
    for name in ("promises", "sweep", "events"):
        jobs.run(name, lambda: False)
    with pytest.raises(SettingsError) as caught:
        jobs.run("dispatch", lambda: False)
    assert str(caught.value).startswith("sending is off")
    jobs.close()


def test_a_witness_that_takes_nothing_is_told_of(run: Run, folder: Path, opened: Database) -> None:
    """The log is signed all the same, and the job says who did not take the checkpoint: as a refused run, not in silence."""
    with (folder / "duecourse.yaml").open("a", encoding="utf-8") as file:
        file.write("audit: {witnesses: [{url: 'http://127.0.0.1:9/'}]}\n")
    assert run("audit", "keygen", "--name", "lender.example", "--at", NOW.isoformat())[0] == 0
    jobs = Jobs(folder, lambda: NOW)
    jobs.run("sweep", lambda: False)
    with pytest.raises(SettingsError, match="did not take checkpoint 1"):
        jobs.run("log", lambda: False)
    jobs.close()
    assert len(rows(opened, LogCheckpoint)) == 1


def test_serve_acts_and_stops_when_told(folder: Path) -> None:
    """The real command in a real workspace: it says what it does, logs JSON lines, and exits 0 at SIGTERM."""
    command = [sys.executable, "-c", "from duecourse.cli import main; main()", "-w", str(folder), "serve"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    first = child.stderr.readline()
    assert first.startswith("acting: ")
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0
    lines = err.splitlines()
    assert "stopped; whatever was running has ended" in lines
    assert all(json.loads(line)["level"] for line in lines if line.startswith("{"))


def test_a_locked_database_is_said_and_loses_nothing(opened: Database) -> None:
    """While another writer holds the lock, dispatch and tasks refuse in one message; afterwards all is as it was."""
    from engine.errors import StoreError

    text = plan(opened, book(opened)[0])
    impatient = open_database(f"sqlite:///{opened.place}", busy_timeout_s=0.05)
    adapter = Silent()
    with opened.write(), pytest.raises(StoreError) as caught:
        go(door_of(impatient, {"sms": adapter}))
    assert str(caught.value) == (
        f"`{opened.place}` is locked by another writer\n  mend: let it finish, or stop it, and run the same again"
    )
    assert adapter.seen == []
    assert contact_of(opened, text).status == "planned"
    assert counts(go(door_of(impatient, {"sms": adapter}))) == {"sent": 1}
    add(opened)
