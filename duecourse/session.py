"""What one command works with: its workspace, its output, and the parts it opens on demand."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from duecourse.output import Output
from engine.errors import Problem, SettingsError

if TYPE_CHECKING:
    from datetime import datetime

    from config.settings import Settings
    from duecourse.wiring import Works
    from duecourse.workspace import Workspace
    from store.db import Database

_FILE = "duecourse.yaml"


@dataclass
class Session:
    """One run of one command. Nothing is opened before it is asked for, so that `--help` stays instant."""

    folder: Path | None
    output: Output
    flags: dict[str, object] = field(default_factory=dict)

    @cached_property
    def workspace(self) -> "Workspace":
        """
        The lender's own folder.

        Raises:
            SettingsError: there is no duecourse.yaml here and no `--workspace` was given.
        """
        from duecourse.workspace import open_workspace

        folder = self.folder or Path.cwd()
        if not (folder / _FILE).exists():
            what = f"no {_FILE} in `{folder}`"
            raise SettingsError(Problem(what, "run `duecourse init DIR`, then `duecourse --workspace DIR ...`"))
        return open_workspace(folder, self.flags)

    @property
    def workspace_or_shipped(self) -> "Workspace":
        """The workspace where there is one; otherwise the strategies and packs that Duecourse ships with."""
        from duecourse.workspace import open_workspace, shipped_folder

        folder = self.folder or Path.cwd()
        if self.folder is None and not (folder / _FILE).exists():
            return open_workspace(shipped_folder(), self.flags)
        return self.workspace

    @property
    def settings(self) -> "Settings":
        """The workspace's settings."""
        return self.workspace.settings

    @cached_property
    def database(self) -> "Database":
        """The workspace's database, of this version's schema."""
        return self.workspace.open_database()

    def rehearsed(self, at: str | None) -> "datetime":
        """
        The instant of a command that lets contacts out: this moment, or in a rehearsal the one given.

        Raises:
            SettingsError: another instant than this moment, in production: nobody may be contacted at an hour
                that it is not.
        """
        from duecourse.clock import instant
        from store.settings import read_setting

        if at is not None:
            with self.database.session() as reading:
                if read_setting(reading, "environment") == "production":
                    what = "`--at` is for rehearsals, and this database says it is production"
                    raise SettingsError(Problem(what, "leave `--at` out"))
        return instant(at)

    @cached_property
    def works(self) -> "Works":
        """Every workflow, bound to this workspace and its book."""
        from duecourse.wiring import Works

        return Works(self.workspace, self.database)
