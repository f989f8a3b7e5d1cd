"""A file is read as it says, or refused whole with what is wrong, where, and the mend."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.errors import DataError
from workflows.importing import KINDS, find_files, read_csv
from workflows.importing.read import Ragged, read_source

if TYPE_CHECKING:
    import pyarrow as pa

LOANS = b"ref,borrower,product,currency,principal,opened_on\n"
MANY = ", ".join(column.name for column in KINDS["loans"].columns)


def refused(path: Path, kind: str) -> str:
    """The whole message, with the folder left out."""
    with pytest.raises(DataError) as error:
        read_source(path, KINDS[kind])
    return str(error.value).replace(f"{path.parent}/", "")


def of_bytes(tmp_path: Path, content: bytes, kind: str = "loans") -> str:
    """The message for a file of these bytes."""
    path = tmp_path / f"{kind}.csv"
    path.write_bytes(content)
    return refused(path, kind)


def read(tmp_path: Path, content: bytes, kind: str = "parties") -> list[dict[str, Any]]:
    """The rows of a file of these bytes."""
    path = tmp_path / f"{kind}.csv"
    path.write_bytes(content)
    rows: list[dict[str, Any]] = read_source(path, KINDS[kind]).rows.to_pylist()
    return rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "loans.csv: the file is empty\n  mend: write the header, and a row for each record"),
        (b"\xef\xbb\xbf \n", "loans.csv: the file is empty\n  mend: write the header, and a row for each record"),
        (LOANS + b"L1,P\xff", "loans.csv:2: not UTF-8 text\n  mend: save the file as UTF-8"),
        ("ref,borrower".encode("utf-16"), "loans.csv: this is UTF-16 text, not CSV\n  mend: save it as CSV, UTF-8, separated by commas"),
        (b"PK\x03\x04abc", "loans.csv: this is a workbook or a zip archive, not CSV\n  mend: save it as CSV, UTF-8, separated by commas"),
        (b"\x1f\x8babc", "loans.csv: this is a gzip archive, not CSV\n  mend: save it as CSV, UTF-8, separated by commas"),
        (LOANS + b"L1,P1,\0", "loans.csv:2: a NUL byte, which no text has\n  mend: save the file as CSV, UTF-8"),
        (LOANS + b'L1,"P1,x,CNY,1,2026-01-01\nL2', ("loans.csv: an odd number of quotes: one of them is never closed\n"
         "  mend: close every quote, and write a quote within a value twice")),
        (LOANS.replace(b",", b";"), "loans.csv: its columns are separated by semicolons\n  mend: separate them by commas"),
        (LOANS.replace(b",", b"\t"), "loans.csv: its columns are separated by tabs\n  mend: separate them by commas"),
        (LOANS.replace(b"currency", b"currency_"), ("loans.csv:1: unknown column `currency_`\n  mend: write `currency`\n"
         "loans.csv:1: column `currency` is missing\n  mend: add it: of every amount of this loan; never changes")),
        (LOANS.replace(b"\n", b",zzz,ref\n"), (f"loans.csv:1: unknown column `zzz`\n  mend: a file of loans has: {MANY}\n"
         "loans.csv:1: column `ref` stands there twice\n  mend: keep one of them")),
        (b"L1,P1,personal,CNY,100,2026-01-01", None),
    ],
)  # fmt: skip
def test_what_is_no_file_of_loans(tmp_path: Path, content: bytes, message: str | None) -> None:
    """Every problem of the header at once; each names its file and its line."""
    said = of_bytes(tmp_path, content)
    if message is None:
        assert said.startswith("loans.csv:1: unknown column `L1`\n")
    else:
        assert said == message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The operating system's reason, and the mend."""
    path = tmp_path / "loans.csv"
    said = refused(path, "loans").replace(str(tmp_path), "")
    assert said == "cannot read `loans.csv`: no such file or directory\n  mend: name a CSV or Parquet file"


def test_only_a_header(tmp_path: Path) -> None:
    """Is a file with nothing to say, and that can be news: nobody paid."""
    assert read(tmp_path, b"loan,person,role\n") == []
    assert read(tmp_path, b"loan,person,role") == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_marks_and_spaces_in_the_header(tmp_path: Path, end: bytes) -> None:
    """A byte order mark, any line ends, quoted and padded names and a missing last line end make no difference."""
    lines = [b'\xef\xbb\xbf"loan", person,role', b"L1,P1,guarantor", b"", b'L2,"P 2",spouse']
    assert read(tmp_path, end.join(lines)) == [
        {"loan": "L1", "person": "P1", "role": "guarantor", "row": 2},
        {"loan": "L2", "person": "P 2", "role": "spouse", "row": 4},
    ]


def test_rows_are_numbered_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    """The header is row 1; ragged rows and a value over several lines count as one row each."""
    text = b'person,kind,value\nP1,postal,"a ""b"",\nc"\nP2,postal\nP3,postal,x,y\nP4,email,\n'
    (tmp_path / "endpoints.csv").write_bytes(text)
    source = read_source(tmp_path / "endpoints.csv", KINDS["endpoints"])
    wanted = [("P1", 'a "b",\nc', 2), ("P4", None, 5)]
    assert [(row["person"], row["value"], row["row"]) for row in source.rows.to_pylist()] == wanted
    assert source.ragged == (Ragged(3, 2, 3), Ragged(4, 4, 3))
    assert source.count == 4
    assert source.header == {"person", "kind", "value"}


def test_a_ragged_row_of_a_schedule_refuses_the_file(tmp_path: Path) -> None:
    """Nobody can tell whose schedule would be imported by half."""
    said = of_bytes(tmp_path, b"loan,number,due_on,amount\nL1,1,2026-01-01,10\nL1,2,2026-02-01\n", "instalments")
    assert said == (
        "instalments.csv: row 3 has 3 values where the header has 4\n"
        "  mend: mend the row: the loan whose instalments would be incomplete without it cannot be told"
    )


def test_a_value_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    """Its row is judged like any other; the file is not lost for it."""
    found = read(tmp_path, b"loan,person,role\nL1," + b"x" * 10_000_000 + b",spouse\nL2,P2,spouse\n")
    assert [len(row["person"]) for row in found] == [10_000_000, 2]


def test_a_row_longer_than_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused with the likely cause."""
    monkeypatch.setattr(read_csv, "BLOCK_BYTES_MAX", 1 << 20)
    said = of_bytes(tmp_path, b'loan,person,role\nL1,"' + b"x\n" * 2_000_000 + b'",spouse\n', "parties")
    assert said == "parties.csv: a row is longer than 1 MB\n  mend: close the quote it begins with"


# --- Parquet ----------------------------------------------------------------------------------------------------------


def parquet(path: Path, columns: dict[str, "pa.Array"]) -> Path:
    """A Parquet file of these columns."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    pq.write_table(pa.table(columns), path)
    return path


def movements(**columns: Any) -> dict[str, Any]:
    """The columns of one movement, those given instead of the usual texts."""
    given = {"ref": ["M1"], "loan": ["L1"], "kind": ["payment"], "amount": ["1.00"], "effective_on": ["2026-03-01"]}
    return {**given, **columns}


def test_typed_parquet_reads_like_csv(tmp_path: Path) -> None:
    """Decimals, dates, instants with a zone, dictionaries, whole numbers: each in the one spelling of the contract."""
    import pyarrow as pa

    at = datetime(2026, 3, 1, 1, 2, 3, 456789, tzinfo=UTC)
    path = parquet(
        tmp_path / "movements-1.parquet",
        movements(
            ref=pa.array([7]),
            kind=pa.array(["payment"]).dictionary_encode(),
            amount=pa.array([Decimal("12.50")], pa.decimal128(12, 2)),
            effective_on=pa.array([date(2026, 3, 1)], pa.date32()),
            recorded_at=pa.array([at], pa.timestamp("ns", "Asia/Shanghai")),
            ends=pa.array([""]),
        ),
    )
    assert read_source(path, KINDS["movements"]).rows.to_pylist() == [
        {"ref": "7", "loan": "L1", "kind": "payment", "amount": "12.50", "effective_on": "2026-03-01",
         "recorded_at": "2026-03-01 01:02:03.456789Z", "ends": None, "row": 2}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda pa: {"amount": pa.array([1.5])},
         "column `amount` is floating point, which cannot hold an amount exactly\n  mend: write it as decimal, integer or text"),
        (lambda pa: {"recorded_at": pa.array([datetime(2026, 3, 1)])},
         "column `recorded_at` holds instants without a zone\n  mend: write it as timestamp(us, UTC)"),
        (lambda pa: {"effective_on": pa.array([datetime(2026, 3, 1)])},
         "column `effective_on` holds instants\n  mend: write it as date32"),
        (lambda pa: {"kind": pa.array([["payment"]])},
         "column `kind` is of type list<element: string>\n  mend: write it as text"),
    ],
)  # fmt: skip
def test_parquet_types_that_cannot_mean_it(tmp_path: Path, make: Callable[[Any], dict[str, Any]], message: str) -> None:
    """A float is no amount, and an instant without a zone is no instant."""
    import pyarrow as pa

    path = parquet(tmp_path / "movements.parquet", movements(**make(pa)))
    assert refused(path, "movements") == f"movements.parquet: {message}"


def test_parquet_headers_are_checked_alike(tmp_path: Path) -> None:
    """Before any value is read."""
    path = parquet(tmp_path / "movements.parquet", {**movements(), "amounts": ["1"]})
    assert refused(path, "movements") == "movements.parquet:1: unknown column `amounts`\n  mend: write `amount`"


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    """Is refused with what the reader says."""
    path = tmp_path / "movements.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    assert refused(path, "movements").startswith("movements.parquet: not readable as Parquet: ")


def test_folder_names_add_no_columns(tmp_path: Path) -> None:
    """A folder such as `date=2026-03-01` is where a file lies, not what it says."""
    folder = tmp_path / "date=2026-03-01"
    folder.mkdir()
    path = parquet(folder / "movements.parquet", movements())
    assert read_source(path, KINDS["movements"]).header == set(movements())


# --- which files ------------------------------------------------------------------------------------------------------


def test_files_are_found_by_their_names_in_order(tmp_path: Path) -> None:
    """What is referred to comes first; rejects of an earlier import and other files are left alone."""
    for name in (
        "movements-02.csv",
        "movements-01.parquet",
        "loans.csv",
        "people.csv",
        "people.csv.rejects.csv",
        "README.md",
    ):
        (tmp_path / name).touch()
    assert [(kind.name, path.name) for kind, path in find_files(tmp_path)] == [
        ("people", "people.csv"),
        ("loans", "loans.csv"),
        ("movements", "movements-01.parquet"),
        ("movements", "movements-02.csv"),
    ]
    assert find_files(tmp_path / "README.md", KINDS["loans"]) == [(KINDS["loans"], tmp_path / "README.md")]


def test_a_file_named_after_no_kind_is_not_passed_over(tmp_path: Path) -> None:
    """A misspelt payment file that is silently left out would have borrowers chased who have paid."""
    (tmp_path / "movement.csv").touch()
    (tmp_path / "zzz.csv").touch()
    with pytest.raises(DataError) as error:
        find_files(tmp_path)
    kinds = ", ".join(f"`{name}.csv`" for name in KINDS)
    assert str(error.value).replace(f"{tmp_path}/", "") == (
        "`movement.csv` is named after no kind of file\n  mend: name it `movements.csv`\n"
        f"`zzz.csv` is named after no kind of file\n  mend: name it after its kind: {kinds}"
    )


def test_a_folder_without_files(tmp_path: Path) -> None:
    """Says what files are called."""
    kinds = ", ".join(f"`{name}.csv`" for name in KINDS)
    with pytest.raises(DataError) as error:
        find_files(tmp_path)
    assert (
        str(error.value) == f"`{tmp_path}` holds no CSV or Parquet file\n  mend: name them after their kinds: {kinds}"
    )
    with pytest.raises(DataError) as error:
        find_files(tmp_path, KINDS["loans"])
    assert str(error.value) == (
        f"`{tmp_path}` is a folder\n  mend: leave `--kind` out: its files are named after their kinds"
    )
