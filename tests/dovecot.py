"""
A real IMAP server for tests: Dovecot, unpacked from its packages into a folder, on ports of its own, without privileges.

`python -m tests.dovecot` unpacks it; the fixture does too where it may. The packages are never installed.
"""

import fcntl
import imaplib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_HOME = Path("/tmp/duecourse-dovecot")  # noqa: S108 - as long as what is written over needs
_COMPILED_IN, _INSTEAD = b"/usr/lib/dovecot/modules", bytes(_HOME / "m")
"""Where its programs look for their parts, and a path of the very same length that is written over it."""
_LIB = _HOME / "root/usr/lib/dovecot"
LOGIN = ("reports", "right")

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
libexec_dir = {lib}
log_path = {folder}/log
import_environment = LD_LIBRARY_PATH
protocols = imap
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_location = maildir:~/Maildir
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain}
  }}
  inet_listener imaps {{
    port = {tls}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
"""


@dataclass(frozen=True)
class Dovecot:
    """A running server with one empty mailbox; `plain` offers STARTTLS."""

    plain: int
    tls: int
    folder: Path
    certificate: Path

    @property
    def maildir(self) -> Path:
        """The mailbox as files."""
        return self.folder / LOGIN[0] / "Maildir"

    def put(self, name: str, content: bytes) -> None:
        """Let a mail arrive; names sort as they came."""
        path = self.maildir / "tmp" / name
        path.write_bytes(content)
        owner = self.maildir.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        path.rename(self.maildir / "new" / name)


def unpack() -> str:
    """Unpack Dovecot where it is missing; returns why it cannot be had, or nothing."""
    _HOME.mkdir(mode=0o755, exist_ok=True)
    with (_HOME / "lock").open("w") as lock:
        # Several test processes want it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (_HOME / "m").exists():
            return ""
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            return "Dovecot is not unpacked here, and only root on a Debian can do it: python -m tests.dovecot"
        try:
            _quietly("apt-get", "update", "-qq")
            _quietly("apt-get", "download", "-qq", "dovecot-core", "dovecot-imapd")
            for package in _HOME.glob("dovecot-*.deb"):
                _quietly("dpkg", "-x", str(package), "root")
        except (subprocess.SubprocessError, OSError) as error:
            return f"Dovecot cannot be fetched from the package archive ({type(error).__name__})"
        assert len(_COMPILED_IN) == len(_INSTEAD)
        for path in _LIB.rglob("*"):
            if path.is_file() and _COMPILED_IN in (content := path.read_bytes()):
                path.write_bytes(content.replace(_COMPILED_IN, _INSTEAD))
        (_HOME / "m").symlink_to(_LIB / "modules")
        return ""


@contextmanager
def running(certificate: tuple[Path, Path]) -> Iterator[Dovecot]:
    """A server with an empty mailbox, until it is no longer needed."""
    # Short, and of everybody: pytest's own folders let nobody else in, and paths of sockets are limited.
    folder = Path(tempfile.mkdtemp(prefix="dc-imap-", dir="/tmp"))
    who = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        plain, tls = one.getsockname()[1], other.getsockname()[1]
    cert, key = (Path(shutil.copy(path, folder)) for path in certificate)
    config = _CONFIG.format(
        folder=folder, lib=_LIB, user=who.pw_name, group=_group(who.pw_gid), certificate=cert, key=key,
        password=LOGIN[1], plain=plain, tls=tls,
    )  # fmt: skip
    (folder / "dovecot.conf").write_text(config, encoding="utf-8")
    as_whom = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    if as_whom:
        for path in (folder, *folder.iterdir()):
            os.chown(path, who.pw_uid, who.pw_gid)
    conf = str(folder / "dovecot.conf")
    # It would start /usr/bin/doveconf to read its file, which is elsewhere: so that one starts it.
    command = [_HOME / "root/usr/bin/doveconf", "-c", conf, "-e", _HOME / "root/usr/sbin/dovecot", "-F", "-c", conf]
    parts = {"LD_LIBRARY_PATH": f"{_LIB}:{_LIB}/modules/old-stats"}
    server = subprocess.Popen(
        command, cwd=folder, env=parts, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_whom
    )  # type: ignore[call-overload]
    try:
        _wait_for(plain, server, folder / "log")
        yield Dovecot(plain, tls, folder, cert)
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _group(gid: int) -> str:
    import grp

    return grp.getgrgid(gid).gr_name


def _wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and server.poll() is None:
        try:
            with imaplib.IMAP4("127.0.0.1", port, timeout=5) as asking:
                # Makes the folders of the mailbox.
                asking.login(*LOGIN)
                asking.select("INBOX")
                return
        except (OSError, imaplib.IMAP4.error):
            time.sleep(0.05)
    server.terminate()
    raise RuntimeError(f"Dovecot did not start: {log.read_text() if log.exists() else ''}")


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd=_HOME, timeout=240)


if __name__ == "__main__":
    sys.exit(unpack() or None)
