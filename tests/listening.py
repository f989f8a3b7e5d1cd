"""`duecourse listen` as a process of its own, for the tests: started in a workspace, spoken to by HTTP, ended by a signal."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

_COMMAND = Path(sys.executable).with_name("duecourse")
START_SECONDS_MAX = 120


@dataclass(frozen=True, slots=True)
class Heard:
    """What was answered."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The answer, which must be one JSON document."""
        return json.loads(self.text)


@dataclass
class Listener:
    """The process, its port, and what it has said so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    port: int = 0

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Heard:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = body.encode() if isinstance(body, str) else body
            connection.request(method, path, data, dict(headers or {}))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Heard(answer.status, answer.read().decode(), found)
        finally:
            connection.close()

    def post_form(self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Heard:
        """A form, as providers post it."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, urlencode(form), {**kind, **(headers or {})})

    def post_json(self, path: str, document: object, headers: Mapping[str, str] | None = None) -> Heard:
        """A JSON document."""
        return self.ask("POST", path, json.dumps(document), {"Content-Type": "application/json", **(headers or {})})

    def raw(self) -> socket.socket:
        """A bare connection, for what no client would say."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log lines so far."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def listening(workspace: Path, *, command: str = "listen", **env: str) -> Iterator[Listener]:
    """A process that answers on a free port, until the block ends."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    process = subprocess.Popen(
        [str(_COMMAND), "-w", str(workspace), command],
        env={**inherited, "PYTHONWARNINGS": "error::ResourceWarning", "DUECOURSE_LISTEN__PORT": "0",
             "DUECOURSE_METRICS__PORT": "0", **env},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    listener, ready = Listener(process), threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            listener.lines.append(line.rstrip("\n"))
            if found := re.fullmatch(r"(?:listening|health) at http://.*:(\d+)\n", line):
                listener.port = int(found[1])
                ready.set()
        ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert ready.wait(START_SECONDS_MAX), "it does not listen"
        assert listener.port, "\n".join(listener.lines)
        yield listener
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        reader.join(30)
        if process.stderr is not None:
            process.stderr.close()


def until(true: Any, *, seconds: float = 60) -> None:
    """Wait until something is so; what never comes fails the test."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
