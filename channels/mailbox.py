"""
The mailbox that reports of our mails arrive in: a Maildir on this machine, or IMAP.

What was taken stays in it, marked as read once `done` says that it is kept; a reader that dies in between reads it again.
`imaplib` blocks and is asked once in a while: call it from a thread that may wait.
"""

import imaplib
import os
import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol

from channels.bounces import READ_MAX
from channels.message import Secret
from engine.errors import Problem, SettingsError

_SEEN: Final = re.compile(r":2,[A-Za-z]*S")


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail that nobody has read: what the mailbox calls it, and its first part, at most `READ_MAX` bytes."""

    key: str
    content: bytes


class Mailbox(Protocol):
    """Where reports arrive."""

    def waiting(self, limit: int) -> list[Letter]:
        """
        Mails that nobody has read, the oldest first.

        Raises:
            SettingsError: the mailbox is not there, or does not let us in.
        """
        ...

    def done(self, keys: Iterable[str]) -> None:
        """Mark mails as read. Whoever is gone meanwhile is no loss."""
        ...


@dataclass(frozen=True, slots=True)
class Maildir:
    """A Maildir: files in `new` and `cur`."""

    folder: Path

    def waiting(self, limit: int) -> list[Letter]:
        """See `Mailbox`."""
        if not (self.folder / "new").is_dir():
            what = f"there is no Maildir at `{self.folder}`"
            raise SettingsError(Problem(what, "set `mail.bounces.maildir` to the folder that holds `new` and `cur`"))
        letters = []
        for path in sorted(self._unread(), key=lambda path: path.name)[:limit]:
            try:
                with path.open("rb") as file:
                    letters.append(Letter(f"{path.parent.name}/{path.name}", file.read(READ_MAX)))
            except FileNotFoundError:
                continue
            except OSError as error:
                what = f"`{path}` cannot be read: {(error.strerror or '').lower()}"
                raise SettingsError(Problem(what, "let this user read and rename the files of the Maildir")) from None
        return letters

    def done(self, keys: Iterable[str]) -> None:
        """See `Mailbox`."""
        (self.folder / "cur").mkdir(exist_ok=True)
        for key in keys:
            place, _, name = key.partition("/")
            marked = f"{name}S" if ":2," in name else f"{name}:2,S"
            try:
                (self.folder / place / name).rename(self.folder / "cur" / marked)
            except FileNotFoundError:
                continue

    def _unread(self) -> Iterator[Path]:
        for place in ("new", "cur"):
            if (self.folder / place).is_dir():
                with os.scandir(self.folder / place) as found:
                    for entry in found:
                        if (
                            entry.is_file(follow_symlinks=False)
                            and entry.name[0] != "."
                            and not _SEEN.search(entry.name)
                        ):
                            yield Path(entry.path)


@dataclass(frozen=True, slots=True)
class Imap:
    """
    A folder on an IMAP server.

    Attributes:
        security: tls: encrypted from the first byte; starttls: upgrade or do not log in; plain: only where an
            operator says so.
        ca_file: certificates to trust besides the machine's own.
    """

    host: str
    username: str
    password: Secret = field(repr=False)
    port: int = 993
    security: Literal["tls", "starttls", "plain"] = "tls"
    mailbox: str = "INBOX"
    timeout_seconds: float = 30
    ca_file: str | None = None

    def waiting(self, limit: int) -> list[Letter]:
        """See `Mailbox`."""
        with self._open() as server:
            _, found = server.uid("SEARCH", "UNSEEN")
            uids = (found[0] or b"").split()[:limit]
            letters = []
            for uid in uids:
                _, answer = server.uid("FETCH", uid.decode(), f"(BODY.PEEK[]<0.{READ_MAX}>)")
                content = next((part[1] for part in answer if isinstance(part, tuple)), None)
                if content is not None:
                    letters.append(Letter(uid.decode(), content))
            return letters

    def done(self, keys: Iterable[str]) -> None:
        """See `Mailbox`."""
        if uids := [key for key in keys if key.isdecimal()]:
            with self._open() as server:
                for start in range(0, len(uids), 100):
                    server.uid("STORE", ",".join(uids[start : start + 100]), "+FLAGS.SILENT", r"(\Seen)")

    @contextmanager
    def _open(self) -> Iterator[imaplib.IMAP4]:
        try:
            server = self._connected()
            try:
                server.login(self.username, self.password.get_secret_value())
                status, _ = server.select(f'"{self.mailbox}"')
                if status != "OK":
                    what = f"there is no mailbox `{self.mailbox}` for reports of our mails"
                    raise SettingsError(Problem(what, "set `mail.bounces.mailbox` to one of the server's"))
                yield server
            finally:
                with suppress(imaplib.IMAP4.error, OSError):
                    server.logout()
        except ssl.SSLError:
            what = "the certificate or encryption of the mailbox for reports is not accepted"
            raise SettingsError(Problem(what, "set `mail.bounces.ca_file` to its certificate")) from None
        except (imaplib.IMAP4.abort, OSError):
            what = f"the mailbox for reports cannot be reached at {self.host}:{self.port}"
            raise SettingsError(Problem(what, "see `mail.bounces.host` and `port`, and whether it is up")) from None
        except imaplib.IMAP4.error:
            what = "the mailbox for reports does not let us in"
            raise SettingsError(Problem(what, "see `mail.bounces.username` and `password`")) from None

    def _connected(self) -> imaplib.IMAP4:
        if self.security == "plain":
            return imaplib.IMAP4(self.host, self.port, timeout=self.timeout_seconds)
        tls = ssl.create_default_context(cafile=self.ca_file)
        if self.security == "tls":
            return imaplib.IMAP4_SSL(self.host, self.port, ssl_context=tls, timeout=self.timeout_seconds)
        server = imaplib.IMAP4(self.host, self.port, timeout=self.timeout_seconds)
        try:
            server.starttls(tls)
        except (imaplib.IMAP4.error, OSError) as error:
            # Its socket may be half encrypted, and is closed either way.
            with suppress(OSError):
                server.shutdown()
            if isinstance(error, ssl.SSLError):
                raise
            what = "the mailbox for reports offers no encryption"
            raise SettingsError(Problem(what, "set `mail.bounces.security` to `tls`, usually on port 993")) from None
        return server
