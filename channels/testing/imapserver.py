"""A mailbox on loopback: as much of IMAP (RFC 3501) as reading and marking mails takes."""

import re
import socketserver
import ssl
import threading
from typing import Final, Self

_COMMAND: Final = re.compile(rb"(\S+) (UID )?(\S+)(?: (.*))?\r\n", re.DOTALL)
_PARTIAL: Final = re.compile(rb"BODY\.PEEK\[\]<0\.(\d+)>")


class FakeImapServer:
    """
    The stand-in. `with FakeImapServer({"INBOX": [b"..."]}) as server: ... server.port`; it runs in a thread of its own.

    Args:
        boxes: mailbox -> mails; the uid of the first is 1.
        login: name and password.
        tls: serves encrypted from the first byte; `starttls`: offers it instead.
    """

    host: Final = "127.0.0.1"

    def __init__(
        self,
        boxes: dict[str, list[bytes]],
        *,
        login: tuple[str, str] = ("reports", "right"),
        tls: ssl.SSLContext | None = None,
        starttls: bool = False,
    ) -> None:
        self.boxes = boxes
        self.seen: dict[str, set[int]] = {name: set() for name in boxes}
        self.port = 0
        self._login = login
        self._tls = tls
        self._starttls = starttls
        self._server: socketserver.ThreadingTCPServer

    def __enter__(self) -> Self:
        stand_in = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                _Session(stand_in, self).run()

        self._server = socketserver.ThreadingTCPServer((self.host, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Session:
    """One client's conversation."""

    def __init__(self, server: FakeImapServer, handler: socketserver.StreamRequestHandler) -> None:
        self._server = server
        self._handler = handler
        self._box = ""
        self._known = False

    def run(self) -> None:
        try:
            if self._server._tls is not None and not self._server._starttls:  # noqa: SLF001  one and the same stand-in
                self._encrypt()
            self._say(b"* OK ready")
            while line := self._handler.rfile.readline():
                if not self._answer(line):
                    return
        except OSError:
            # A client that leaves, or does not trust us, is no fault of ours.
            return
        finally:
            self._handler.connection.close()

    def _answer(self, line: bytes) -> bool:
        match = _COMMAND.fullmatch(line)
        if match is None:
            return False
        tag, _, word, rest = match.groups()
        given = rest or b""
        command = word.upper().decode()
        if command == "LOGOUT":
            self._say(b"* BYE", tag + b" OK bye")
            return False
        if command == "STARTTLS":
            self._say(tag + b" OK begin")
            self._encrypt()
        elif command == "CAPABILITY":
            offered = b" STARTTLS" if self._server._starttls else b""  # noqa: SLF001
            self._say(b"* CAPABILITY IMAP4rev1" + offered, tag + b" OK done")
        elif command == "LOGIN":
            told = tuple(part.strip('"') for part in given.decode().split(" ", 1))
            self._known = told == self._server._login  # noqa: SLF001
            self._say(tag + (b" OK come in" if self._known else b" NO wrong name or password"))
        else:
            self._say(tag + (self._mailbox(command, given) if self._known else b" NO log in first"))
        return True

    def _mailbox(self, command: str, given: bytes) -> bytes:
        if command == "SELECT":
            self._box = given.decode().strip('"')
            if self._box not in self._server.boxes:
                return b" NO no such mailbox"
            self._say(b"* %d EXISTS" % len(self._server.boxes[self._box]))
            return b" OK selected"
        mails, seen = self._server.boxes[self._box], self._server.seen[self._box]
        if command == "SEARCH":
            unseen = [uid for uid in range(1, len(mails) + 1) if uid not in seen]
            self._say(b"* SEARCH " + b" ".join(b"%d" % uid for uid in unseen))
        elif command == "FETCH" and (partial := _PARTIAL.search(given)):
            uid = int(given.split()[0])
            content = mails[uid - 1][: int(partial[1])]
            self._say(b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%s)" % (uid, uid, len(content), content))
        elif command == "STORE":
            seen.update(int(uid) for uid in given.split()[0].split(b","))
        return b" OK done"

    def _say(self, *lines: bytes) -> None:
        self._handler.wfile.write(b"".join(line + b"\r\n" for line in lines))

    def _encrypt(self) -> None:
        tls = self._server._tls  # noqa: SLF001
        assert tls is not None, "no certificate to encrypt with"
        handler = self._handler
        handler.request = handler.connection = tls.wrap_socket(handler.connection, server_side=True)
        handler.rfile = handler.connection.makefile("rb")
        handler.wfile = socketserver._SocketWriter(handler.connection)  # type: ignore[attr-defined] # noqa: SLF001
