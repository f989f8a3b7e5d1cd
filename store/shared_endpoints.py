"""Numbers and addresses that several people share: what reached one of them there reached that number for all."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from engine.gate import PastContact
from store.columns import to_us
from store.tables import Contact, Endpoint, Person

_BACK: Final = timedelta(days=31)
"""How far back contacts with the others are looked at: the longest window in which a law counts calls to one number."""


@dataclass(slots=True)
class Shared:
    """
    Who else is reached at an endpoint.

    Attributes:
        versions: person id -> version, of the others.
        past: what was sent to them there; its endpoint is the one asked about.
        same: the person's own other endpoints with that number, which may be listed as mobile and as landline.
    """

    versions: dict[int, int] = field(default_factory=dict)
    past: tuple[PastContact, ...] = ()
    same: tuple[int, ...] = ()


def shared_endpoints(session: Session, endpoint_ids: Collection[int], *, now: datetime) -> Mapping[int, Shared]:
    """Endpoint id -> who shares its number or address, whatever kind it is listed as; endpoints that are alone are left out."""
    other = aliased(Endpoint)
    pairs = session.exec(
        select(Endpoint.id, other.id, other.person_id, Person.version)
        .join(other, col(other.value_hash) == col(Endpoint.value_hash))
        # Without a version: the person's own.
        .outerjoin(Person, (col(Person.id) == col(other.person_id)) & (col(Person.id) != col(Endpoint.person_id)))
        .where(col(Endpoint.id).in_(endpoint_ids), col(other.id) != col(Endpoint.id))
        .order_by(col(Endpoint.id), col(other.id))
    ).all()
    if not pairs:
        return {}
    found: defaultdict[int, Shared] = defaultdict(Shared)
    asked: defaultdict[int | None, list[int]] = defaultdict(list)
    for endpoint_id, others_id, others_person, version in pairs:
        if endpoint_id is None or others_id is None:
            continue
        if version is None:
            found[endpoint_id].same += (others_id,)
        else:
            found[endpoint_id].versions[others_person] = version
            asked[others_id].append(endpoint_id)
    made = select(Contact).where(
        col(Contact.endpoint_id).in_([*asked]),
        col(Contact.direction) == "out",
        col(Contact.status).in_(("claimed", "sending", "sent", "unknown", "delivered", "failed")),
        col(Contact.at) >= now - _BACK,
    )
    for contact in session.exec(made.order_by(col(Contact.id))):
        for endpoint_id in asked[contact.endpoint_id]:
            found[endpoint_id].past += (_past(contact, endpoint_id),)
    return found


def listings(session: Session, endpoint: Endpoint) -> list[Endpoint]:
    """Every way in which its person's number or address is listed, this one among them: as mobile and as landline, say."""
    same = col(Endpoint.value_hash) == endpoint.value_hash
    wanted = select(Endpoint).where(col(Endpoint.person_id) == endpoint.person_id, same)
    return list(session.exec(wanted.order_by(col(Endpoint.id))))


def _past(contact: Contact, endpoint_id: int) -> PastContact:
    in_hand = contact.status in ("claimed", "sending", "unknown")
    return PastContact(
        at_us=to_us(contact.at),
        direction="out",
        channel=contact.channel,
        outcome=contact.status if in_hand else contact.outcome or contact.status,
        purpose=contact.purpose,
        person=contact.person_id,
        debts=(contact.loan_id,),
        endpoint=endpoint_id,
        by=contact.by,
        misdirected=contact.misdirected,
        id=contact.id,
    )
