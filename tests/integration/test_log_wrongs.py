"""What somebody with every right did to the log or to the rows behind it: verification finds it, and says where."""

import pytest
from sqlalchemy import text

from compliance.checkpoint import read_checkpoint
from store.bulk_arrow import table_of
from store.db import Database
from store.log_kinds import KINDS
from tests.logs import NAME, SignedLog, fill, without_triggers
from workflows.log.checkpoint import checkpoints

WRONGS = {
    "a fact": ("update decision set facts_json = '{}' where run_id = 102 and loan_id = 5", "altered: `decision:102-5`, position"),
    "a null": ("update decision set arm = '' where run_id = 102 and loan_id = 5", "altered: `decision:102-5`"),
    "a withheld text": ("update consent set evidence = 'other' where id = 1", "altered: `consent:1`"),
    "a sealed text": (
        "update contact_status set why = replace(why, substr(why, 12, 8), 'AAAAAAAA') where id = 1",
        "what stands in `why` cannot be read"),
    "the key of a sealed text": (
        "update override set evidence = '0' || substr(evidence, 2) where contact_id = (select min(contact_id) from override)",
        "what stands in `evidence` cannot be read"),
    "two sealed texts swapped": (
        ("update consent set how = (select c.how from consent c where c.id = 3 - consent.id) where id in (1, 2)"),
        "altered: `consent:1`"),
    "a decision gone": ("delete from decision where run_id = 102 and loan_id = 7", "deleted: `decision:102-7`"),
    "two contents swapped": (
        ("update decision set facts_json = (select facts_json from decision d where d.run_id = 102 and d.loan_id = 3 - decision.loan_id)"
        " where run_id = 102 and loan_id in (1, 2)"), "altered: `decision:102-1`"),
    "an entry gone": ("delete from log_leaf where position = 300", "missing: position 300 of the log"),
    "an entry far away": ("update log_leaf set position = 274877907614 where position = 300", "missing: position 300 of the log"),
    "an entry at the end of all numbers": (
        "update log_leaf set position = 9223372036854775807 where position = 300",
        "missing: position 300 of the log"),
    "the end of the log gone": ("delete from log_leaf where position >= 800", "vouches for"),
    "an entry's hash": ("update log_leaf set hash = (select hash from log_leaf where position = 1) where position = 5", "position 5"),
    "two entries swapped": (
        ("update log_leaf set hash = (select l.hash from log_leaf l where l.position = 11 - log_leaf.position),"
        " kind = (select l.kind from log_leaf l where l.position = 11 - log_leaf.position),"
        " key = (select l.key from log_leaf l where l.position = 11 - log_leaf.position) where position in (5, 6)"),
        "altered: positions 0 to 59 of the log: they are not what checkpoint 1 vouches for"),
    "a node": ("update log_node set hash = (select hash from log_leaf where position = 0) where number = 1", "altered: tree node 1/1, over positions 256 to 511"),
    "a node gone": ("delete from log_node where number = 2", "missing: tree node 1/2, over positions 512 to 767"),
    "a node too many": ("insert into log_node values (1, 9, (select hash from log_leaf where position = 0))", "inserted: tree nodes of level 1: 1 more"),
    "a checkpoint's text": ("update log_checkpoint set note = replace(note, 'lender', 'Lender') where number = 2", "not vouched for: checkpoint 2"),
    "a checkpoint's instant": ("update log_checkpoint set size = size + 1 where number = 2", "altered: checkpoint 2"),
    "a checkpoint gone": ("delete from log_checkpoint where number = 2", "missing: checkpoint 2"),
    "the last checkpoint gone": ("delete from log_checkpoint where number = 4", "missing: checkpoints: there are 3, and 4 were signed"),
    "the length": ("update setting set value = '[3, 4]' where name = 'log.head'", "altered: length of the log"),
    "the seal key": ("update setting set value = replace(value, substr(value, 1, 4), 'abcd') where name = 'log.seal_key'", "missing: setting `log.seal_key`"),
}  # fmt: skip


# Verification is the same code on both databases; what differs is how rows are read, which a few of them show.
ON_POSTGRES = (
    "a fact",
    "a sealed text",
    "a decision gone",
    "an entry far away",
    "an entry at the end of all numbers",
    "an entry's hash",
    "a node gone",
    "a checkpoint's text",
    "the length",
)
PLACED = [("sqlite", wrong) for wrong in WRONGS]
PLACED += [pytest.param("postgresql", wrong, marks=pytest.mark.postgres) for wrong in ON_POSTGRES]  # type: ignore[misc]


@pytest.mark.parametrize(("log", "wrong"), PLACED, indirect=["log"])
def test_what_somebody_with_every_right_did_is_found(log: SignedLog, wrong: str) -> None:
    """Past triggers and constraints: a row, an entry, a hash, a checkpoint, its end; and the place is told."""
    database = log.database
    statement, says = WRONGS[wrong]
    with without_triggers(database) as connection:
        assert connection.execute(text(statement)).rowcount
    assert any(says in found for found in log.found()), log.found()


def test_a_row_slipped_in_past_the_triggers_is_found(log: SignedLog) -> None:
    """A decision that nobody made then is in no entry and in no queue."""
    database = log.database
    columns = ", ".join(column.name for column in table_of("decision").columns if column.name != "run_id")
    with without_triggers(database) as connection:
        connection.execute(
            text(
                f"insert into decision (run_id, {columns}) select 1, {columns} from decision where run_id = 101 and loan_id = 7"
            )
        )
    assert log.found() == ["inserted: `decision:1-7`: it never went through the log"]


def test_a_log_rewritten_as_a_whole_does_not_fit_what_a_witness_kept(log: SignedLog) -> None:
    """Somebody who has the key and every right can make another log; whoever kept a checkpoint sees it, and where."""
    database = log.database
    with database.session() as session:
        kept = {f"witness {one.number}": one.note for one in checkpoints(session)}
    with without_triggers(database) as connection:
        connection.execute(text("update decision set outcome = 'contact' where run_id = 103 and loan_id = 9"))
        for table in ("log_handover", "log_checkpoint", "log_node", "log_leaf", "log_queue"):
            connection.execute(text(f"delete from {table}"))
        connection.execute(text("delete from setting where name = 'log.head'"))
        for kind in KINDS.values():
            connection.execute(
                text(
                    f"insert into log_queue (kind, key) select '{kind.name}', {kind.key_sql(kind.table)} from \"{kind.table}\""
                )
            )
    log.sign()
    assert log.found() == []
    found = log.found(witnessed=kept)
    assert found
    assert "they are not what witness" in found[0]


def test_a_shorter_log_does_not_fit_what_a_witness_kept(database: Database) -> None:
    """A book restored from last night's backup lacks what a witness has seen."""
    log = SignedLog(database)
    fill(database)
    first = log.sign()
    ahead = log.signer.sign(read_checkpoint(first.note, log.keys).__class__(NAME, first.size + 10, b"x" * 32, log.now))
    found = log.found(witnessed={"witness": ahead})
    assert found == [f"truncated: witness vouches for {first.size + 10:,} entries; the log is shorter now"]
