"""What the database knows about itself: whether it is production, whether sending is on, its secrets."""

import secrets

from sqlalchemy import text
from sqlmodel import Session

from store.sealing import sealing_of, setting_place
from store.tables import Setting


def read_setting(session: Session, name: str) -> str | None:
    """The value of a setting, or None."""
    row = session.get(Setting, name)
    return row.value if row else None


def write_setting(session: Session, name: str, value: str) -> None:
    """Set a value, in the caller's transaction."""
    session.merge(Setting(name=name, value=value))


def known_secret(session: Session, name: str) -> str | None:
    """
    A secret of this database, or None where there is none yet.

    It stands there sealed: whoever has the database without its keys can test no guess of what it keys.

    Raises:
        Unopened: it is not as it was sealed.
    """
    sealed = read_setting(session, name)
    return None if sealed is None else sealing_of(session.get_bind().dialect).unseal(setting_place(name), sealed)


def secret_of(session: Session, name: str) -> str:
    """The same, made when it is first asked for; needs a session that writes."""
    known = known_secret(session, name)
    if known is not None:
        return known
    sealed = sealing_of(session.get_bind().dialect).seal(setting_place(name), secrets.token_hex(32))
    # Of two that ask at once one makes it, and both have the same.
    insert = text("insert into setting (name, value) values (:name, :value) on conflict do nothing")
    session.execute(insert, {"name": name, "value": sealed})
    return known_secret(session, name) or ""
