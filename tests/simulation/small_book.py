"""A few borrowers of the shipped book, drawn by a seed; some of them share a telephone with somebody else."""

import csv
from pathlib import Path
from random import Random
from typing import Final

from duecourse.demo import run

_BOOK = Path(run.__file__).with_name("book")
_SHARED = 2
"""How many of them are given somebody else's number."""
_AGREE: Final = 0.6
"""Share of the people in the United States who have agreed to recorded calls."""

Rows = dict[str, list[dict[str, str]]]


def write_small_book(folder: Path, *, borrowers: int, seed: int) -> None:
    """Write the files of some borrowers, with everybody around their loans."""
    rows = {path.stem: _read(path) for path in sorted(_BOOK.glob("*.csv"))}
    chance = Random(f"{seed}:book")
    # Whoever has instalments and whoever has an account, in equal parts: each has a strategy of its own.
    owners = [
        sorted({row["borrower"] for row in rows["loans"] if row["basis"] == basis}) for basis in ("schedule", "account")
    ]
    people = {ref for some in owners for ref in chance.sample(some, borrowers // 2)}
    loans = {row["ref"] for row in rows["loans"] if row["borrower"] in people}
    people |= {row["person"] for row in rows["parties"] if row["loan"] in loans}
    kept: Rows = {name: [row for row in found if _is_of(row, people, loans)] for name, found in rows.items()}
    _share_numbers(kept, chance)
    _agree_to_recordings(kept, chance)
    folder.mkdir(parents=True)
    for name, found in kept.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[name][0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _is_of(row: dict[str, str], people: set[str], loans: set[str]) -> bool:
    if "loan" in row:
        return row["loan"] in loans
    return row.get("person", row.get("ref")) in people | loans


def _agree_to_recordings(kept: Rows, chance: Random) -> None:
    """Some of those in the United States have agreed to be called by a recording."""
    agreed = [
        {**said, "ref": f"{said['person']}-recorded", "scope": "prerecorded", "channels": "call"}
        for said in kept["consents"]
        if said["channels"] == "sms" and said["person"].startswith("U") and chance.random() < _AGREE
    ]
    kept["consents"] += agreed


def _share_numbers(kept: Rows, chance: Random) -> None:
    mobiles = [row for row in kept["endpoints"] if row["kind"] == "mobile"]
    for zone in sorted({row["zone"] for row in mobiles}):
        there = [row for row in mobiles if row["zone"] == zone]
        if len(there) <= _SHARED:
            continue
        theirs, *others = chance.sample(there, _SHARED + 1)
        for row in others:
            for said in kept["consents"]:
                if said["person"] == row["person"] and said["endpoint"] == row["value"]:
                    said["endpoint"] = theirs["value"]
            row["value"] = theirs["value"]
