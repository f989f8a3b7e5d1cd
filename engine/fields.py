"""Reading a table of a rule file key by key: every wrong key, missing key and wrong value becomes a problem with its mend."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from engine.errors import Place, Problem, unknown_name
from engine.source import Listing, Node, Table, Text

T = TypeVar("T")

_ID: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Fields:
    """
    One table, what it is called in messages, and where its problems go.

    Reading a key that is absent gives None and says nothing, unless it is `required`.
    """

    table: Table
    what: str
    problems: list[Problem]

    @classmethod
    def of(
        cls, node: Node, what: str, keys: Collection[str], problems: list[Problem], *, example: str
    ) -> "Fields | None":
        """Take a node as a table with these keys; None and a problem when it is none. Unknown keys are problems."""
        if not isinstance(node, Table):
            problems.append(Problem(f"{what} is not a table", f"write `{example}`", node.at))
            return None
        for key, at in node.key_at.items():
            if key not in keys:
                problems.append(
                    unknown_name(f"key of {what}", key, keys, at=at, otherwise=f"use one of {', '.join(keys)}")
                )
        return cls(node, what, problems)

    @property
    def at(self) -> Place:
        return self.table.at

    def node(self, key: str) -> Node | None:
        return self.table.items.get(key)

    def refuse(self, what: str, mend: str, at: Place | None = None) -> None:
        self.problems.append(Problem(what, mend, at or self.at))

    def required(self, key: str, example: str) -> Node | None:
        """The value of a key that must be there."""
        node = self.node(key)
        if node is None:
            self.refuse(f"{self.what} has no `{key}`", f"write `{key}: {example}`")
        return node

    def text(self, key: str, *, required: str = "") -> str | None:
        """A text; `required` is an example, and makes the key one that must be there."""
        node = self.required(key, required) if required else self.node(key)
        if node is None:
            return None
        if isinstance(node, Text) and isinstance(node.value, str) and node.value.strip():
            return node.value
        self.refuse(
            f"`{key}` of {self.what} is not a text", f"write `{key}: some words`, in quotes if need be", node.at
        )
        return None

    def identifier(self, key: str, *, required: str) -> str | None:
        """A name of lower-case letters, digits and single hyphens or underscores."""
        name = self.text(key, required=required)
        if name is not None and not _ID.fullmatch(name):
            node = self.table.items[key]
            self.refuse(f"`{name}` is not a name", "use lower-case letters, digits and hyphens: `sms-day-1`", node.at)
            return None
        return name

    def whole(self, key: str, low: int, high: int) -> int | None:
        """A whole number within bounds, both included."""
        node = self.node(key)
        if node is None:
            return None
        if isinstance(node, Text) and type(node.value) is int and low <= node.value <= high:
            return node.value
        self.refuse(f"`{key}` of {self.what} is not a number from {low} to {high}", f"write `{key}: {low}`", node.at)
        return None

    def parsed(self, key: str, read: Callable[[str], T | None], kind: str, example: str) -> T | None:
        """A value in its own notation, such as a length of time, by its reader."""
        node = self.node(key)
        if node is None:
            return None
        value = read(node.raw) if isinstance(node, Text) else None
        if value is None:
            self.refuse(f"`{key}` of {self.what} is not {kind}", f"write `{key}: {example}`", node.at)
        return value

    def one_of(self, key: str, kind: str, known: Collection[str]) -> str | None:
        """One word out of a known few."""
        node = self.node(key)
        if node is None:
            return None
        return next((word for word, _ in self._known(key, kind, known, [node])), None)

    def words(self, key: str, kind: str, known: Collection[str]) -> tuple[str, ...]:
        """A word or a list of words out of a known few, none twice."""
        node = self.node(key)
        if node is None:
            return ()
        items: list[Node] = list(node) if isinstance(node, Listing) else [node]
        seen: dict[str, None] = {}
        for word, at in self._known(key, kind, known, items):
            if word in seen:
                self.refuse(f"{kind} `{word}` stands twice in `{key}` of {self.what}", "keep one of them", at)
            seen[word] = None
        return tuple(seen)

    def names(self, key: str) -> tuple[str, ...]:
        """A name or a list of names of the user's own."""
        node = self.node(key)
        if node is None:
            return ()
        items: list[Node] = list(node) if isinstance(node, Listing) else [node]
        names = []
        for item in items:
            if isinstance(item, Text) and isinstance(item.value, str):
                names.append(item.value)
            else:
                self.refuse(
                    f"`{key}` of {self.what} holds something that is no name", f"write `{key}: [a-name]`", item.at
                )
        return tuple(names)

    def listing(self, key: str, example: str) -> Iterator[Node]:
        """The items of a list; a problem when it is none."""
        node = self.node(key)
        if isinstance(node, Listing):
            yield from node
        elif node is not None:
            self.refuse(f"`{key}` of {self.what} is not a list", f"write `- {example}`", node.at)

    def _known(self, key: str, kind: str, known: Collection[str], items: list[Node]) -> Iterator[tuple[str, Place]]:
        for item in items:
            if not isinstance(item, Text):
                self.refuse(
                    f"`{key}` of {self.what} holds something that is no {kind}",
                    f"use one of {', '.join(known)}",
                    item.at,
                )
            elif item.raw not in known:
                self.problems.append(
                    unknown_name(kind, item.raw, known, at=item.at, otherwise=f"use one of {', '.join(known)}")
                )
            else:
                yield item.raw, item.at
