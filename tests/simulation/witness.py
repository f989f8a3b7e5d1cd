"""
The demo, run under witness: each stand-in asks the database, the moment it takes a message, what was committed about it.

The only module here that knows the product; the checks read what it leaves behind.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aiosmtpd.smtp import SMTP, Envelope, Session

from channels.sms import SmsSettings
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import Accepted, FakeProvider, Fault
from duecourse.audit import make_key, public_keys
from duecourse.demo import run
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from store.tables import Setting
from tests.simulation.records import Handed
from workflows.importing import import_folder
from workflows.log.verify import verify

Faults = Sequence[tuple[float, Fault]]


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run: its workspace, its database, and everything the stand-ins took."""

    workspace: Path
    database: Path
    handed: Sequence[Handed]


def live_through(folder: Path, *, days: int, seed: int, faults: Faults | None = None) -> Finished:
    """
    Run the demo in a folder of its own.

    Args:
        faults: how often which fault strikes at the text provider, in place of the demo's own.
    """
    database = folder / "data" / "duecourse.db"
    handed: list[Handed] = []

    def committed(contact: str) -> str | None:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as reading:
            row = reading.execute("select status from contact where id = ?", (contact,)).fetchone()
        reading.close()
        return row[0] if row else None

    class Provider(FakeProvider):
        def _take(self, form: Mapping[str, str]) -> Accepted:
            accepted = super()._take(form)
            handed.append(Handed(accepted.contact, "sms", accepted.to, committed(accepted.contact), accepted.body))
            return accepted

    class Mails(FakeMailServer):
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
            before = len(self.taken)
            answer = await super().handle_DATA(server, session, envelope)
            handed.extend(
                Handed(one.contact, "email", one.to, committed(one.contact), _words(one.mail))
                for one in self.taken[before:]
            )
            return answer

    prepare = run.prepare

    def signing(*at: Any) -> None:
        prepare(*at)
        workspace = open_workspace(folder, {})
        with closing(workspace.open_database()) as opened:
            make_key(workspace, opened, name="demo/log", rotate=False, now=datetime.combine(run.START, time(0), UTC))

    patches: dict[str, Any] = {
        "prepare": signing,
        "FakeProvider": Provider,
        "FakeMailServer": Mails,
        # The provider tells us which contact a message was for by the callback it is asked to make.
        "SmsSettings": partial(SmsSettings, callback_url="http://127.0.0.1/receipts"),
    }
    if faults is not None:
        patches["_FAULTS"] = faults
    with patch.multiple(run, **patches):
        run.run_demo(folder, days=days, seed=seed, tell=_silent)
    return Finished(folder, database, tuple(handed))


def against_the_log(finished: Finished) -> list[str]:
    """What verification finds or cannot tell, clocks taken for real: every sweep's checkpoint stands between entries."""
    workspace = open_workspace(finished.workspace, {})
    with closing(workspace.open_database()) as opened:
        with opened.write() as session:
            session.merge(Setting(name="environment", value="production"))
        found = verify(opened, public_keys(workspace))
    assert found.signed > 0
    return [*map(str, found.findings), *found.unknown, *found.told]


def first_sweep(folder: Path, book: Path) -> Path:
    """Import a book as the demo does, place its loans, decide once; nobody pays or answers. Returns the database."""
    run.prepare(folder)
    workspace = open_workspace(folder, {})
    works = Works(workspace, workspace.open_database())
    born = datetime.combine(run.START, time(0), UTC)
    import_folder(works.database, book, as_of=born - timedelta(hours=1), now=born, catalogue=workspace.catalogue)
    works.sweep(born, _silent)
    works.close()
    return folder / "data" / "duecourse.db"


def _words(mail: EmailMessage) -> str:
    """Subject and every text of a mail."""
    parts = [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
    return "\n".join([str(mail["Subject"]), *parts])


def _silent(done: int, total: int) -> None:
    del done, total
