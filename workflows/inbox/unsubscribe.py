"""The link in a message by which somebody ends such messages: a signed token, and what follows when it comes back."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlmodel import Session

from compliance.standing import standing
from engine.errors import DataError, Problem
from engine.gate import CHANNELS, Channel, Endpoint
from store.columns import to_us
from store.consents import NewStatement, add_statement, ledger
from store.db import Database
from store.outbox import lock_versions
from store.settings import known_secret, secret_of
from store.tables import Endpoint as EndpointRow
from store.tables import Event

_LINK_KEY: Final = "link_key"
_SIGNATURE_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Unsubscribing:
    """Whom a token names, and what they end: messages on one channel, to one number or address."""

    person: int
    endpoint: int
    channel: Channel


def link_key(session: Session) -> str:
    """The secret that signs links, made when it is first asked for; needs a session that writes."""
    return secret_of(session, _LINK_KEY)


def make_token(key: str, whom: Unsubscribing) -> str:
    """A token for a link: says whom it is for by ids only, and cannot be made by anybody else."""
    said = f"{whom.person}-{whom.endpoint}-{whom.channel}"
    return f"{said}-{_signature(key, said)}"


def read_token(session: Session, token: str) -> Unsubscribing:
    """
    Whom a token names.

    Raises:
        DataError: it is not one of ours.
    """
    key = known_secret(session, _LINK_KEY)
    said, _, signature = token.rpartition("-")
    parts = said.split("-")
    genuine = key is not None and hmac.compare_digest(_signature(key, said).encode(), signature.encode())
    if not genuine or len(parts) != 3 or parts[2] not in CHANNELS:
        raise DataError(Problem("this link is not one of ours", "use the link of the message, whole"))
    return Unsubscribing(int(parts[0]), int(parts[1]), parts[2])


def take_unsubscribe(database: Database, token: str, *, now: datetime, given_to: str) -> bool:
    """
    Somebody followed the link: from this moment nothing more goes to that number or address on that channel.

    Returns:
        False where it was closed already, and nothing was changed.
    Raises:
        DataError: the token is not one of ours.
    """
    with database.session() as reading:
        whom = read_token(reading, token)
    with database.write() as session:
        lock_versions(session, [whom.person])
        if _is_closed(session, whom, now):
            return False
        ref = f"unsubscribe:{whom.person}:{whom.endpoint}:{whom.channel}:{to_us(now)}"
        said = NewStatement(
            whom.person, "opt_out", now, endpoint=whom.endpoint, channels=(whom.channel,), given_to=given_to,
            how="unsubscribe link", source="unsubscribe", ref=ref,
        )  # fmt: skip
        add_statement(session, said, now=now, live=True)
        session.add(
            Event(
                source="unsubscribe", key=ref, kind="reply", person_id=whom.person, happened_at=now, recorded_at=now,
                detail_json=f'{{"channel": "{whom.channel}", "meaning": "stop"}}',
            )
        )  # fmt: skip
        return True


def _is_closed(session: Session, whom: Unsubscribing, now: datetime) -> bool:
    lines = ledger(session, whom.person)
    # All of it has been said, however far ahead the clock was of whoever wrote it down.
    at = max((now, *(line.at for line in lines)))
    row = session.get_one(EndpointRow, whom.endpoint)
    endpoint = Endpoint(whom.endpoint, row.kind)  # type: ignore[arg-type] # the table holds kinds only
    (stands,) = standing([line.said for line in lines], [(whom.channel, endpoint)], to_us(at))
    return bool(stands.closed_by)


def _signature(key: str, said: str) -> str:
    return hmac.new(key.encode(), said.encode(), sha256).hexdigest()[:_SIGNATURE_LENGTH]
