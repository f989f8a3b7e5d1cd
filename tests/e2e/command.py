"""The `duecourse` command as somebody at a shell has it: a process of its own, in a folder, with nothing inherited."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COMMAND = Path(sys.executable).with_name("duecourse")
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class Said:
    """What one command answered."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """Its standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its standard output as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def problems(self) -> list[Any]:
        """Its standard error as one JSON document a line."""
        return [json.loads(line) for line in self.err.splitlines()]

    @property
    def failure(self) -> tuple[int, str, str]:
        """Exit code, output and errors together, for one comparison."""
        return self.code, self.out, self.err


def duecourse(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    beforehand: Callable[[], None] | None = None,
) -> Said:
    """Run it, and wait at most two minutes; `beforehand` is called in the new process."""
    clean = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    done = subprocess.run(
        [str(_COMMAND), *map(str, arguments)],
        cwd=cwd,
        env={**clean, "PYTHONWARNINGS": "error::ResourceWarning", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        preexec_fn=beforehand,
        check=False,
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())
