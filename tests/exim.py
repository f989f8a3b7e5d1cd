"""
A real mail server for tests: Exim, unpacked from its package into a folder, on a port of its own, without privileges.

`python -m tests.exim` unpacks it; the fixture does too where it may. Nothing of the machine's own mail is touched: the
package is never installed, because it would make itself the mailer of the machine.
"""

import fcntl
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

_HOME = Path(tempfile.gettempdir()) / "duecourse-exim"
_BINARY = _HOME / "root" / "usr" / "sbin" / "exim4"
_LIBRARIES = ("libgnutls-dane0", "libidn12", "libnsl2", "libpcre2-8-0")
_COMPILED_IN = "Debian-exim"
"""Exim stops before it reads its file where this user is missing; it need not run as that user."""
LOGIN = ("duecourse", "right")

_CONFIG = """\
primary_hostname = mx.rig.example
exim_path = {binary}
spool_directory = {folder}/spool
log_file_path = {folder}/log_%slog
pid_file_path = {folder}/exim.pid
deliver_drop_privilege = true
exim_user = {user}
exim_group = {group}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
acl_smtp_mail = sender
acl_smtp_rcpt = recipient
acl_smtp_predata = before
acl_smtp_data = after
host_lookup =
dsn_advertise_hosts = *
keep_environment =
begin acl
sender:
  deny   senders = refused@lender.example
         message = 550 5.7.1 sender not welcome
  defer  senders = busy@lender.example
         message = 452 4.3.1 no room now
  accept
recipient:
  warn   local_parts = before
         set acl_m_before = yes
  deny   domains = login.example
         !authenticated = *
         message = 530 5.7.0 log in first
  deny   local_parts = nobody
         message = 550 5.1.1 no such user
  defer  local_parts = busy
         message = 451 4.7.1 greylisted
  accept
before:
  deny   condition = $acl_m_before
         message = 554 5.7.1 not today
  accept
after:
  deny   condition = ${{if match{{$message_body}}{{forbidden words}}}}
         message = 554 5.6.0 content refused
  defer  condition = ${{if match{{$message_body}}{{slow words}}}}
         message = 451 4.3.0 try later
  accept
begin routers
late:
  driver = redirect
  domains = bounce.example
  allow_fail
  allow_defer
  data = ${{if eq{{$local_part}}{{slow}}{{:defer: 451 4.2.0 mailbox busy}}{{:fail: 550 5.1.1 mailbox gone}}}}
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  maildir_format
  create_directory
  envelope_to_add
  return_path_add
  directory = ${{if eq{{$domain}}{{lender.example}}{{{folder}/bounces}}{{{folder}/inbox}}}}
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_advertise_condition = ${{if def:tls_in_cipher}}
"""


@dataclass(frozen=True)
class Exim:
    """A running server; mail to `lender.example` is a bounce, mail to any other domain but `bounce.example` is delivered."""

    port: int
    folder: Path
    certificate: Path

    @property
    def bounces(self) -> Path:
        """The Maildir in which reports about our mails arrive."""
        return self.folder / "bounces"

    def arrived(self, count: int = 1, *, box: str = "inbox", seconds: float = 20) -> list[bytes]:
        """Mails in a Maildir, once there are so many."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = sorted((self.folder / box / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
            if len(found) >= count:
                return [path.read_bytes() for path in found]
            time.sleep(0.05)
        raise AssertionError(f"no {count} mails in {box}: {(self.folder / 'log_mainlog').read_text()[-2000:]}")


def contact_mail(content: bytes) -> EmailMessage:
    """A mail as a program reads it."""
    return message_from_bytes(content, policy=policy.default)


def unpack() -> str:
    """Unpack Exim where it is missing; returns why it cannot be had, or nothing."""
    _HOME.mkdir(mode=0o755, exist_ok=True)
    with (_HOME / "lock").open("w") as lock:
        # Several test processes want it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _works():
            return ""
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            return "Exim is not unpacked here, and only root on a Debian can do it: python -m tests.exim"
        try:
            _quietly("apt-get", "update", "-qq")
            _quietly("apt-get", "install", "-y", "-qq", *_LIBRARIES)
            _quietly("apt-get", "download", "-qq", "exim4-daemon-light")
            package = next(_HOME.glob("exim4-daemon-light_*.deb"))
            _quietly("dpkg", "-x", str(package), "root")
            # It runs as whoever starts it.
            _BINARY.chmod(0o755)
            if not _has_user(_COMPILED_IN):
                _quietly("useradd", "-r", "-M", _COMPILED_IN)
        except (subprocess.SubprocessError, StopIteration, OSError) as error:
            return f"Exim cannot be fetched from the package archive ({type(error).__name__})"
        return "" if _works() else "Exim does not start here"


@contextmanager
def running(certificate: tuple[Path, Path], *, passes_on: bool = True) -> Iterator[Exim]:
    """
    A server with empty mailboxes, until it is no longer needed.

    Args:
        passes_on: False leaves in its spool what it takes.
    """
    # Short, and of everybody: pytest's own folders let nobody else in.
    folder = Path(tempfile.mkdtemp(prefix="dc-exim-", dir="/tmp"))
    who = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cert, key = (Path(shutil.copy(path, folder)) for path in certificate)
    login, password = LOGIN
    group = pwd.getpwnam(who).pw_gid
    config = _CONFIG.format(
        binary=_BINARY, folder=folder, user=who, group=group, port=port,
        certificate=cert, key=key, login=login, password=password,
    )  # fmt: skip
    (folder / "exim.conf").write_text(config, encoding="utf-8")
    as_whom = {"user": who, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}
    if as_whom:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, who, group)
    (folder / "exim.conf").chmod(0o644)
    command = [_BINARY, "-C", folder / "exim.conf", "-bdf", "-q10m" if passes_on else "-odq"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **as_whom)  # type: ignore[call-overload]
    try:
        _wait_for(port, server)
        yield Exim(port, folder, cert)
    finally:
        if (panic := folder / "log_paniclog").exists():
            print(panic.read_text(errors="replace"))  # noqa: T201  shown by pytest where a test failed
        server.terminate()
        server.wait(10)
        if server.stderr is not None:
            server.stderr.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and server.poll() is None:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    server.terminate()
    said = server.stderr.read().decode() if server.stderr is not None else ""
    raise RuntimeError(f"Exim did not start: {said}")


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd=_HOME, timeout=240)


def _works() -> bool:
    if not _BINARY.exists() or not _has_user(_COMPILED_IN):
        return False
    # Without a file of its own it only says who it is, and complains.
    said = subprocess.run([_BINARY, "-C", "/dev/null", "-bV"], check=False, capture_output=True, text=True)
    return said.stdout.startswith("Exim version")


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(unpack() or None)
