"""What the database knows about itself: whether it is production, whether sending is on, its hashing key."""

import secrets

from sqlalchemy import text
from sqlmodel import Session

from store.tables import Setting


def read_setting(session: Session, name: str) -> str | None:
    """The value of a setting, or None."""
    row = session.get(Setting, name)
    return row.value if row else None


def write_setting(session: Session, name: str, value: str) -> None:
    """Set a value, in the caller's transaction."""
    session.merge(Setting(name=name, value=value))


def secret_of(session: Session, name: str) -> str:
    """A secret of this database, made when it is first asked for; needs a session that writes."""
    known = read_setting(session, name)
    if known is not None:
        return known
    made = {"name": name, "value": secrets.token_hex(32)}
    # Of two that ask at once one makes it, and both have the same.
    session.execute(text("insert into setting (name, value) values (:name, :value) on conflict do nothing"), made)
    return session.get_one(Setting, name).value
