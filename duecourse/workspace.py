"""
A lender's own folder, and what is read from it.

    duecourse.yaml         settings
    rules/*.yaml           strategies; *.test.yaml their scenarios; facts.yaml the lender's own facts
    rules/templates/*.yaml messages, letters, scripts
    packs/*.yaml           house packs: they can only tighten what the law packs shipped with Duecourse say
    config/queues.yaml     work queues
    config/schedule.yaml   when what runs
    data/duecourse.db      the book (unless `database:` names another)
    secrets/seal.keys      the keys of what is personal in it
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.files import read_text
from config.queues import read_queues
from config.settings import Settings, load_settings
from duecourse.clock import now
from engine.catalogue import load_catalogue
from engine.errors import Problem, RuleError, SettingsError
from engine.facts import Catalogue

if TYPE_CHECKING:
    from datetime import date

    from channels.template_file import Templates
    from compliance import Gate, Pack, PackDates, Rule
    from engine.rulebook import Rulebook
    from store.db import Database
    from store.sealing import Keyring
    from workflows.deciding.allotment import Queue
    from workflows.scheduling.jobs import Entry
    from workflows.scheduling.status import Status


def shipped_folder() -> Path:
    """Where Duecourse keeps the strategies, packs and queues it ships with."""
    return Path(__file__).resolve().parents[1]


@dataclass
class Workspace:
    """One lender's files, read on demand; every reader refuses a file whole, with place and mend."""

    folder: Path
    settings: Settings
    origins: Mapping[str, str]

    def _texts(self, pattern: str, *, leave_out: str = "") -> dict[str, str]:
        files: dict[str, str] = {}
        for path in sorted(self.folder.glob(pattern)):
            if leave_out and path.name.endswith(leave_out):
                continue
            name = str(path.relative_to(self.folder))
            files[name] = read_text(path, name)
        return files

    @cached_property
    def catalogue(self) -> Catalogue:
        """Built-in facts plus `rules/facts.yaml`."""
        return load_catalogue(*((text, name) for name, text in self._texts("rules/facts.yaml").items()))

    @cached_property
    def queues(self) -> Mapping[str, "Queue"]:
        """Work queues by name."""
        queues: dict[str, Queue] = {}
        for name, text in self._texts("config/queues.yaml").items():
            queues |= read_queues(text, name, self.catalogue)
        return queues

    @cached_property
    def schedule(self) -> Mapping[str, "Entry"]:
        """When what runs."""
        from config.schedule import read_schedule

        entries: dict[str, Entry] = {}
        for name, text in self._texts("config/schedule.yaml").items():
            entries |= read_schedule(text, name)
        return entries

    @cached_property
    def templates(self) -> "Templates":
        """Messages, letters and scripts by name."""
        from channels.template_file import read_templates

        return read_templates(self._texts("rules/templates/*.yaml"))

    @cached_property
    def strategy_files(self) -> Mapping[str, str]:
        """Strategy files by name, without scenarios and facts."""
        files = self._texts("rules/*.yaml", leave_out=".test.yaml")
        return {name: text for name, text in files.items() if not name.endswith("/facts.yaml")}

    @cached_property
    def scenario_files(self) -> Mapping[str, str]:
        """Scenario files by name."""
        return self._texts("rules/*.test.yaml")

    @cached_property
    def rulebook(self) -> "Rulebook":
        """Every strategy, checked together with what it names; its texts, under every pack."""
        from channels.template_wording import facts_by_channel, wording_problems
        from compliance.wording import in_force
        from engine.rulebook import read_rulebook

        today = now().date()

        def read(rules: Sequence["Rule"]) -> "Rulebook":
            said = facts_by_channel(self.templates, rules, on=today)
            return read_rulebook(self.strategy_files, catalogue=self.catalogue, queues=self.queues, templates=said)

        try:
            rules = self.wording_rules
        except RuleError:
            read(())  # what is wrong with the strategies is said as well
            raise
        book = read(rules)
        if problems := wording_problems(self.templates, book, in_force(rules, today)):
            raise RuleError(problems)
        return book

    @cached_property
    def wording_rules(self) -> "Sequence[Rule]":
        """What the packs that can bind this lender say of texts, whatever the day."""
        from compliance.wording import wording_rules

        return wording_rules(self.packs, actor=self.settings.actor, countries=self.settings.countries)

    @cached_property
    def gate(self) -> "Gate":
        """Whoever answers for the law and the house."""
        return self.gate_of(None)

    def gate_of(self, law_on: "date | None") -> "Gate":
        """The same, with the law of one date whatever the date of the contact; None: of the contact's."""
        from compliance import Gate

        return Gate(self.packs, self._countries(self.packs), law_on=law_on)

    @cached_property
    def packs(self) -> "tuple[Pack, ...]":
        """The law packs that ship with Duecourse, and this folder's house packs on top."""
        from compliance import load_packs

        house = self._texts("packs/*.yaml", leave_out=".test.yaml")
        packs = self._shipped
        if house or self.folder != shipped_folder():
            # The house rules are the folder's own, edited or deleted; the law is the same for everybody.
            law = tuple(pack for pack in packs if not pack.is_house)
            packs = law + load_packs(house, self.catalogue, law)
        return packs

    @cached_property
    def pack_dates(self) -> "PackDates":
        """The days that the packs set; what a workspace's own house pack leaves unsaid, the shipped one says."""
        from compliance import PackDates

        floor = (pack for pack in self._shipped if pack.is_house)
        return PackDates(self.gate.packs, actor=self.settings.actor, floor=floor)

    @cached_property
    def _shipped(self) -> "tuple[Pack, ...]":
        from compliance import shipped_packs

        return shipped_packs(self.catalogue)

    def _countries(self, packs: "Sequence[Pack]") -> tuple[str, ...] | None:
        """Where the lender lends, if it says so; each must have a pack of law."""
        law = [pack for pack in packs if not pack.is_house]
        for country in self.settings.countries:
            if not any(pack.reach.holds_in((country,)) for pack in law):
                what = f"`countries` names {country}, and no pack holds the law of it"
                raise SettingsError(Problem(what, "take it out: nobody is contacted where the law is not known"))
        return self.settings.countries or None

    def stands(self, database: "Database") -> "Callable[[], Status]":
        """What to call to see how the book stands at this moment."""
        from workflows.scheduling.status import status

        return lambda: status(database, self.schedule, owner=self.settings.doubts_owner, now=now())

    @property
    def database_url(self) -> str:
        """The database's URL; a relative SQLite path is taken from this folder."""
        url = self.settings.database
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return f"{prefix}{(self.folder / url.removeprefix(prefix)).resolve()}"
        return url

    def open_database(self) -> "Database":
        """
        The book.

        Raises:
            SettingsError: there are no keys, or none that can be used.
            StoreError: it is not there, not ours, older, newer, locked, out of reach, or sealed with other keys.
        """
        database = self.unchecked_database()
        try:
            database.check()
        except BaseException:
            database.close()
            raise
        return database

    def unchecked_database(self) -> "Database":
        """The same before it is known to be one: for whoever makes it, or brings it up to date."""
        from store.db import open_database

        return open_database(self.database_url, keys=self.keys)

    @property
    def keys(self) -> "Keyring":
        """
        What personal data is sealed with.

        Raises:
            SettingsError: there are none, others than their owner can read them, or they are no keys.
        """
        from duecourse.keys import keyring

        return keyring(self.folder, self.settings.seal)


def open_workspace(folder: Path, flags: Mapping[str, Any]) -> Workspace:
    """
    The workspace in that folder.

    Raises:
        SettingsError: its settings do not hold together.
    """
    settings, origins = load_settings(folder, flags)
    return Workspace(folder, settings, origins)
