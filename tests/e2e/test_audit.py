"""`duecourse audit` from outside: keys, signing, verifying, proving to a stranger, witnesses that are really there."""

import email
import re
import resource
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from compliance.checkpoint import PublicKey, Signer, new_key, read_keys
from tests.e2e.command import Said, duecourse

VERIFIER = Path(__file__).resolve().parents[2] / "docs" / "verify_proof.py"
_DAY = "2026-03-02"


class Lender:
    """A workspace with a swept book."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> Said:
        """One command in it."""
        return duecourse("-w", self.folder, *arguments, cwd=self.folder.parent, env=env)

    def audit(self, *arguments: str) -> Said:
        """One audit command, which must go well."""
        said = self.run("audit", *arguments)
        assert (said.code, said.err) == (0, ""), said
        return said

    def sql(self, *statements: str) -> None:
        """What somebody does who owns the file."""
        with closing(sqlite3.connect(self.folder / "data" / "duecourse.db")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def check(self, *arguments: str | Path) -> tuple[int, str]:
        """The verifier for strangers, as a stranger runs it."""
        done = subprocess.run(
            [sys.executable, "-I", str(VERIFIER), *map(str, arguments)],
            cwd=self.folder.parent, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Lender:
    """The demo's book, imported and swept; its log is sequenced, and nobody signs yet."""
    home = tmp_path_factory.mktemp("audit")
    book = Path(__file__).resolve().parents[2] / "duecourse" / "demo" / "book"
    assert duecourse("init", "lender", cwd=home).code == 0
    made = Lender(home / "lender")
    said = made.run("import", str(book), "--as-of", f"{_DAY}T00:00Z", "--at", f"{_DAY}T00:10Z")
    assert said.code == 0, said
    assert made.run("sweep", "--at", f"{_DAY}T00:30Z").code == 0
    return made


def test_a_lenders_way_from_a_key_to_a_proof(lender: Lender) -> None:
    """Keygen, checkpoint, verify, show, prove, check; then a wrong in the database, and all of them say so."""
    said = lender.run("audit", "verify")
    assert (said.code, said.err) == (4, "")
    assert "cannot tell: no checkpoint vouches for any of it\n" in said.out
    said = lender.run("audit", "checkpoint", "--at", f"{_DAY}T00:40Z")
    assert (said.code, said.err) == (
        1,
        "nobody signs the log\n  mend: run `duecourse audit keygen`, or set DUECOURSE_AUDIT__KEY\n",
    )
    lender.audit("keygen", "--name", "lender.example/log", "--at", f"{_DAY}T00:00Z")
    assert (lender.folder / "secrets" / "log.key").stat().st_mode & 0o777 == 0o600
    said = lender.run("audit", "keygen", "--at", f"{_DAY}T00:00Z")
    assert said.code == 1
    assert "the log has a key already, in `config/log-keys.txt`" in said.err
    said = lender.audit("checkpoint", "--at", f"{_DAY}T01:00Z")
    assert re.search(r"checkpoint 1:\n\nlender.example/log\n[0-9]+\n", said.out)
    said = lender.audit("verify")
    assert said.out.endswith("the log stands as it was signed\n")
    state = lender.run("--json", "audit", "show").answer
    assert state["waiting"] == 0
    assert state["checkpoints"][0]["size"] == state["size"]
    (name,) = re.findall(r"^(decision:\S+),", lender.audit("show", "--loan", "CN-20").out, re.MULTILINE)
    (entry,) = lender.run("--json", "audit", "show", name).answer
    assert (entry["entry"], entry["fields"]["outcome"], entry["fields"]["covered_by"]) == (name, "contact", None)
    lender.audit("prove", "--loan", "CN-20", "--out", "cn-20.proof")
    keys = "lender/config/log-keys.txt"
    code, out = lender.check("cn-20.proof", "--keys", keys)
    assert code == 0
    assert re.search(rf"{name.partition(':')[0]}, position {entry['position']}\n", out)
    assert "stand in the log of" in out.splitlines()[-1]
    run, loan = name.removeprefix("decision:").split("-")
    lender.sql(
        "drop trigger decision_unchanged",
        f"update decision set outcome = 'nothing' where run_id = {run} and loan_id = {loan}",
    )
    try:
        said = lender.run("audit", "verify")
        assert (said.code, said.err) == (3, "")
        assert f"altered: `{name}`, position {entry['position']:,}\n" in said.out
        said = lender.run("audit", "prove", name)
        assert (said.code, said.out) == (3, "")
        assert f"`{name}` is not what was signed" in said.err
        assert lender.check("cn-20.proof", "--keys", keys)[0] == 0
    finally:
        lender.sql(f"update decision set outcome = 'contact' where run_id = {run} and loan_id = {loan}")
    assert lender.run("audit", "verify").code == 0


def test_what_is_withheld_is_told_with_a_deed(lender: Lender, tmp_path: Path) -> None:
    """`prove --open` asks who and what for, and leaves a deed about each person whose words it tells; without it, none."""
    if not (lender.folder / "config" / "log-keys.txt").exists():
        lender.audit("keygen", "--at", f"{_DAY}T00:00Z")
    lender.audit("checkpoint", "--at", f"{_DAY}T01:45Z")
    out = tmp_path / "open.proof"
    lender.audit("prove", "--loan", "CN-20", "--out", str(out))
    before = lender.run("--json", "privacy", "deeds").answer
    out.unlink()
    refused = lender.run("audit", "prove", "--loan", "CN-20", "--open", "--out", str(out))
    assert refused.failure == (
        1, "", "it is not said who hands it out, or what for\n  mend: write `--by NAME --because TEXT`\n"
    )  # fmt: skip
    assert not out.exists()
    assert lender.run("--json", "privacy", "deeds").answer == before
    who = ("--by", "li", "--because", "case 7", "--at", f"{_DAY}T01:50Z")
    lender.audit("prove", "--loan", "CN-20", "--open", "--out", str(out), *who)
    assert "\nopen " in out.read_text(encoding="utf-8")
    new = [one for one in lender.run("--json", "privacy", "deeds").answer if one not in before]
    assert new
    assert {(one["kind"], one["by"], one["because"]) for one in new} == {("evidence", "li", "case 7")}


def test_a_stranger_gets_a_clear_answer_to_any_file(lender: Lender, tmp_path: Path) -> None:
    """Cut short, out of order, foreign, newer, of another key, not there: 3 or 4 and a sentence, never a traceback."""
    if not (lender.folder / "config" / "log-keys.txt").exists():
        lender.audit("keygen", "--at", f"{_DAY}T00:00Z")
    lender.audit("checkpoint", "--at", f"{_DAY}T01:30Z")
    good = lender.audit("prove", "--loan", "CN-20").out
    keys, file = lender.folder / "config" / "log-keys.txt", tmp_path / "p"

    def answer(text: str | bytes, by: Path = keys) -> tuple[int, str]:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return lender.check(file, "--keys", by)

    assert answer(good)[0] == 0
    assert answer(good[: len(good) // 2]) == (3, "no: its checkpoint is missing: the file is cut short\n")
    assert answer(good[:-20])[0] == 3
    lines = good.split("\n")
    assert answer("\n".join([*lines[:2], *lines[3:5], lines[2], *lines[5:]]))[0] == 3
    assert answer(good.replace("duecourse-proof/1", "duecourse-proof/2"))[0] == 4
    assert answer("<html></html>") == answer("") == (4, "cannot tell: this is no proof file\n")
    assert answer(b"\xff\x00\xfe") == (4, "cannot tell: the proof is no text\n")
    other = tmp_path / "other.txt"
    other.write_text("", encoding="utf-8")
    assert answer(good, other) == (4, "cannot tell: the file of keys holds none\n")
    other.write_text("nonsense\n", encoding="utf-8")
    assert answer(good, other)[0] == 4
    (mine,) = read_keys(keys.read_text(encoding="utf-8"), "keys")
    stranger = PublicKey(mine.name, Signer(new_key(mine.name)).public, mine.from_at)
    other.write_text(f"{stranger.line}\n", encoding="utf-8")
    code, out = answer(good, other)
    assert code == 3
    assert "is signed by nobody you trust" in out
    assert lender.check(tmp_path / "none", "--keys", keys)[0] == 4
    assert lender.check(tmp_path, "--keys", keys)[0] == 4


class Http(BaseHTTPRequestHandler):
    """Takes checkpoints, after refusing the first."""

    taken: list[str]
    refuse: int

    def do_POST(self) -> None:
        """One checkpoint."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answer = 503 if type(self).refuse else 204
        type(self).refuse = max(0, type(self).refuse - 1)
        if answer == 204:
            type(self).taken.append(body)
        self.send_response(answer)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Mails:
    """Takes mails."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - its name
        """One mail."""
        self.taken.append(envelope.content)
        return "250 OK"


@pytest.fixture
def http() -> Iterator[str]:
    """A witness over HTTP that refuses the first checkpoint."""
    Http.taken, Http.refuse = [], 1
    server = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/log"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mails() -> Iterator[tuple[Mails, int]]:
    """A mail server."""
    handler = Mails()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


def test_witnesses_get_what_was_signed_and_are_asked_again(tmp_path: Path, http: str, mails: tuple[Mails, int]) -> None:
    """A folder, a mail address and an endpoint hold the very text; one that refuses gets it next time, the others once."""
    assert duecourse("init", "lender", cwd=tmp_path).code == 0
    lender = Lender(tmp_path / "lender")
    with (lender.folder / "duecourse.yaml").open("a", encoding="utf-8") as file:
        file.write(
            f"mail: {{host: 127.0.0.1, port: {mails[1]}, security: plain, from_address: care@lender.example}}\n"
            f"audit: {{witnesses: [{{folder: ../elsewhere}}, {{mail: auditor@example.org}}, {{url: '{http}'}}]}}\n"
        )
    lender.audit("keygen", "--name", "lender.example/log", "--at", f"{_DAY}T00:00Z")
    said = lender.run("audit", "checkpoint", "--at", f"{_DAY}T01:00Z")
    assert said.code == 1
    assert f"witness `{http}` did not take checkpoint 1: it answered 503" in said.err
    note = said.out.partition("checkpoint 1:\n\n")[2]
    lender.audit("checkpoint", "--at", f"{_DAY}T01:05Z")
    kept = tmp_path / "elsewhere" / "checkpoint-1.txt"
    assert kept.read_text(encoding="utf-8") == note == Http.taken[0]
    assert len(Http.taken) == len(mails[0].taken) == 1
    mail = email.message_from_bytes(mails[0].taken[0], policy=policy.default)
    assert mail["Subject"] == "Checkpoint 1 of the log"
    assert mail.get_content() == note
    assert lender.audit("verify").out.splitlines()[1:] == [
        "witness auditor@example.org: it cannot be asked about checkpoint 1",
        f"witness {http}: it cannot be asked about checkpoint 1",
        "the log stands as it was signed",
    ]
    assert lender.run("audit", "verify", "--checkpoint", str(kept)).code == 0
    kept.unlink()
    said = lender.run("audit", "verify")
    assert said.code == 3
    assert "missing: checkpoint 1 at witness ../elsewhere, which took it, as its handover says\n" in said.out
    kept.write_text(note.replace("\n1\n", "\n2\n"), encoding="utf-8")
    said = lender.run("audit", "verify")
    assert said.code == 3
    assert (
        "not vouched for: witness ../elsewhere, checkpoint-1.txt: its signature does not fit what it says" in said.out
    )


def test_a_checkpoint_of_a_wrong_future_has_a_way_out(tmp_path: Path) -> None:
    """Signed by a clock that stood years ahead: refused until somebody says so, then told by every verification, never found."""
    assert duecourse("init", "lender", cwd=tmp_path).code == 0
    lender = Lender(tmp_path / "lender")
    lender.audit("keygen", "--name", "lender.example/log", "--at", f"{_DAY}T00:00Z")
    lender.audit("checkpoint", "--at", "2031-07-01T12:00Z")
    lender.audit("keygen", "--rotate", "--at", "2031-07-01T12:00Z")
    said = lender.run("audit", "checkpoint", "--at", f"{_DAY}T01:00Z")
    assert "is none that `config/log-keys.txt` says is in use at 2026-03-02 01:00Z" in said.err
    keys = lender.folder / "config" / "log-keys.txt"
    keys.write_text(keys.read_text(encoding="utf-8").replace("2031-07-01T12:00", f"{_DAY}T00:30"), encoding="utf-8")
    said = lender.run("audit", "checkpoint", "--at", f"{_DAY}T01:00Z")
    assert "the clock went backwards" in said.err
    assert "`duecourse audit checkpoint --despite-clock` says so" in said.err
    out = ("audit", "checkpoint", "--despite-clock", "--at", f"{_DAY}T01:00Z")
    assert "it is not said who sets a checkpoint's clock aside, or why" in lender.run(*out).err
    assert lender.run("audit", "checkpoint", "--by", "mei").code == 2
    said = lender.run(*out, "--by", "mei", "--because", "the board's battery was empty")
    assert (said.code, said.err) == (0, "")
    assert lender.run("--json", "audit", "verify").answer["told"] == [
        "checkpoint 1: its clock stood ahead, at 2031-07-01 12:00Z, and was set aside by `job_act:1`"
    ]
    assert lender.audit("verify").out.endswith("the log stands as it was signed\n")
    assert "withheld" in lender.audit("show", "job_act:1").out
    said = lender.run(*out, "--by", "mei", "--because", "again")
    assert (said.code, "leave out `--despite-clock`" in said.err) == (1, True)


def test_a_key_from_the_environment_and_its_successor(tmp_path: Path) -> None:
    """The private key can be handed in; after rotation both keys' checkpoints stand, and growth between them is proved."""
    assert duecourse("init", "lender", cwd=tmp_path).code == 0
    lender = Lender(tmp_path / "lender")
    lender.audit("keygen", "--name", "lender.example/log", "--at", f"{_DAY}T00:00Z")
    key_file = lender.folder / "secrets" / "log.key"
    key = key_file.read_text(encoding="utf-8").strip()
    key_file.unlink()
    said = lender.run("audit", "checkpoint", "--at", f"{_DAY}T01:00Z", env={"DUECOURSE_AUDIT__KEY": key})
    assert said.code == 0
    (tmp_path / "old.txt").write_text(said.out.partition("checkpoint 1:\n\n")[2], encoding="utf-8")
    lender.audit("keygen", "--rotate", "--at", f"{_DAY}T02:00Z")
    assert "checkpoint 2" in lender.audit("checkpoint", "--at", f"{_DAY}T03:00Z").out
    assert lender.audit("verify").out.endswith("the log stands as it was signed\n")
    lender.audit("prove", "--since", "1", "--out", "grown.proof")
    keys = lender.folder / "config" / "log-keys.txt"
    code, out = lender.check("grown.proof", "--keys", keys, "--since", "old.txt")
    assert (code, out.splitlines()[0]) == (0, "the log only grew since 1 entries, signed 2026-03-02 01:00Z")
    assert lender.check("grown.proof", "--keys", keys)[0] == 4
    said = lender.run("audit", "checkpoint", "--at", f"{_DAY}T04:00Z", env={"DUECOURSE_AUDIT__KEY": "PRIVATE+nonsense"})
    assert (said.code, "nonsense" in said.err) == (1, False)
    said = lender.run("audit", "checkpoint", "--at", f"{_DAY}T02:30Z")
    assert (said.code, said.out) == (1, "")
    assert "the clock went backwards" in said.err


def test_no_key_signs_that_the_public_keys_do_not_vouch_for(tmp_path: Path) -> None:
    """Another key, one that was replaced, one made for a time before what is signed: refused, and the log stays good."""
    assert duecourse("init", "lender", cwd=tmp_path).code == 0
    lender = Lender(tmp_path / "lender")
    lender.audit("keygen", "--name", "lender.example/log", "--at", f"{_DAY}T00:00Z")
    key_file = lender.folder / "secrets" / "log.key"
    first = key_file.read_text(encoding="utf-8").strip()
    lender.audit("checkpoint", "--at", f"{_DAY}T02:00Z")
    in_environment = {"DUECOURSE_AUDIT__KEY": first}
    refused = [
        lender.run("audit", "keygen", "--rotate", "--at", f"{_DAY}T03:00Z", env=in_environment),
        lender.run("audit", "keygen", "--rotate", "--at", f"{_DAY}T01:00Z"),
    ]
    lender.audit("keygen", "--rotate", "--at", f"{_DAY}T03:00Z")
    refused.append(lender.run("audit", "checkpoint", "--at", f"{_DAY}T04:00Z", env=in_environment))
    key_file.write_text(new_key("lender.example/log"), encoding="utf-8")
    refused.append(lender.run("audit", "checkpoint", "--at", f"{_DAY}T05:00Z"))
    assert [said.code for said in refused] == [1] * 4
    for said, words in zip(
        refused, ("goes before", "newest checkpoint", "`audit.key` is none", "log.key` is none"), strict=True
    ):
        assert words in said.err
    assert lender.audit("verify").out.endswith("the log stands as it was signed\n")


def test_without_a_key_or_a_checkpoint_that_can_be_read_it_cannot_be_told(tmp_path: Path) -> None:
    """Missing or garbled keys, and a kept checkpoint that is not there or no text: 4; somebody else's key: 3; never 1 or a traceback."""
    assert duecourse("init", "lender", cwd=tmp_path).code == 0
    lender = Lender(tmp_path / "lender")
    lender.audit("keygen", "--name", "lender.example/log", "--at", f"{_DAY}T00:00Z")
    lender.audit("checkpoint", "--at", f"{_DAY}T01:00Z")
    (tmp_path / "blot").write_bytes(b"\xff")
    for path, why in ((tmp_path / "none", "there is no file"), (tmp_path / "blot", "not UTF-8 text")):
        said = lender.run("audit", "verify", "--checkpoint", str(path))
        assert (said.code, said.err) == (4, "")
        assert f"cannot tell: {path}: {why}" in said.out
    keys = lender.folder / "config" / "log-keys.txt"
    own = keys.read_text(encoding="utf-8")
    export = ("export", "--from", f"{_DAY}T00:00Z", "--to", f"{_DAY}T02:00Z", "--out", "made")
    asked = (("verify",), ("prove", "deed:1"), export)
    keys.unlink()
    said = [lender.run("audit", *arguments) for arguments in asked]
    assert [one.code for one in said] == [4, 4, 4], said
    for nonsense in (b"nonsense\n", b"\xff"):
        keys.write_bytes(nonsense)
        assert lender.run("audit", "verify").code == 4
    (mine,) = read_keys(own, "keys")
    stranger = PublicKey(mine.name, Signer(new_key(mine.name)).public, mine.from_at)
    keys.write_text(f"{stranger.line}\n", encoding="utf-8")
    assert [lender.run("audit", *arguments).code for arguments in asked] == [3, 3, 3]
    keys.write_text(own, encoding="utf-8")
    assert [lender.run("audit", *arguments).code for arguments in asked] == [0, 0, 0]


def test_decisions_are_derived_again_matched_and_made_good(lender: Lender) -> None:
    """Replay, match and makegood as an officer runs them: yes, no and cannot tell by exit code, in words and as JSON."""
    assert lender.audit("replay", "--from", f"{_DAY}T00:20Z").out.endswith(" equal, 0 different, 0 not derivable\n")
    one = lender.run("--json", "audit", "replay", "--loan", "CN-20").answer
    assert (one["decisions"], one["stage_changes"], one["equal"], one["found"]) == (1, 1, 2, [])
    nothing = "no decision fits\n  mend: `duecourse log` shows which there are\n"
    assert lender.run("audit", "replay", "--run", "999").failure == (1, "", nothing)
    assert lender.audit("match", "--at", f"{_DAY}T02:00Z").out == "everything matches\n"
    good = lender.audit("makegood", "--since", f"{_DAY}T00:00Z", "--at", f"{_DAY}T02:00Z").out
    assert good.endswith(" with what is known by now: 0 things amiss\n")
    assert "is no instant" in lender.run("audit", "makegood", "--since", "yesterday").err
    kept = lender.folder / "data" / "duecourse.db"
    whole = kept.read_bytes()
    triggers = ("decision_unchanged", "snapshot_kept")
    drop = [f"drop trigger if exists {name}" for name in triggers]
    try:
        lender.sql(*drop, "update decision set rule = 'made-up' where outcome = 'contact'")
        said = lender.run("audit", "replay")
        assert said.code == 3
        assert "logged: made-up" in said.out
        assert lender.run("--json", "audit", "replay").answer["found"][0]["tree"]["label"] == "the decision"
        lender.sql("delete from snapshot")
        said = lender.run("audit", "replay")
        assert (said.code, said.err) == (4, "")
        assert "not derivable: " in said.out
    finally:
        kept.write_bytes(whole)


def test_a_month_is_reviewed_and_a_day_exported_by_command(lender: Lender, tmp_path: Path) -> None:
    """A contact at night that no gate saw: the review names it and ends with 3. The export of the day is good to a stranger."""
    at = "--at", "2026-05-01T00:00Z"
    said = lender.run("audit", "review", "--month", "2026-3", *at)
    assert (said.code, said.err) == (1, "`2026-3` is no month\n  mend: write one like `2026-03`\n")
    for month in ("9999-12", "0001-01"):
        said = lender.run("audit", "review", "--month", month, *at)
        assert (said.code, said.err) == (1, f"`{month}` is no month\n  mend: write one like `2026-03`\n")
    quiet = lender.run("--json", "audit", "review", "--month", "2026-03", "--out", str(tmp_path / "quiet"), *at)
    assert (quiet.code, quiet.answer["findings"]) == (0, 0)
    night = 1_773_000_000_000_000  # 2026-03-08T20:00Z, four in the morning in Shanghai
    columns = "id, loan_id, person_id, role, channel, direction, purpose, name, stage_entry, slot, period_json, status, outcome, attempts, why, misdirected, cost_minor, by"  # fmt: skip
    lender.sql(
        f"insert into contact ({columns}, planned_at, not_before_at, expires_at, at) select 'night', l.id, p.id, 'borrower', 'call', 'out',"
        f" 'collect', '', 0, 'night', '{{}}', 'delivered', 'conversation', 1, '', 0, 0, 'lender', {night}, {night}, {night}, {night}"
        " from loan l join person p on p.id = l.borrower_id where l.ref = 'CN-20'",
        f"insert into contact_status (contact_id, status, at, why, detail_json) values ('night', 'delivered', {night}, '', '{{}}')",
    )
    found = lender.run("--json", "audit", "review", "--month", "2026-03", "--out", str(tmp_path / "found"), *at)
    assert (found.code, found.answer["findings"]) == (3, 3)
    listed = (tmp_path / "found" / "entries" / "breach-hours-house.default.hours.csv").read_text(encoding="utf-8")
    assert re.search(r",night,CN-20,.*at Mon 2026-03-09 04:00 in Asia/Shanghai", listed)
    said = lender.run("audit", "review", "--month", "2026-03", "--out", str(tmp_path / "found"), *at)
    assert said.code == 1
    assert "is there already\n  mend: name a folder that is not there yet" in said.err
    if not (lender.folder / "config" / "log-keys.txt").exists():
        lender.audit("keygen", "--at", f"{_DAY}T00:00Z")
    lender.audit("checkpoint", "--at", "2026-05-01T00:00Z")
    span = "--from", f"{_DAY}T00:00Z", "--to", "2026-03-10T00:00Z"
    said = lender.run("audit", "export", "--from", span[3], "--to", span[1], "--out", "x")
    assert (said.code, said.err) == (1, "the period ends before it begins\n  mend: write `--from` before `--to`\n")
    made = lender.run("--json", "audit", "export", *span, "--out", str(tmp_path / "export"), *at)
    assert made.code == 0, made
    code, out = lender.check(tmp_path / "export", "--keys", lender.folder / "config" / "log-keys.txt")
    assert code == 0
    assert f"positions {made.answer['from']} to {made.answer['to'] - 1} of the log" in out


def test_what_has_no_room_is_not_half_written(lender: Lender, tmp_path: Path) -> None:
    """A review and an export for which there is no room end with what to free, and leave no file of theirs anywhere."""
    if not (lender.folder / "config" / "log-keys.txt").exists():
        lender.audit("keygen", "--at", f"{_DAY}T00:00Z")
    lender.audit("checkpoint", "--at", "2026-05-01T00:00Z")
    scratch, made = tmp_path / "scratch", tmp_path / "made"
    scratch.mkdir()
    deeds = "select count(*) from deed"
    with closing(sqlite3.connect(lender.folder / "data" / "duecourse.db")) as connection:
        before = connection.execute(deeds).fetchall()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    def without_room(*arguments: str) -> Said:
        return duecourse(
            "-w", lender.folder, "audit", *arguments, "--out", "made/here", "--at", "2026-04-02T00:00Z", cwd=tmp_path,
            env={"TMPDIR": str(scratch)}, beforehand=limited,
        )  # fmt: skip

    reviewed = without_room("review", "--month", "2026-03")
    assert reviewed.code == 1
    assert reviewed.err.startswith(
        f"the verification cannot be worked out in `{scratch}`, and nothing of it was written: "
    )
    assert reviewed.err.endswith(
        "File too large\n  mend: free disk space there, or set TMPDIR to a folder with room, and run the same again\n"
    )
    exported = without_room("export", "--from", "2026-03-01T00:00Z", "--to", "2026-04-01T00:00Z")
    mend = "  mend: name a folder that is not there yet, where you may write and there is room\n"
    assert exported.failure == (1, "", f"cannot write `made/here`: file too large\n{mend}")
    assert [*made.iterdir(), *scratch.iterdir()] == []
    with closing(sqlite3.connect(lender.folder / "data" / "duecourse.db")) as connection:
        assert connection.execute(deeds).fetchall() == before
