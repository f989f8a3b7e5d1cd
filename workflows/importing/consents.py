"""Statements about one number or address: which of the person's own it is."""

from sqlalchemy import select

from store.bulk_arrow import Reader, table_of
from workflows.importing import rejects
from workflows.importing.delivery import Delivery
from workflows.importing.lists import matching


def find_endpoints(delivery: Delivery, reader: Reader) -> None:
    """Reject a statement about an endpoint that its person does not have; `consent_endpoint` names the others'."""
    endpoint = table_of("endpoint")
    stored = select(endpoint.c.id, endpoint.c.person_id, endpoint.c.value)
    named = delivery.values("select distinct endpoint from good where endpoint is not null order by 1")
    delivery.con.register("endpoint_known", matching(reader, stored, endpoint.c.value, named))
    delivery.make(
        "consent_endpoint",
        # One number may be listed twice, as mobile and as landline: what is refused is refused for both.
        "select g.row, case when count(*) = 1 or g.kind in ('consent', 'opt_in') then min(e.id) end as endpoint_id "
        "from good g join endpoint_known e on e.person_id = g.person and e.value = g.endpoint group by g.row, g.kind",
    )
    delivery.con.unregister("endpoint_known")
    lost = "select row from good where endpoint is not null and row not in (select row from consent_endpoint)"
    mend = "write one of this person's `endpoints`, or import that first"
    rejects.drop(delivery.con, "good", lost, "endpoint", "not a number or address of this person", mend)
