"""What the database knows about itself: whether it is production, whether sending is on, its hashing key."""

from sqlmodel import Session

from store.tables import Setting


def read_setting(session: Session, name: str) -> str | None:
    """The value of a setting, or None."""
    row = session.get(Setting, name)
    return row.value if row else None


def write_setting(session: Session, name: str, value: str) -> None:
    """Set a value, in the caller's transaction."""
    session.merge(Setting(name=name, value=value))
