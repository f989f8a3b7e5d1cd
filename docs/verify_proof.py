#!/usr/bin/env python3
"""
Check a proof file or an export of a Duecourse log, without Duecourse.

    python verify_proof.py PROOF --keys KEYS [--since CHECKPOINT]
    python verify_proof.py FOLDER --keys KEYS

PROOF was written by `duecourse audit prove`, FOLDER by `duecourse audit export`. KEYS holds the log's public keys, one a line, as the lender publishes them:
get it by another way than the proof. CHECKPOINT is an older one that you kept: then it is also checked that the log has
only grown since. The formats are described in log-format.md, so that this can be written anew in any language.

Exit code 0: everything in the file stands as it was signed. 3: it does not. 4: it cannot be told, because the file or
the keys are not of a kind that this program knows. It needs Python 3.9 or newer, the library `cryptography`, and for an
export as Parquet the library `pyarrow`. What it prints of the evidence stands on one line each: control characters, line
breaks and whatever else nobody would see are spelled as `\\n`, `\\x1b`, `\\u202e`.
"""

import argparse
import base64
import binascii
import csv
import hashlib
import json
import os
import re
import sys
import unicodedata
from datetime import datetime, timedelta, timezone

FORMAT = "duecourse-proof/"
VERSION = "1"
BYTES_MAX = 512 * 1024 * 1024
NUMBER = re.compile("0|[1-9][0-9]{0,17}")
INTEGER = re.compile("0|-?[1-9][0-9]{0,18}")
DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
HEX = re.compile("[0-9a-f]{64}")
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


class No(Exception):
    """What is claimed does not hold."""


class CannotTell(Exception):
    """It may hold or not: this program cannot know."""


# --- the file -----------------------------------------------------------------------------------------------------


def read_text(path, what):
    """A file as text."""
    try:
        with open(path, "rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise CannotTell(f"{what} cannot be read: {error.strerror}")
    if len(data) > BYTES_MAX:
        raise CannotTell(f"{what} is larger than this program reads")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CannotTell(f"{what} is no text")


def decode(text, where, size=None):
    """Base64 in its one spelling: what only reads alike is not what was written."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise No(f"{where}: not base64")
    if base64.b64encode(data).decode() != text or (size is not None and len(data) != size):
        raise No(f"{where}: not as it was written")
    return data


def number(text, where):
    """A whole number in its one spelling."""
    if not NUMBER.fullmatch(text):
        raise No(f"{where}: no number")
    return int(text)


class Lines:
    """The lines of the proof, taken one after the other."""

    def __init__(self, lines):
        self.lines, self.at = lines, 0

    def word(self):
        """The first word of the next line; empty at the end."""
        return self.lines[self.at].partition(" ")[0] if self.at < len(self.lines) else ""

    def take(self, word):
        """What follows that word on the next line."""
        if self.word() != word:
            raise No(f"line {self.at + 1}: `{word}` is missing: the file is cut short, or its lines are out of order")
        self.at += 1
        return self.lines[self.at - 1].partition(" ")[2]

    def path(self):
        """The hashes that follow."""
        hashes = []
        while self.word() == "path":
            hashes.append(decode(self.take("path"), f"line {self.at}", 32))
        return hashes


def read_proof(text):
    """The entries of a proof, what it says of growth, and its checkpoint."""
    first = text.partition("\n")[0]
    if not first.startswith(FORMAT):
        raise CannotTell("this is no proof file")
    if first != FORMAT + VERSION:
        raise CannotTell(f"its format is {first[:40]!r}, this program knows {FORMAT}{VERSION}: get a newer one")
    head, parted, note = text.partition("\n\n")
    if not parted:
        raise No("its checkpoint is missing: the file is cut short")
    lines = Lines(head.split("\n")[1:])
    count = number(lines.take("entries"), "line 2")
    entries = []
    while lines.word() == "entry":
        position = number(lines.take("entry"), f"line {lines.at + 1}")
        if entries and position <= entries[-1]["position"]:
            raise No(f"line {lines.at + 1}: entries are out of order")
        data = decode(lines.take("data"), f"line {lines.at + 1}")
        entry = {"position": position, "data": data, "path": lines.path(), "open": {}}
        while lines.word() == "open":
            words = lines.take("open").split(" ")
            if len(words) != 3 or (entry["open"] and words[0] <= max(entry["open"])):
                raise No(f"line {lines.at + 1}: no opening of a field, or out of order")
            entry["open"][words[0]] = (words[1], decode(words[2], f"line {lines.at + 1}"))
        entries.append(entry)
    if len(entries) != count:
        raise No(f"it says that it holds {count} entries, and holds {len(entries)}")
    grown = None
    if lines.word() == "grown":
        old = number(lines.take("grown"), f"line {lines.at + 1}")
        grown = (old, lines.path())
    if lines.at < len(lines.lines):
        raise No(f"line {lines.at + 2}: it does not belong here")
    return entries, grown, note


# --- checkpoints and keys -----------------------------------------------------------------------------------------


def read_keys(text):
    """Public keys: name, id, key, from when, until when (None: still)."""
    keys = []
    for at, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            name, key_id, key = words[0].split("+", 2)
            raw = base64.b64decode(key, validate=True)
            times = [instant(word) for word in words[1:]]
            if len(raw) != 33 or raw[0] != 1 or len(times) not in (1, 2) or key_hash(name, raw).hex() != key_id:
                raise ValueError
        except (ValueError, binascii.Error):
            raise CannotTell(f"line {at} of the keys is no public key with its time")
        keys.append((name, bytes.fromhex(key_id), raw[1:], times[0], times[1] if len(times) == 2 else None))
    if not keys:
        raise CannotTell("the file of keys holds none")
    return keys


def key_hash(name, raw):
    """The four bytes by which a signature names its key."""
    return hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]


def instant(text):
    """An instant in the one spelling that checkpoints have."""
    at = datetime.strptime(text, INSTANT).replace(tzinfo=timezone.utc)
    if at.strftime(INSTANT) != text:
        raise ValueError
    return at


def read_checkpoint(note, keys, what):
    """Size, root, instant and key of a checkpoint that one of the keys signed while it was in use."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise CannotTell("the library `cryptography` is not installed: pip install cryptography")
    body, parted, signature = note.partition("\n\n")
    lines, words = body.split("\n"), signature.split(" ")
    if not parted or len(lines) != 4 or len(words) != 3 or words[0] != "\u2014" or not words[2].endswith("\n"):
        raise No(f"{what} is no signed checkpoint, or is cut short")
    signed = decode(words[2][:-1], f"the signature of {what}", 68)
    size, root = number(lines[1], what), decode(lines[2], what, 32)
    try:
        if not lines[3].startswith("at "):
            raise ValueError
        at = instant(lines[3][3:])
    except ValueError:
        raise No(f"{what} does not say when it was made")
    named = [key for key in keys if key[0] == words[1] and key[1] == signed[:4]]
    if not named:
        raise No(f"{what} is signed by nobody you trust: {words[1]!r}, key {signed[:4].hex()}")
    if lines[0] != words[1]:
        raise No(f"{what} is signed for another log than it names")
    for _, _, public, since, until in named:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signed[4:], (body + "\n").encode())
        except (InvalidSignature, ValueError):
            continue
        if since <= at and (until is None or at <= until):
            return {"log": lines[0], "size": size, "root": root, "at": at, "key": signed[:4].hex()}
        raise No(f"{what} is of {lines[3][3:]}, when its key was not in use")
    raise No(f"the signature of {what} does not fit what it says")


# --- the tree (RFC 9162) ------------------------------------------------------------------------------------------


def leaf_hash(data):
    """An entry as a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    """Two subtrees together."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def included(leaf, position, size, path, root):
    """RFC 9162, 2.1.3.2."""
    if position >= size:
        return False
    at, last, hashed = position, size - 1, leaf
    for other in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            hashed = node_hash(other, hashed)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            hashed = node_hash(hashed, other)
        at, last = at >> 1, last >> 1
    return last == 0 and hashed == root


def consistent(old, old_root, size, root, path):
    """RFC 9162, 2.1.4.2."""
    if old == size:
        return not path and old_root == root
    if not 0 < old < size or not path:
        return False
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for other in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(other, first), node_hash(other, second)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, other)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == root


# --- entries ------------------------------------------------------------------------------------------------------


def elements(data):
    """Letter and bytes of each element."""
    found, at = [], 0
    while at < len(data):
        colon = data.find(b":", at)
        length = data[at + 1 : colon].decode("ascii", "replace") if colon > at else ""
        if not NUMBER.fullmatch(length) or colon + 1 + int(length) > len(data):
            raise No("an entry is not made of elements")
        at_end = colon + 1 + int(length)
        found.append((chr(data[at]), data[colon + 1 : at_end]))
        at = at_end
    return found


def read_value(letter, data):
    """A value for people."""
    try:
        text = data.decode("utf-8")
        if letter == "n" and not data:
            return "(null)"
        if letter == "b" and text in ("0", "1"):
            return "true" if text == "1" else "false"
        if letter == "s" or (letter == "i" and INTEGER.fullmatch(text)) or (letter == "d" and DAY.fullmatch(text)):
            return text
        if letter == "t" and INTEGER.fullmatch(text):
            whole, micro = divmod(int(text), 1_000_000)
            return f"{datetime.fromtimestamp(whole, timezone.utc):%Y-%m-%d %H:%M:%S}.{micro:06}Z"
        if letter == "h" and HEX.fullmatch(text):
            return f"(withheld, {text})"
    except (ValueError, OverflowError, OSError):
        pass
    raise No(f"an entry holds a value of type `{letter}` that cannot be read")


def read_entry(entry):
    """Kind and fields of an entry, withheld ones opened where the file opens them."""
    parts = elements(entry["data"])
    if len(parts) < 3 or [letter for letter, _ in parts[:3]] != ["v", "k", "c"]:
        raise No("an entry has no head")
    if parts[0][1] != VERSION.encode():
        raise CannotTell("an entry is spelled in a version that this program does not know: get a newer one")
    names, values = parts[3::2], parts[4::2]
    read = [name for _, name in names]
    if parts[2][1] != b"%d" % len(names) or len(names) != len(values) or sorted(set(read)) != read:
        raise No("the fields of an entry are not those that it says it has")
    fields = {}
    for (letter, name), (kind, data) in zip(names, values):  # noqa: B905 - as many; Python 3.9 knows no `strict`
        if letter != "f":
            raise No("a field of an entry has no name")
        field = name.decode("utf-8", "replace")
        fields[field] = read_value(kind, data)
        if field in entry["open"]:
            salt, element = entry["open"].pop(field)
            if kind != "h" or hashlib.sha256(salt.encode() + element).hexdigest().encode() != data:
                raise No(f"what the file tells of the withheld field {field!r} is not what was logged")
            opened = elements(element)
            if len(opened) != 1:
                raise No(f"the withheld field {field!r} is opened to more than one value")
            fields[field] = read_value(*opened[0])
    if entry["open"]:
        raise No(f"there is no field {next(iter(entry['open']))!r} to open")
    return parts[1][1].decode("utf-8", "replace"), fields


# --- exports ------------------------------------------------------------------------------------------------------


EXPORT = "duecourse-export/"
STRETCH = "duecourse-stretch/"
ROWS = 10_000
LETTERS = {"integer": "i", "instant": "t", "date": "d", "flag": "b", "text": "s", "withheld": "h"}
DERIVED = {
    "verdict": ["position", "rule", "outcome", "citation"],
    "contact": [
        "position", "contact_id", "loan_id", "person", "role", "channel", "purpose", "rule", "endpoint",
    ],
}  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def check_export(folder, keys):
    """Lines for people about an export that holds: every row is of the log, none is missing. Raises No and CannotTell."""
    manifest = read_manifest(folder)
    files = {file["name"]: file for file in manifest["files"]}
    there = set(os.listdir(folder)) - {"manifest.json", "proof.txt"}
    for name in sorted(there - set(files)):
        raise No(f"{name!r} does not belong to the export")
    start, end, path, note = read_stretch(read_text(os.path.join(folder, "proof.txt"), "proof.txt"))
    checkpoint = read_checkpoint(note, read_keys(keys), "the checkpoint")
    if end > checkpoint["size"] or start >= end or manifest["positions"] != {"from": start, "to": end}:
        raise No("the stretch of the log that the manifest names is not that of the proof")
    leaves, derived, expected, counts = {}, {}, {"verdict": [], "contact": []}, {}
    for name, file in sorted(files.items()):
        whole = os.path.join(folder, name)
        if not os.path.isfile(whole):
            raise No(f"{name} is missing")
        count = 0
        for row in read_rows(whole, file):
            count += 1
            if file["table"] in DERIVED:
                derived.setdefault(file["table"], []).append(tuple(row.values()))
                continue
            position, data = row["position"], row_entry(file, row)
            if type(position) is not int or not start <= position < end or position in leaves:
                raise No(f"{name}: position {position} does not belong there, or stands there twice")
            leaves[position] = leaf_hash(data)
            expect(file["table"], row, expected)
        if count != file["rows"]:
            raise No(f"{name} has {count} rows, and the manifest says {file['rows']}")
        if sha256_of(whole) != file["sha256"]:
            raise No(f"{name} is not what the manifest says")
        counts[file["table"]] = count
    for position in range(start, end):
        if position not in leaves:
            raise No(f"the entry at position {position} is missing")
    if stretch_root(leaves, start, end, checkpoint["size"], path) != checkpoint["root"]:
        raise No("the rows are not what was signed: something in them was changed")
    for table, rows in expected.items():
        # In the order of positions, and in each entry as it stands there.
        if derived.get(table, []) != [row for _, some in sorted(rows) for row in some]:
            raise No(f"the table {table!r} is not what follows from the entries")
    said = [f"{table}: {count} rows" for table, count in counts.items()]
    about = f"as `{checkpoint['log']}` signed it at {checkpoint['at']:%Y-%m-%d %H:%M}Z with key {checkpoint['key']}"
    said.append(f"positions {start} to {end - 1} of the log of {checkpoint['size']} entries, none missing, {about}")
    return said


def read_manifest(folder):
    """What the manifest says, as far as this program needs it."""
    try:
        manifest = json.loads(read_text(os.path.join(folder, "manifest.json"), "manifest.json"))
    except (ValueError, RecursionError):
        raise CannotTell("manifest.json cannot be read: it is cut short, or none of ours")
    form = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(form, str) or not form.startswith(EXPORT):
        raise CannotTell("this folder is no export")
    if form != EXPORT + VERSION:
        raise CannotTell(f"its format is {form[:40]!r}, this program knows {EXPORT}{VERSION}: get a newer one")
    try:
        for file in manifest["files"]:
            name = file["name"]
            if os.path.basename(name) != name or [name.rpartition(".")[0]] != [file["table"]]:
                raise ValueError
            types = {column["name"]: column["type"] for column in file["columns"]}
            # Half a character in a name (JSON can spell one) is none that anybody could have written.
            "".join([name, *types]).encode("utf-8")
            if any(of not in LETTERS for of in types.values()) or len(types) != len(file["columns"]):
                raise ValueError
            if file["table"] in DERIVED and list(types) != DERIVED[file["table"]]:
                raise ValueError
            if (
                not isinstance(file["sha256"], str)
                or type(file["rows"]) is not int
                or types.get("position") != "integer"
            ):
                raise ValueError
        if len({file["name"] for file in manifest["files"]}) != len(manifest["files"]):
            raise ValueError
        manifest["positions"]["from"], manifest["positions"]["to"]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise No("the manifest is not as it was written")
    return manifest


def read_stretch(text):
    """From where to where, the hashes beside it, and the checkpoint."""
    first = text.partition("\n")[0]
    if not first.startswith(STRETCH):
        raise CannotTell("proof.txt is no proof of a stretch")
    if first != STRETCH + VERSION:
        raise CannotTell(f"the format of proof.txt is {first[:40]!r}, this program knows {STRETCH}{VERSION}")
    head, parted, note = text.partition("\n\n")
    if not parted:
        raise CannotTell("proof.txt is cut short")
    lines = Lines(head.split("\n")[1:])
    start, end = number(lines.take("from"), "line 2"), number(lines.take("to"), "line 3")
    path = lines.path()
    if lines.at < len(lines.lines):
        raise No(f"line {lines.at + 2} of proof.txt does not belong there")
    return start, end, path, note


def read_rows(path, file):
    """The rows of a table: values by column, as entries have them."""
    types = {column["name"]: column["type"] for column in file["columns"]}
    yield from (read_csv if path.endswith(".csv") else read_parquet)(path, file["name"], types)


def read_csv(path, name, types):
    """The rows of a CSV file."""
    with open(path, "rb") as raw:
        raw.seek(0, os.SEEK_END)
        if raw.tell():
            raw.seek(-1, os.SEEK_END)
        if raw.read(1) != b"\n":
            raise CannotTell(f"{name} is cut short")
    csv.field_size_limit(BYTES_MAX)
    with open(path, encoding="utf-8", newline="") as text:
        rows = csv.reader(text, strict=True)
        try:
            if next(rows) != list(types):
                raise No(f"{name} has other columns than the manifest says")
            for cells in rows:
                if len(cells) != len(types):
                    raise No(f"{name}: line {rows.line_num} has another number of cells")
                yield {
                    column: read_cell(cell, of, f"{name}, line {rows.line_num}")
                    for (column, of), cell in zip(types.items(), cells)  # noqa: B905 - as many
                }
        except csv.Error:
            raise CannotTell(f"{name} is cut short")
        except UnicodeDecodeError:
            raise No(f"{name} is no text")


def read_cell(cell, of, where):
    """A value from its one spelling in CSV."""
    if cell == "":
        return None
    if of == "text":
        plain = cell[1:] if cell[0] == "'" else cell
        if (cell[0] == "'") != (plain == "" or plain[0] in "=+-@\t\r'"):
            raise No(f"{where}: not as it was written")
        return plain
    if of == "integer" and INTEGER.fullmatch(cell):
        return int(cell)
    if (of == "date" and DAY.fullmatch(cell)) or (of == "withheld" and HEX.fullmatch(cell)):
        return cell
    if of == "flag" and cell in ("true", "false"):
        return cell == "true"
    if of == "instant":
        try:
            return instant(cell)
        except ValueError:
            pass
    raise No(f"{where}: {cell[:40]!r} is no {of} as it is written")


def read_parquet(path, name, types):
    """The rows of a Parquet file."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise CannotTell("the library `pyarrow` is not installed: pip install pyarrow")
    try:
        with pq.ParquetFile(path) as table:
            if table.schema_arrow.names != list(types):
                raise No(f"{name} has other columns than the manifest says")
            for column in table.schema_arrow:
                # Nanoseconds or a clock without a zone could be read as another instant than was logged.
                if types[column.name] == "instant" and column.type != pa.timestamp("us", "UTC"):
                    raise No(f"{name}: the column {column.name!r} holds no instants as they are written")
            for batch in table.iter_batches(batch_size=ROWS):
                for row in batch.to_pylist():
                    yield {c: str(v) if types[c] == "date" and v is not None else v for c, v in row.items()}
    except (pa.ArrowException, OSError):
        raise CannotTell(f"{name} is cut short, or no Parquet file")
    except (ValueError, TypeError, OverflowError):
        # Text that is no UTF-8, an instant of no year that there is: well-formed, and never written by an export.
        raise No(f"{name} holds a value that cannot be read")


def row_entry(file, row):
    """The entry of the log that a row is."""
    kind, names = file["table"], sorted(set(row) - {"position"})
    types = {column["name"]: column["type"] for column in file["columns"]}
    made = [(b"v", VERSION.encode()), (b"k", kind.encode()), (b"c", b"%d" % len(names))]
    for name in names:
        made += [
            (b"f", name.encode()),
            row_value(row[name], types[name], f"{file['name']}, position {row['position']}"),
        ]
    return b"".join(letter + b"%d:" % len(data) + data for letter, data in made)


def row_value(value, of, where):
    """Letter and bytes of a value."""
    if value is None:
        return b"n", b""
    if of == "instant" and isinstance(value, datetime):
        # Whole microseconds: floats would lose some.
        return b"t", b"%d" % ((value - EPOCH) // timedelta(microseconds=1))
    if of == "flag" and isinstance(value, bool):
        return b"b", b"1" if value else b"0"
    if of == "integer" and type(value) is int:
        return b"i", b"%d" % value
    if of in ("text", "date", "withheld") and isinstance(value, str):
        return LETTERS[of].encode(), value.encode("utf-8", "surrogatepass")
    raise No(f"{where}: a value is no {of}")


def stretch_root(leaves, start, end, size, path):
    """The root that the leaves of a stretch and the hashes beside it make; None where these are not as many as needed."""
    beside = iter(path)

    def walk(low, high):
        if high <= start or end <= low:
            return next(beside)
        if high - low == 1:
            return leaves[low]
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        return node_hash(walk(low, middle), walk(middle, high))

    try:
        # StopIteration must not pass for an end.
        root = walk(0, size)
    except StopIteration:
        return None
    return root if next(beside, None) is None else None


def expect(table, row, expected):
    """What the derived tables must hold of an entry."""
    try:
        if table == "decision":
            trace = json.loads(row["trace_json"])
            by_hand = trace.get("by_hand") or {}
            acts = [act for candidate in trace["candidates"] for act in candidate.get("acts", [])]
            acts += by_hand.get("acts", [])
            reasons = [reason for move in trace["moves"] for reason in reasons_of(move)]
            for act in acts:
                reasons += reasons_of(act) + act.get("delays", [])
            expected["contact"].append((row["position"], list(planned(row, trace, by_hand))))
        elif table == "contact_status":
            reasons = json.loads(row["detail_json"]).get("reasons", [])
        else:
            return
        said = [(row["position"], reason["rule"], reason["outcome"], reason["citation"]) for reason in reasons]
        expected["verdict"].append((row["position"], said))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError):
        raise No(f"what position {row['position']} explains cannot be read")


def reasons_of(judged):
    """The reasons of a verdict."""
    return list((judged.get("verdict") or {}).get("reasons", []))


def planned(row, trace, by_hand):
    """The contacts that a decision planned, or that somebody made by hand."""
    of = ("person", "role", "channel", "purpose", "rule")
    for at, one in enumerate(trace["contacts"]):
        name = f"{row['run_id']}-{row['loan_id']}-{at}"
        yield (row["position"], name, row["loan_id"], *(one[word] for word in of), one.get("endpoint"))
    if by_hand.get("contact") is not None and by_hand["acts"]:
        act = by_hand["acts"][0]
        who = (act["person"], act["role"], act["channel"], by_hand["purpose"])
        yield (row["position"], by_hand["contact"], row["loan_id"], *who, None, act.get("endpoint"))


def sha256_of(path):
    """SHA-256 of a file, in hex."""
    made = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            made.update(block)
    return made.hexdigest()


def check(proof, keys, since=None):
    """Lines for people about a proof that holds. Raises No and CannotTell."""
    entries, grown, note = read_proof(proof)
    trusted = read_keys(keys)
    checkpoint = read_checkpoint(note, trusted, "the checkpoint")
    said = []
    for entry in entries:
        if not included(
            leaf_hash(entry["data"]), entry["position"], checkpoint["size"], entry["path"], checkpoint["root"]
        ):
            raise No(f"the entry at position {entry['position']} is not in the log that was signed")
        kind, fields = read_entry(entry)
        said.append(f"{kind}, position {entry['position']}")
        said += [f"  {name}: {value}" for name, value in fields.items()]
    if since is not None:
        old = read_checkpoint(since, trusted, "the older checkpoint")
        if grown is None:
            raise CannotTell("the file does not prove that the log only grew: ask for one with `--since`")
        if old["log"] != checkpoint["log"] or grown[0] != old["size"]:
            raise CannotTell("the file proves growth since another checkpoint than yours")
        if not consistent(old["size"], old["root"], checkpoint["size"], checkpoint["root"], grown[1]):
            raise No("the log did not only grow since your checkpoint: it was rewritten")
        said.append(f"the log only grew since {old['size']} entries, signed {old['at']:%Y-%m-%d %H:%M}Z")
    elif grown is not None:
        raise CannotTell(f"it proves growth since {grown[0]} entries: hand in that checkpoint with --since")
    about = f"as `{checkpoint['log']}` signed it at {checkpoint['at']:%Y-%m-%d %H:%M}Z with key {checkpoint['key']}"
    said.append(f"{len(entries)} entries stand in the log of {checkpoint['size']} entries {about}")
    return said


def main(arguments=None):
    """Check one file; how it went."""
    parser = argparse.ArgumentParser(description="Check a proof file or an export of a Duecourse log.")
    parser.add_argument("proof", help="a proof file, or the folder of an export")
    parser.add_argument("--keys", required=True, help="the log's public keys")
    parser.add_argument("--since", help="an older checkpoint that you kept")
    given = parser.parse_args(arguments)
    try:
        since = read_text(given.since, "the older checkpoint") if given.since else None
        keys = read_text(given.keys, "the file of keys")
        if os.path.isfile(os.path.join(given.proof, "manifest.json")):
            said = check_export(given.proof, keys)
        else:
            said = check(read_text(given.proof, "the proof"), keys, since)
    except No as answer:
        tell([f"no: {answer}"])
        return 3
    except CannotTell as answer:
        tell([f"cannot tell: {answer}"])
        return 4
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, OSError) as error:
        # Nobody has thought of this way to be broken: it was not checked to its end, and so neither stands nor falls.
        tell([f"cannot tell: something in it cannot be read ({type(error).__name__}: {error})"])
        return 4
    tell(said)
    return 0


def tell(lines):
    """Print lines that hold what strangers wrote: none of it may look like a further line, or move the cursor."""
    text = "".join(visible(line) + "\n" for line in lines)
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.buffer.flush()


def visible(text):
    """A text on one line, what cannot be seen spelled by its escape."""
    return "".join(
        # Spaces other than the usual one are part of Chinese texts, and do no harm.
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


if __name__ == "__main__":
    sys.exit(main())
