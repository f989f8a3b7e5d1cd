"""
The documentation as data: pages, links, code blocks, and the sessions that its `console` blocks show.

A page's `console` blocks are one terminal session in an empty folder: `$ ` begins a command, what follows is its
output, `...` on a line of its own stands for anything, `# exit 3` at a command's end is its exit code. A `diff` block
in between edits a file, as the reader does. Everything else is shown and not run.

    python -m tests.pages docs/operator.md ...     runs the pages and writes the real output into them
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_FENCE: Final = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_EXIT: Final = re.compile(r"# exit ([0-9]+)$")
_COLUMNS: Final = "120"
_SECONDS_MAX: Final = 600
_OF_TODAY: Final = re.compile("rules of packs are due to be read again")
"""A note that comes with the calendar: no part of what a page shows."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its text, and where that text stands in the page."""

    language: str
    text: str
    start: int
    line: int


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a session, the output shown below it, and the exit code it ends with."""

    command: str
    shown: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command really printed, standard error included, and how it ended."""

    output: str
    exit_code: int


def pages() -> list[Path]:
    """Every page, by name."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("duecourse/**/*.md")])


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    return [
        Block(match[2], match[3], match.start(3), text.count("\n", 0, match.start(3)) + 1)
        for match in _FENCE.finditer(text)
    ]


def links(text: str) -> list[str]:
    """Where a page's links lead, code aside."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """The names that a page's headings can be linked by."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def steps(block: Block) -> Iterator[Step]:
    """The commands of a `console` block."""
    command, shown = "", ""
    for line in [*block.text.splitlines(keepends=True), "$ "]:
        if line.startswith("$ "):
            if command:
                yield Step(command, shown, int(code[1]) if (code := _EXIT.search(command)) else 0)
            command, shown = line[2:].rstrip(), ""
        else:
            shown += line


def duecourse_lines(text: str) -> Iterator[list[str]]:
    """The words behind `duecourse` of every command that a page shows, in blocks and in sentences."""
    shown = [step.command for block in blocks(text) if block.language == "console" for step in steps(block)]
    shown += [line for block in blocks(text) if block.language == "sh" for line in block.text.splitlines()]
    shown += re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
    for line in shown:
        plain = line.partition("# ")[0]
        for part in re.split(r"&&|\||[0-9]*>", plain):
            words = shlex.split(part) if part.count("'") % 2 == 0 else []
            if words and words[0] in ("duecourse", ".venv/bin/duecourse"):
                yield words[1:]


class Session:
    """A reader at a terminal, in a folder that looks like a fresh clone's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A page names the shipped files as they are seen from the repository.
        for name in ("duecourse", "rules", "compliance", "docs"):
            (folder / name).symlink_to(ROOT / name)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DUECOURSE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        self._environment = kept | {"PATH": path, "COLUMNS": _COLUMNS, "TERM": "dumb", "LANG": "C.UTF-8"}

    def run(self, command: str) -> Ran:
        """What the command prints, trailing blanks aside."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS_MAX,
            check=False,
        )
        output = "\n".join(line.rstrip() for line in done.stdout.splitlines() if not _OF_TODAY.search(line))
        return Ran(f"{output}\n" if output else "", done.returncode)

    def edit(self, diff: str) -> None:
        """Do what a `diff` block shows; what it takes away must be there, once."""
        lines = diff.splitlines()
        file = (self._folder / lines[0].removeprefix("--- ").strip()).resolve()
        assert file.is_relative_to(self._folder.resolve()), f"{file} is not the reader's own"
        old = "".join(f"{line[1:]}\n" for line in lines[1:] if line[:1] in ("-", " "))
        new = "".join(f"{line[1:]}\n" for line in lines[1:] if line[:1] in ("+", " "))
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file.name} holds this {text.count(old)} times:\n{old}"
        file.write_text(text.replace(old, new), encoding="utf-8")


def same(shown: str, printed: str) -> bool:
    """Whether what a page shows is what was printed; `...` on a line of its own stands for anything."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + r"\n"
        for line in shown.splitlines()
    )
    return re.fullmatch(pattern, printed) is not None


def play(text: str, folder: Path) -> Iterator[tuple[Block, Step, Ran]]:
    """Run a page's session from its first block to its last."""
    session = Session(folder)
    for block in blocks(text):
        if block.language == "diff":
            session.edit(block.text)
        elif block.language == "console":
            for step in steps(block):
                yield block, step, session.run(step.command)


def refresh(page: Path) -> bool:
    """Write the real output into a page, where it differs; outputs with `...` are left to their author."""
    text = page.read_text(encoding="utf-8")
    replaced: dict[int, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for block, step, ran in play(text, Path(folder)):
            command = step.command
            if ran.exit_code != step.exit_code:
                command = _EXIT.sub("", command).rstrip() + (f" # exit {ran.exit_code}" if ran.exit_code else "")
            output = step.shown if same(step.shown, ran.output) or "...\n" in step.shown else ran.output
            if not same(output, ran.output):
                sys.stdout.write(f"{page}:{block.line}: write this by hand: $ {step.command}\n{ran.output}")
            replaced.setdefault(block.start, []).append(f"$ {command}\n{output}")
    new = text
    for block in reversed(blocks(text)):
        if block.start in replaced:
            new = new[: block.start] + "".join(replaced[block.start]) + new[block.start + len(block.text) :]
    page.write_text(new, encoding="utf-8")
    return new != text


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}: {'rewritten' if refresh(Path(name)) else 'as it was'}\n")
