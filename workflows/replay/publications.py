"""The strategies and the gate of a run, made again from what was published when it decided."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import Select, select

from compliance import Gate, Pack, load_packs
from engine.errors import RuleError
from engine.facts import Catalogue
from engine.reading import read_again
from engine.rulebook import Rulebook
from engine.strategy import Strategy
from store.bulk_arrow import Reader, table_of
from store.log import unreadable
from workflows.deciding.run import ENGINE_VERSION

_HEX: Final = 64


class NotKept(Exception):  # noqa: N818 - it says what, as a sentence begins
    """Something that decided is not there: nobody can derive what followed from it."""


class NotAsKept(Exception):  # noqa: N818 - the same
    """Something that decided is not what its digest says."""


@dataclass(frozen=True, slots=True)
class Deciders:
    """
    What a run decided with.

    Attributes:
        doubt: why a difference may come from this Duecourse being another than the one that decided; empty: it cannot.
    """

    rulebook: Rulebook
    gate: Gate
    doubt: str = ""


class Publications:
    """Reads what was published, each set of strategies and packs once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._made = cache(self._tried)

    def of_run(self, strategies_json: str, gate_digest: str, engine_version: str) -> Deciders:
        """
        What the run decided with.

        Raises:
            NotKept: something of it is missing.
            NotAsKept: something of it was altered.
        """
        made = self._made(strategies_json, gate_digest, engine_version)
        if isinstance(made, Deciders):
            return made
        raise made

    def _tried(self, strategies_json: str, gate_digest: str, engine_version: str) -> Deciders | NotKept | NotAsKept:
        """A failure is remembered as well: what is slow to be refused would be so for each of hundreds of runs."""
        try:
            return self._make(strategies_json, gate_digest, engine_version)
        except (NotKept, NotAsKept) as error:
            return error

    def _make(self, strategies_json: str, gate_digest: str, engine_version: str) -> Deciders:
        try:
            digests: dict[str, str] = dict(json.loads(strategies_json))
        except (ValueError, TypeError, RecursionError):
            raise NotAsKept("the run's list of strategies cannot be read") from None
        if not all(isinstance(digest, str) for digest in digests.values()):
            raise NotAsKept("the run's list of strategies cannot be read")
        strategies: dict[str, Strategy] = {}
        catalogue: Catalogue | None = None
        for name, digest in digests.items():
            strategies[name], catalogue = self._strategy(name, digest)
        if catalogue is None:
            raise NotKept("the run names no strategy")
        gate, calendars = self._gate(gate_digest, catalogue)
        doubts = [f"made by engine version {engine_version}, and this is {ENGINE_VERSION}"]
        doubts = doubts if engine_version != ENGINE_VERSION else []
        doubts += [f"made with {calendars}, and other calendars are installed"] if gate.digest != gate_digest else []
        return Deciders(Rulebook(strategies, catalogue, ""), gate, "; ".join(doubts))

    def _strategy(self, name: str, digest: str) -> tuple[Strategy, Catalogue]:
        source = self._content("strategy", name, digest)
        published = table_of("published")
        wanted = select(published.c.content).where(published.c.kind == "reading", published.c.name == digest)
        what = f"what strategy `{name}` ({digest[:12]}) was read with"
        readings = self._texts(wanted.order_by(published.c.published_at), what)
        if not readings:
            raise NotKept(f"{what} was not kept")
        why = f"strategy `{name}`, as it was kept, is not the one that decided ({digest[:12]})"
        for reading in readings:
            try:
                strategy, catalogue = read_again(name, source, reading)
            except RuleError as error:
                why = f"strategy `{name}`, as it was kept, cannot be read: {error.problems[0].what}"
                continue
            if strategy.digest == digest:
                return strategy, catalogue
        raise NotAsKept(why)

    def _gate(self, digest: str, catalogue: Catalogue) -> tuple[Gate, str]:
        content = self._content("gate", "the list of packs", digest)
        if hashlib.sha256(content.encode()).hexdigest() != digest:
            raise NotAsKept(f"the list of packs, as it was kept, is not the one that decided ({digest[:12]})")
        lines = [line.rpartition(" ") for line in content.splitlines()]
        listed = [(name, hashed) for name, _, hashed in lines if name and len(hashed) == _HEX]
        editions = [f"{name} {edition}" for name, _, edition in lines if name and len(edition) != _HEX]
        if len(editions) != 1:
            raise NotAsKept(f"the list of packs, as it was kept, cannot be read ({digest[:12]})")
        places = [place for name, _, place in lines if not name]
        packs = self._packs([one for one in listed if not one[0].startswith("house.")], catalogue, ())
        house = self._packs([one for one in listed if one[0].startswith("house.")], catalogue, packs)
        gate = Gate((*packs, *house), places)
        # Whatever else the digest is of was compared one by one; only the calendars cannot be made again.
        return gate, editions[0]

    def _packs(self, listed: Sequence[tuple[str, str]], catalogue: Catalogue, law: Sequence[Pack]) -> tuple[Pack, ...]:
        texts = {f"{name} as published": self._content("pack", name, digest) for name, digest in listed}
        try:
            packs = load_packs(texts, catalogue, law)
        except RuleError as error:
            first = error.problems[0]
            raise NotAsKept(f"a pack, as it was kept, cannot be read: {first.at}: {first.what}") from None
        for pack, (name, digest) in zip(packs, listed, strict=True):
            if (pack.id, pack.digest) != (name, digest):
                raise NotAsKept(f"pack `{name}`, as it was kept, is not the one that decided ({digest[:12]})")
        return packs

    def _content(self, kind: str, name: str, digest: str) -> str:
        published = table_of("published")
        wanted = select(published.c.content).where(published.c.digest == digest, published.c.kind == kind)
        what = f"{kind} `{name}` ({digest[:12]})"
        found = self._texts(wanted, what)
        if not found:
            raise NotKept(f"{what} was not kept")
        return found[0]

    def _texts(self, wanted: Select[Any], what: str) -> list[str]:
        """What was published, where it is text: SQLite lets a column hold something else."""
        try:
            found: list[str] = self._reader.read(wanted)["content"].to_pylist()
        except Exception as error:
            if not unreadable(error):
                raise
            raise NotKept(f"{what} cannot be read") from None
        return found
