"""What a scheduled job does, in the workspace as it is when the job runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

from duecourse.incoming import handle_inbox, look_up_unknown, read_reports
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from engine.errors import StoreError

_READ: Final = ("duecourse.yaml", "rules/**/*.yaml", "packs/*.yaml", "config/*.yaml")


@dataclass
class Jobs:
    """
    The jobs of one workspace. Each keeps its works from run to run, until a file of the workspace changes.

    A workspace that was broken by an edit refuses, and nothing is done by rules that nobody can read any more; it
    runs again when it is mended.
    """

    folder: Path
    clock: Callable[[], datetime]
    _open: dict[str, tuple[str, Works]] = field(default_factory=dict)

    def run(self, name: str, stop: Callable[[], bool]) -> None:
        """
        One run of a job.

        Raises:
            DuecourseError: the workspace does not hold together, or the job cannot run now.
        """
        works, now = self._works(name), self.clock()
        if name == "sweep":
            result, _ = works.sweep(now, lambda _done, _total: None, stop=stop)
            if result.failed:
                raise StoreError(result.failed)
        elif name == "promises":
            works.check_promises(now)
        elif name == "duties":
            works.keep_duties(now)
        elif name == "inbox":
            handle_inbox(works, self.clock, stop)
        elif name == "mailbox":
            read_reports(works, self.clock, stop)
        elif name == "events":
            handle_inbox(works, self.clock, stop)
            # Not the instant from before: what has just been heard is news as well.
            works.handle_events(self.clock(), stop=stop)
        elif name == "reconcile":
            look_up_unknown(works, self.clock, stop)
        elif name == "log":
            works.keep_log(now)
        elif name == "match":
            works.match(now)
        elif name == "dispatch":
            works.dispatch_all(now, clock=self.clock, stop=stop)

    def close(self) -> None:
        """Let go of everything."""
        for _, works in self._open.values():
            works.close()
        self._open.clear()

    def _works(self, name: str) -> Works:
        # Only one run of a job at a time, so each name's works serve one thread at a time.
        files = self._files()
        known = self._open.get(name)
        if known is not None and known[0] == files:
            return known[1]
        if known is not None:
            del self._open[name]
            known[1].close()
        workspace = open_workspace(self.folder, {})
        works = Works(workspace, workspace.open_database())
        _ = workspace.rulebook, workspace.gate, workspace.templates, workspace.queues
        self._open[name] = (files, works)
        return works

    def _files(self) -> str:
        """A fingerprint of everything the workspace is read from."""
        seal = blake2b(digest_size=16)
        for pattern in _READ:
            for path in sorted(self.folder.glob(pattern)):
                content = path.read_bytes()
                seal.update(f"{path.relative_to(self.folder)} {len(content)} ".encode() + content)
        return seal.hexdigest()
