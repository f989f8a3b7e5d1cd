"""Whatever agents, diallers and the clock do, in whatever order: nobody is in two hands, and nothing is done twice."""

import shutil
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlmodel import col, select

from duecourse.dialled import take_results
from duecourse.wiring import Works
from duecourse.workspace import open_workspace, shipped_folder
from engine.errors import DataError
from engine.strategy import PromisePolicy
from store.db import Database
from store.outbox import expire
from store.tables import Contact, ContactStatus
from tests.conftest import BUCKET_KEY
from tests.factories import add_payment
from tests.opening import open_database
from tests.outgoing import AMOUNT, DATES, NOW, TODAY, book, door_of, plan
from workflows.call_backs import CallBack
from workflows.desk.dialler import export_calls
from workflows.desk.reporting import Report, record_outcome
from workflows.desk.tasks import call_off, start_task, take_next
from workflows.sending.batches import doubt

AGENTS = ("ann", "ben", "cas")
PEOPLE = 3


class Hands(RuleBasedStateMachine):
    """
    A floor of agents and a dialler over a few people, each with several calls waiting.

    What each hand believes it holds is kept here, from the answers alone; the database is asked only for statuses.
    """

    @initialize()
    def begin(self) -> None:
        self.folder = Path(mkdtemp())
        self.database = _fresh(self.folder)
        self.now = NOW
        self.loans = book(self.database, PEOPLE, feed_age=timedelta(0))
        self.person_of: dict[str, int] = {}
        for loan in self.loans:
            for kind in ("call", "after-failure", "call"):
                self._queue(loan, kind)
        self.door = door_of(self.database, {})
        self.works = Works(open_workspace(shipped_folder(), {}), self.database)
        self.agents: dict[str, str] = {}
        self.dialled: dict[str, str] = {}
        self.reported: defaultdict[str, int] = defaultdict(int)
        self.files = 0

    def _queue(self, loan: int, kind: str) -> None:
        # Long enough that it is the hands that are tested, and not the clock.
        until = self.now + timedelta(hours=6)
        task = plan(self.database, loan, kind, status="sent", at=self.now, not_before_at=self.now, expires_at=until)
        self.person_of[task] = self._row(task).person_id

    def _row(self, task: str) -> Contact:
        with self.database.session() as session:
            row = session.get_one(Contact, task)
            session.expunge(row)
            return row

    @rule(agent=st.sampled_from(AGENTS))
    def next(self, agent: str) -> None:
        """An agent asks for the next one: their own again, or one that nobody else's person is about."""
        handed = take_next(self.door, queue="junior", agent=agent, now=self.now)
        if handed is None:
            self.agents.pop(agent, None)
            return
        self.person_of.setdefault(handed.contact.id, handed.contact.person_id)
        assert agent not in self.agents or self.agents[agent] == handed.contact.id or self._over(self.agents[agent])
        self.agents[agent] = handed.contact.id

    def _over(self, task: str) -> bool:
        return self._row(task).status != "sent"

    @rule(agent=st.sampled_from(AGENTS), data=st.data())
    def start(self, agent: str, data: st.DataObject) -> None:
        """An agent asks for one by name; they may have only their own or a free one."""
        # By place: the names of tasks are others in every run.
        task = sorted(self.person_of)[data.draw(st.integers(0, len(self.person_of) - 1))]
        if agent in self.agents and self.agents[agent] != task:
            return
        try:
            start_task(self.door, task, agent=agent, now=self.now)
        except DataError:
            return
        self.agents[agent] = task

    @rule(
        agent=st.sampled_from(AGENTS), outcome=st.sampled_from(("no_answer", "conversation", "not_tried", "call_back"))
    )
    def report(self, agent: str, outcome: str) -> None:
        """They say what came of it."""
        task = self.agents.pop(agent, None)
        if task is None or (outcome == "not_tried" and self._row(task).status == "unknown"):
            return
        back = CallBack(self.now + timedelta(minutes=30)) if outcome == "call_back" else None
        report = Report(outcome, agent, self.now, TODAY, PromisePolicy(), DATES, call_back=back)
        record_outcome(self.database, task, report)
        self._done(task, outcome)

    def _done(self, task: str, outcome: str) -> None:
        if outcome != "not_tried":
            self.reported[task] += 1

    @rule(limit=st.integers(1, 3), minutes=st.sampled_from((10, 60)))
    def export(self, limit: int, minutes: int) -> None:
        """The dialler takes some."""
        self.files += 1
        file = self.folder / f"{self.files}.csv"
        lasts = timedelta(minutes=minutes)
        export_calls(self.door, file, queue="junior", by="ann", now=self.now, lasts=lasts, limit=limit)
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            task, *_, batch = line.split(",")
            self.dialled[task] = batch

    @rule(outcome=st.sampled_from(("busy", "conversation", "not_tried")), twice=st.booleans(), data=st.data())
    def results(self, outcome: str, twice: bool, data: st.DataObject) -> None:
        """The dialler says what came of one, perhaps twice."""
        if not self.dialled:
            return
        task = sorted(self.dialled)[data.draw(st.integers(0, len(self.dialled) - 1))]
        file = self.folder / "results.csv"
        file.write_text(f"batch,contact,at,outcome\n{self.dialled[task]},{task},{self.now.isoformat()},{outcome}\n")
        taken = take_results(self.works, file, self.now)
        assert (taken.added, taken.rejected) == (1, 0)
        if twice:
            assert take_results(self.works, file, self.now).same == 1
        del self.dialled[task]
        self._done(task, outcome)

    @rule(minutes=st.sampled_from((1, 20, 90)))
    def wait(self, minutes: int) -> None:
        """Time passes, and whatever lapses with it; never into the night."""
        if self.now + timedelta(minutes=minutes) < NOW + timedelta(hours=6):
            self.now += timedelta(minutes=minutes)
        expire(self.database, now=self.now)
        doubt(self.database, now=self.now)

    @rule(n=st.integers(0, PEOPLE - 1))
    def pay(self, n: int) -> None:
        """Somebody pays; what waits about them is called off, what is in hand is not."""
        add_payment(self.database, self.loans[n], AMOUNT, TODAY, recorded_at=self.now)
        call_off(self.door, now=self.now)

    @rule(n=st.integers(0, PEOPLE - 1))
    def more(self, n: int) -> None:
        """More work comes in."""
        self._queue(self.loans[n], "after-failure")

    @invariant()
    def one_pair_of_hands(self) -> None:
        """Nobody is with two agents, nor with an agent and the dialler, as those who hold them believe."""
        if not hasattr(self, "agents"):
            return
        held = [self.person_of[task] for task in self.agents.values() if not self._over(task)]
        held += [self.person_of[task] for task in self.dialled if not self._over(task)]
        assert len(held) == len(set(held)), (self.agents, self.dialled)

    @invariant()
    def nothing_is_done_twice(self) -> None:
        """A task is reported once, and its history ends once."""
        if not hasattr(self, "reported"):
            return
        assert all(count == 1 for count in self.reported.values())
        with self.database.session() as session:
            ends = session.exec(
                select(ContactStatus.contact_id).where(
                    col(ContactStatus.status).in_(("delivered", "cancelled", "expired"))
                )
            ).all()
        assert len(ends) == len(set(ends))

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "works"):
            self.works.close()
            shutil.rmtree(self.folder)


def _fresh(folder: Path) -> Database:
    database = open_database(f"sqlite:///{folder / 'book.db'}")
    database.create(bucket_key=BUCKET_KEY)
    return database


TestHands = Hands.TestCase
TestHands.settings = settings(
    max_examples=4, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
class TestManyHands(Hands.TestCase):
    """The same for longer."""

    settings = settings(
        max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
