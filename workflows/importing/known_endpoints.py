"""Numbers and addresses as the book finds them: by their hash. Of a statement about one: which of the person's own it is."""

from sqlalchemy import select

from store.bulk_arrow import Reader, table_of
from workflows.importing import rejects
from workflows.importing.delivery import Delivery
from workflows.importing.lists import matching


def register_hashes(delivery: Delivery, reader: Reader, column: str) -> list[str]:
    """Make `hash_of`: value, value_hash, of every number and address in that column; returns the hashes."""
    import pyarrow as pa

    values = delivery.values(f"select distinct {column} from good where {column} is not null order by 1")
    hashes = [reader.hashed(value) for value in values]
    columns = {"value": pa.array(values, pa.string()), "value_hash": pa.array(hashes, pa.string())}
    delivery.con.register("hash_of", pa.table(columns))
    return hashes


def find_endpoints(delivery: Delivery, reader: Reader) -> None:
    """Reject a statement about an endpoint that its person does not have; `consent_endpoint` names the others'."""
    endpoint = table_of("endpoint")
    stored = select(endpoint.c.id, endpoint.c.person_id, endpoint.c.value_hash)
    named = register_hashes(delivery, reader, "endpoint")
    delivery.con.register("endpoint_known", matching(reader, stored, endpoint.c.value_hash, named))
    delivery.make(
        "consent_endpoint",
        # One number may be listed twice, as mobile and as landline: what is refused is refused for both.
        "select g.row, case when count(*) = 1 or g.kind in ('consent', 'opt_in') then min(e.id) end as endpoint_id "
        "from good g join hash_of h on h.value = g.endpoint "
        "join endpoint_known e on e.person_id = g.person and e.value_hash = h.value_hash group by g.row, g.kind",
    )
    delivery.con.unregister("endpoint_known")
    delivery.con.unregister("hash_of")
    lost = "select row from good where endpoint is not null and row not in (select row from consent_endpoint)"
    mend = "write one of this person's `endpoints`, or import that first"
    rejects.drop(delivery.con, "good", lost, "endpoint", "not a number or address of this person", mend)
