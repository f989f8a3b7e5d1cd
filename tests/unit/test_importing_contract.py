"""The contract as it is printed, and what holds its parts together."""

from pathlib import Path

import pytest

from store.bulk_arrow import arrow_schema, table_of
from store.ledger_checks import KINDS as LEDGER_KINDS
from workflows.importing import KINDS, Kind
from workflows.importing.contract import MEANINGS
from workflows.importing.contract_doc import contract_document, kind_document
from workflows.importing.kinds import MOVEMENTS
from workflows.importing.rows import ROWS, column_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "data-contract.md"


def test_the_document_is_up_to_date() -> None:
    """`python -m workflows.importing.contract_doc > docs/data-contract.md` after every change."""
    assert DOCUMENT.read_text(encoding="utf-8") == contract_document()


def test_a_kind_as_it_is_printed() -> None:
    """What names a row, what becomes of other content, and every column with its type, default and words."""
    assert kind_document(KINDS["parties"]) == (
        "\n## parties\n\nWho else stands in which role for a loan. "
        "A row is known by `loan`, `person`, `role`; other content under a known key is rejected.\n\n"
        "| column | type | required | meaning |\n| --- | --- | --- | --- |\n"
        "| loan | loan | yes | the loan's ref |\n"
        "| person | person | yes | the person's ref |\n"
        "| role | word | yes | their part in this loan; `co_borrower`, `guarantor`, `spouse`, `executor`, "
        "`contact_person`, `third_party`, `attorney` |\n"
    )


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_holds_together(kind: Kind) -> None:
    """Its key is required, its columns differ, its types are explained, its words are listed, its table has what is compared."""
    names = [column.name for column in kind.columns]
    assert len(set(names)) == len(names)
    for name in kind.key:
        assert kind.column(name).required, name
    for column in kind.columns:
        assert column.type in MEANINGS
        assert bool(column.values) == (column.type in ("word", "words")), column.name
        assert not (column.required and column.default), column.name
    rows, table = ROWS[kind.name], arrow_schema(kind.table)
    compared = {*rows.key, *rows.content, *rows.fixed} - {"ends"}
    assert compared <= set(table.names)
    assert not set(rows.content) & {*rows.key, *rows.fixed}
    if not kind.replaces:
        assert not rows.fixed
    derived = {"zone", "number", "text", "endpoint", "detail_json", "id", "as_of_at"}
    assert {column_of(name) for name in compared} - derived <= set(names)


def test_what_a_known_row_is_looked_up_by_is_indexed() -> None:
    """Looking up the rows of a file costs by the file, not by the book."""
    for name, rows in ROWS.items():
        table = table_of(KINDS[name].table)
        column = table.c[rows.key[0]]
        leading = [next(iter(index.columns)) for index in table.indexes] + [next(iter(table.primary_key.columns))]
        leading += [next(iter(one.columns)) for one in table.constraints if type(one).__name__ == "UniqueConstraint"]
        of_source = name == "movements" and any(one.name == "source" for one in leading)
        assert column.unique or any(one is column for one in leading) or of_source, name


def test_the_kinds_of_movement_are_the_ledger_s() -> None:
    """No kind can be imported that the ledger does not know, and the other way round."""
    assert set(MOVEMENTS) == set(LEDGER_KINDS)
    assert len(MOVEMENTS) == len(set(MOVEMENTS))
