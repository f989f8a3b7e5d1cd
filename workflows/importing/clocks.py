"""Refusals that a file's statements leave in doubt, to be stated again: see `store.consents`."""

from itertools import groupby
from operator import itemgetter

from sqlalchemy import select

from store.bulk_arrow import Reader, arrow_schema, table_of
from store.consents import CLOCKS_APART_US, restated
from workflows.importing.delivery import Delivery
from workflows.importing.lists import matching

_NEAR = f"""
    select distinct person_id from fresh join known_said using (person_id)
    where known_said.received_at - fresh.received_at between 0 and {CLOCKS_APART_US}
    order by person_id"""


def find_restated(delivery: Delivery, reader: Reader) -> None:
    """
    Make `again`: what is to be written after `fresh`.

    Two statements of one file were stamped by one clock: only those on file from before leave anything in doubt.
    """
    import pyarrow as pa

    consent = table_of("consent")
    people = delivery.ids("select distinct person_id from fresh order by 1")
    stamps = select(consent.c.person_id, consent.c.received_at)
    delivery.con.register("known_said", matching(reader, stamps, consent.c.person_id, people))
    near = delivery.ids(_NEAR)
    known = matching(reader, select(consent), consent.c.person_id, near).to_pylist()
    incoming = delivery.arrow(f"select * exclude (row) from fresh semi join ({_NEAR}) using (person_id)").to_pylist()
    refs = {one["ref"] for one in incoming}
    said = sorted([*known, *incoming], key=itemgetter("person_id"))
    again = [row for _, of_one in groupby(said, itemgetter("person_id")) for row in restated(list(of_one), refs)]
    delivery.con.register("restated", pa.Table.from_pylist(again, schema=arrow_schema("consent")))
    delivery.make(
        "again",
        "select row_number() over (order by person_id, ref) as row, restated.* exclude (id) replace (now_us as recorded_at) "
        "from restated cross join delivery",
    )
