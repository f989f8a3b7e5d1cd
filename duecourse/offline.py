"""A workspace's rules and law, wired to a book that lies in Parquet files."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

from duecourse.workspace import Workspace
from store.db import Database
from workflows.offline.deciding import Plan, read_retry
from workflows.offline.export import export_book
from workflows.offline.layout import About, check_facts, read_about
from workflows.private_file import new_folder

Engine = Literal["duckdb", "spark"]
Progress = Callable[[int, int], None]


def export(workspace: Workspace, database: Database, folder: Path, *, now: datetime, progress: Progress) -> About:
    """Write the book as it stands, with every fact computed for that instant."""
    settings = workspace.settings
    return export_book(
        database,
        workspace.rulebook,
        folder,
        now=now,
        queues=workspace.queues,
        actor=settings.actor,
        zone=settings.zone,
        progress=progress,
    )


def decide_files(
    workspace: Workspace, folder: Path, decisions: Path, *, engine: Engine, master: str, progress: Progress
) -> tuple[About, Mapping[str, int]]:
    """
    Decide a book by this workspace's rules and law, for the instant it was exported for; nothing of it is written elsewhere.

    Returns:
        what the book says of itself, and the counts of a sweep.
    Raises:
        DataError: the files are not there, or not of these rules; `decisions` is not an empty folder.
        SettingsError: Spark is not there, or does not start.
    """
    about = read_about(folder)
    check_facts(folder, workspace.rulebook.catalogue)
    plan = Plan(uuid4().hex, workspace.rulebook, workspace.gate, workspace.queues, about, read_retry(folder))
    if engine == "spark":
        from workflows.offline import on_spark

        with on_spark.session(master) as spark:
            new_folder(decisions)
            return about, on_spark.decide_files(plan, folder, decisions, spark).counts
    from workflows.offline import on_duckdb

    new_folder(decisions)
    return about, on_duckdb.decide_files(plan, folder, decisions, progress).counts
