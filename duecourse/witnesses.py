"""Witnesses of the log: a folder, a mail address, an HTTP endpoint, each of which keeps checkpoints where we cannot reach them."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from channels.mail_settings import MailSettings
from config.settings import Witness as WitnessSettings
from duecourse.providers import mail_settings
from duecourse.unwaited import run
from duecourse.workspace import Workspace
from engine.errors import Problem, SettingsError
from workflows.log.checkpoint import Witness
from workflows.log.witnessed import Asked, Note

_SECONDS_MAX: Final = 20
_FILE: Final = "checkpoint-{number}.txt"
_NUMBER: Final = re.compile(r"checkpoint-([1-9][0-9]{0,17})\.txt")


def witnesses(workspace: Workspace) -> list[Witness]:
    """
    The witnesses that the settings name.

    Raises:
        SettingsError: one of them could not be reached by what is set up.
    """
    return [_witness(workspace, one) for one in workspace.settings.audit.witnesses]


def _witness(workspace: Workspace, one: WitnessSettings) -> Witness:
    if one.folder is not None:
        return FolderWitness(one.folder, workspace.folder / one.folder)
    if one.url is not None:
        if not one.url.startswith(("https://", "http://localhost", "http://127.0.0.1")):
            raise SettingsError(Problem(f"witness `{one.url}` is not reached over https", "write an https address"))
        return HttpWitness(one.url)
    if workspace.settings.mail is None:
        raise SettingsError(Problem(f"witness `{one.mail}` needs a mail server", "write `mail:` in duecourse.yaml"))
    return MailWitness(one.mail or "", mail_settings(workspace, workspace.settings.mail))


def ask_witnesses(workspace: Workspace) -> list[Asked]:
    """The witnesses that the settings name, and the checkpoints that those which can be asked hold."""
    return [
        ask_folder(one.folder, workspace.folder / one.folder)
        if one.folder is not None
        else Asked(one.url or one.mail or "", "never")
        for one in workspace.settings.audit.witnesses
    ]


def ask_folder(name: str, folder: Path) -> Asked:
    """What a witness's folder holds."""
    try:
        folder.stat()
        notes = [
            Note(f"witness {name}, {path.name}", number, path.read_bytes().decode(errors="replace"))
            for path, number in _files(folder)
        ]
    except OSError:
        return Asked(name, "away")
    return Asked(name, "here", notes)


def _files(folder: Path) -> list[tuple[Path, int | None]]:
    """What is there and named like a checkpoint, and the number in its name."""
    files = ((path, _NUMBER.fullmatch(path.name)) for path in sorted(folder.glob(_FILE.format(number="*"))))
    return [(path, int(found[1]) if found else None) for path, found in files]


@dataclass(frozen=True, slots=True)
class FolderWitness:
    """A folder, best on a disk that our administrators cannot write: one file for each checkpoint, never overwritten."""

    name: str
    folder: Path

    def take(self, number: int, note: str) -> None:
        """Write it, whole or not at all."""
        path = self.folder / _FILE.format(number=number)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                if path.read_bytes() != note.encode():
                    what = f"witness `{self.name}` has another checkpoint {number}"
                    raise SettingsError(Problem(what, "run `duecourse audit verify`"))
                return
            part = path.with_suffix(".part")
            part.write_bytes(note.encode())
            part.replace(path)
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            what = f"witness `{self.name}` did not take checkpoint {number}: {said}"
            raise SettingsError(Problem(what, "make the folder writable")) from None

    def holds(self, after: int) -> Mapping[int, str]:
        """What is in the folder."""
        try:
            return {
                number: path.read_bytes().decode(errors="replace")
                for path, number in _files(self.folder)
                if number is not None and number > after
            }
        except OSError:
            return {}


@dataclass(frozen=True, slots=True)
class HttpWitness:
    """An endpoint that takes each checkpoint as the body of a POST and answers 2xx."""

    name: str

    def take(self, number: int, note: str) -> None:
        """Post it."""
        run(self._post(number, note))

    def holds(self, after: int) -> Mapping[int, str]:
        """It only takes."""
        del after
        return {}

    async def _post(self, number: int, note: str) -> None:
        from aiohttp import ClientError, ClientSession, ClientTimeout

        why = ""
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=_SECONDS_MAX)) as http,
                http.post(
                    self.name, data=note.encode(), headers={"Content-Type": "text/plain; charset=utf-8"}
                ) as answer,
            ):
                if not 200 <= answer.status < 300:
                    why = f"it answered {answer.status}"
        except (ClientError, TimeoutError, OSError):
            why = "it cannot be reached"
        if why:
            what = f"witness `{self.name}` did not take checkpoint {number}: {why}"
            raise SettingsError(Problem(what, "see to it; the next checkpoint is offered again"))


@dataclass(frozen=True, slots=True)
class MailWitness:
    """An address that each checkpoint is mailed to, as it was signed."""

    name: str
    settings: MailSettings

    def take(self, number: int, note: str) -> None:
        """Mail it."""
        run(self._mail(number, note))

    def holds(self, after: int) -> Mapping[int, str]:
        """It only takes."""
        del after
        return {}

    async def _mail(self, number: int, note: str) -> None:
        from email.message import EmailMessage

        from aiosmtplib import SMTPException

        from channels.mail_connection import connect, leave
        from channels.message import Receipt

        mail = EmailMessage()
        mail["From"], mail["To"] = self.settings.from_address, self.name
        mail["Subject"] = f"Checkpoint {number} of the log"
        mail.set_content(note, cte="base64")
        client = await connect(self.settings, lambda: ssl.create_default_context(cafile=self.settings.ca_file))
        why = client.detail if isinstance(client, Receipt) else ""
        if not isinstance(client, Receipt):
            try:
                await client.send_message(mail)
            except (SMTPException, OSError):
                why = "the mail server did not take it"
            finally:
                await leave(client)
        if why:
            what = f"witness `{self.name}` did not take checkpoint {number}: {why}"
            raise SettingsError(Problem(what, "see to it; the next checkpoint is offered again"))
