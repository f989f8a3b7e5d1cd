"""Every contact of the month, person by person, past the review's own counting; what is found goes back into the work file."""

import json
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from engine.gate import Override
from store.people import jurisdictions, read_statement
from workflows.review.gather import Progress
from workflows.review.happened import Held, Made, Said, Served, Whom
from workflows.review.judged import Judge, Judged
from workflows.review.law import Laws

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS: Final = 20_000
Row = dict[str, Any]


def measure(con: "DuckDBPyConnection", laws: Laws, *, actor: str, progress: Progress) -> None:
    """
    Judge every contact of the month. Needs the views of `workflows.review.views`.

    Args:
        actor: who the lender is, as packs call it.
    """
    con.execute(
        "create table use (rule varchar, unit varchar, unit_id bigint, used bigint, most bigint, contact varchar)"
    )
    con.execute("create table mark (kind varchar, rule varchar, contact varchar, what varchar, beside varchar[])")
    con.execute(
        "create table hour (contact varchar, zone varchar, weekday bigint, hour bigint, local varchar, rules varchar[])"
    )
    overrides = {
        contact: Override(rule, ground)
        for contact, rule, ground in con.execute("select contact_id, rule, ground from set_aside").fetchall()
    }
    judge, found = Judge(laws.at, overrides), Judged()
    (total,) = con.execute(
        "select count(distinct person_id) from made where in_month and direction = 'out'"
    ).fetchall()[0]
    people = zip(_people(con), _contacts(con, actor), _beside(con, actor), strict=True)
    for done, (whom, own, others) in enumerate(people, 1):
        for number, contact in enumerate(own, 1):
            if contact.judged:
                judge.judge(contact, own[:number], others, whom, found)
        if len(found.uses) + len(found.marks) + len(found.hours) > _ROWS:
            _write(con, found)
            found = Judged()
            progress(done, total)
    _write(con, found)
    progress(total, total)


def _write(con: "DuckDBPyConnection", found: Judged) -> None:
    import pyarrow as pa

    for table, rows in (("use", found.uses), ("mark", found.marks), ("hour", found.hours)):
        if not rows:
            continue
        names = type(rows[0]).__slots__
        page = pa.table({name: [_plain(getattr(row, name)) for row in rows] for name in names})
        con.register("page", page)
        con.execute(f"insert into {table} select * from page")
        con.unregister("page")


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


_WANTED: Final = "(select distinct person_id from made where in_month and direction = 'out')"


def _people(con: "DuckDBPyConnection") -> Iterator[Whom]:
    """Whoever was contacted, by id."""
    people = _groups(
        con, f"select p.id as person_id, p.zones, p.country, p.region from person p where p.id in {_WANTED}", "p.id"
    )
    zones = _groups(
        con,
        f"select person_id, zone from endpoint where person_id in {_WANTED} and valid and zone is not null",
        "person_id, id",
    )
    consents = _groups(con, f"select * from consent where person_id in {_WANTED}", "person_id, received_at, id")
    # What the borrower disputes of a loan is disputed for everybody who stands for it.
    holds = _groups(con, f"select * from held where to_person in {_WANTED}", "to_person, id", "to_person")
    there = zip(people, _aligned(con, zones), _aligned(con, consents), _aligned(con, holds), strict=True)
    for (person, (row,)), of_endpoints, said, held in there:
        known = {*row["zones"].split(), *(one["zone"] for one in of_endpoints)}
        yield Whom(
            person,
            tuple(sorted(known)),
            jurisdictions(row["country"], row["region"]),
            tuple(Said(one["id"], one["recorded_at"], read_statement(one)) for one in said),
            tuple(_held(one) for one in held),
        )


def _contacts(con: "DuckDBPyConnection", actor: str) -> Iterator[list[Made]]:
    found = _groups(con, f"select * from made where person_id in {_WANTED}", 'person_id, "at", id')
    for rows in _aligned(con, found):
        yield [_made(row, actor) for row in rows]


def _beside(con: "DuckDBPyConnection", actor: str) -> Iterator[list[Made]]:
    found = _groups(con, "select * from beside", 'to_person, "at", id', "to_person")
    for rows in _aligned(con, found):
        yield [_made(row, actor) for row in rows]


def _groups(
    con: "DuckDBPyConnection", query: str, order: str, by: str = "person_id"
) -> Iterator[tuple[int, list[Row]]]:
    """The rows of a query, one group a person, in order; read as they are asked for."""
    # A connection of its own: several are read side by side.
    reader = con.cursor().sql(f"{query} order by {order}").to_arrow_reader(_ROWS)

    def rows() -> Iterator[Row]:
        for batch in reader:
            yield from batch.to_pylist()

    for person, group in groupby(rows(), itemgetter(by)):
        yield person, list(group)


def _aligned(con: "DuckDBPyConnection", groups: Iterator[tuple[int, list[Row]]]) -> Iterator[list[Row]]:
    """One list for everybody who was contacted, in their order; empty where there is nothing."""
    wanted = con.cursor().sql(f"from {_WANTED} order by person_id").to_arrow_reader(_ROWS)
    ahead = next(groups, None)
    for batch in wanted:
        for person in batch["person_id"].to_pylist():
            if ahead is not None and ahead[0] == person:
                yield ahead[1]
                ahead = next(groups, None)
            else:
                yield []


def _held(row: Row) -> Held:
    return Held(
        row["id"], row["kind"], row["starts_at"], row["ends_at"], row["recorded_at"], frozenset(row["blocks"].split()),
        row["loan_id"], row["form"],
    )  # fmt: skip


def _made(row: Row, actor: str) -> Made:
    facts: dict[str, Any] = json.loads(row["facts_json"]) if row["facts_json"] else {}
    by_lender = row["by"] in ("", "lender")
    facts |= {"product": row["product"], "actor": actor if by_lender else "agency", "prerecorded": row["recorded_call"]}
    if row["recorded_call"] and row["endpoint_kind"] == "landline":
        facts["line"] = "residential_landline"
    for word in (row["marks"] or "").split():
        facts.setdefault(word, True)
    return Made(
        id=row["id"], at=row["at"], begun=row["begun"], recorded=row["planned_at"], channel=row["channel"],
        direction=row["direction"], purpose=row["purpose"], outcome=row["came"], person=row["person_id"], role=row["role"],
        debts=frozenset(row["debts"]), endpoint=row["endpoint_id"], same_as=row["same_as"], place=row["place"], by=row["by"],
        misdirected=row["misdirected"], judged=row["in_month"] and row["direction"] == "out" and row["channel"] != "legal",
        facts=facts, basis=row["basis"] or "", basis_at=row["basis_at"],
        served=tuple(_served(one) for one in row["served"] or ()), spell_on=row["episode_on"],
    )  # fmt: skip


def _served(row: Row) -> Served:
    return Served(row["id"], row["kind"], row["sent_on"], row["effective_on"], row["voided_at"])
