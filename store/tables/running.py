"""How the installation itself runs: the jobs of its schedule, and what its database knows of itself."""

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field

from store.columns import Sealed
from store.tables.row import Row, instant, row_key


class Job(Row, table=True):
    """
    A job of the schedule, and how it last ran.

    `known_at` is when a scheduler first saw it. `state`: new (it never ran), running, done, refused (the workspace or
    the book would not have it), failed (a fault of ours), stopped (half-way, and to be gone on with). `why`: of the last
    two. `by` is the process. `done_at` is when it last ended well; `failures` counts those in a row that did not.
    """

    __tablename__ = "job"
    name: str = Field(primary_key=True)
    known_at: datetime = Field(sa_column=instant())
    state: str = "new"
    why: str = ""
    by: str = ""
    began_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    done_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    failures: int = 0


class JobAct(Row, table=True):
    """
    That somebody paused a job or let it go on; append-only, the latest of a job counts.

    `act`: pause, resume. A pause ends by itself at `until_at`, where it has one. Who set the log's clock aside or changed the
    key of what is personal stands here as well, under `log.clock` and `privacy.rotate`, which are no jobs of a schedule.
    """

    __tablename__ = "job_act"
    id: int | None = Field(default=None, sa_column=row_key())
    job: str
    act: str
    at: datetime = Field(sa_column=instant())
    by: str
    because: str = Field(default="", sa_column=Column(Sealed("job_act.because"), nullable=False))
    until_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))


class Setting(Row, table=True):
    """What the database itself knows about being a database: `environment`, `sending`, `arm_key`, ..."""

    __tablename__ = "setting"
    name: str = Field(primary_key=True)
    value: str
