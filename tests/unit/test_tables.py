"""The tables, as the code that writes them sees them."""

from datetime import UTC, datetime
from random import Random

from sqlalchemy import create_engine, event
from sqlmodel import Session, SQLModel

from store.tables import Deed, ErasedRef, Job, LogQueue, Published, Setting

NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)


def test_the_order_of_writing_is_that_of_names_alone() -> None:
    """Rows of one transaction come into the log in the order of their names, in whichever module their table stands."""
    engine = create_engine("sqlite://")
    SQLModel.metadata.create_all(engine)
    rows = [
        Published(digest="d", kind="pack", name="n", content="c", published_at=NOW),
        Deed(at=NOW, kind="import", subject="s"),
        Setting(name="n", value="v"),
        LogQueue(kind="k", key="1"),
        ErasedRef(digest="d", at=NOW),
        Job(name="j", known_at=NOW),
    ]
    Random(7).shuffle(rows)
    written = []
    event.listen(
        engine, "before_cursor_execute", lambda _c, _cursor, sql, *_: written.append(sql.split()[2].strip('"'))
    )
    with Session(engine) as session:
        session.add_all(rows)
        session.commit()
    engine.dispose()
    assert written == ["deed", "erased_ref", "job", "log_queue", "published", "setting"]
