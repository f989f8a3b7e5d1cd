"""What a scheduled job does, in the workspace as it is when the job runs."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

from duecourse.incoming import handle_inbox, look_up_unknown, read_reports
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from engine.errors import SettingsError, StoreError

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

    def run(self, name: str, stop: Callable[[], bool]) -> Mapping[str, int]:
        """
        One run of a job.

        Returns:
            how much of what it did.
        Raises:
            DuecourseError: the workspace does not hold together, or the job cannot run now, or not all of it.
        """
        works, now = self._works(name), self.clock()
        if name == "sweep":
            return self._sweep(works, now, stop)
        if name == "promises":
            return works.check_promises(now)
        if name == "duties":
            return works.keep_duties(now)
        if name == "inbox":
            return asdict(handle_inbox(works, self.clock, stop))
        if name == "mailbox":
            return read_reports(works, self.clock, stop)
        if name == "events":
            taken = handle_inbox(works, self.clock, stop)
            # Not the instant from before: what has just been heard is news as well.
            handled = works.handle_events(self.clock(), stop=stop)
            return {**asdict(taken), "events": handled.events, "borrowers": len(handled.borrowers)}
        if name == "reconcile":
            return asdict(look_up_unknown(works, self.clock, stop))
        if name == "log":
            return self._keep_log(works, now, stop)
        if name == "match":
            return works.match(now)
        if name == "tidy":
            return works.tidy(now, stop=stop)
        if name == "dispatch":
            return self._dispatch(works, now, stop)
        raise KeyError(name)

    def _sweep(self, works: Works, now: datetime, stop: Callable[[], bool]) -> Mapping[str, int]:
        result = works.sweep(now, lambda _done, _total: None, stop=stop)
        if result.failed:
            raise StoreError(result.failed)
        return result.counts

    def _keep_log(self, works: Works, now: datetime, stop: Callable[[], bool]) -> Mapping[str, int]:
        kept = works.keep_log(now, stop=stop)
        if kept.problems:
            # It is signed; who was to witness it did not take it.
            raise SettingsError(kept.problems)
        return {"entries": kept.sequenced.entries}

    def _dispatch(self, works: Works, now: datetime, stop: Callable[[], bool]) -> Mapping[str, int]:
        done = works.dispatch_all(now, clock=self.clock, stop=stop)
        if done.problems:
            # A channel stood still: what went by the others has gone.
            raise SettingsError(done.problems)
        return done.counts

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
