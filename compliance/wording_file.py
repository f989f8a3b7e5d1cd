"""Reading a limit of kind `wording`: what a text must say and must not, by the phrases that say it."""

import re
from typing import Final

from compliance.pack import ANY, Element, Wording
from compliance.phrases import UnreadablePhrase, read, source
from engine.content import LANGUAGES
from engine.fields import Fields
from engine.source import Listing, Table, Text

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def read_wording(fields: Fields) -> Wording | None:
    """The limit that a rule's keys describe; None and problems when they describe none."""
    if fields.node("acts") is not None:
        fields.refuse("a limit of kind `wording` is about contacts only", "delete `acts`", fields.table.key_at["acts"])
    requires, forbids = _elements(fields, "requires", whole=True), _elements(fields, "forbids", whole=False)
    if fields.node("requires") is None and fields.node("forbids") is None:
        fields.refuse(f"{fields.what} asks for nothing", "write `requires:` or `forbids:`")
        return None
    return Wording(requires, forbids, fields.one_of("before_due", "answer", ("true", "false")) == "true")


def _elements(fields: Fields, key: str, *, whole: bool) -> tuple[Element, ...]:
    """What a text says, by name; `whole`: in every language that a text may be in."""
    node = fields.node(key)
    if node is None:
        return ()
    if not isinstance(node, Table) or not node.items:
        example = f"write `{key}: {{opt_out_notice: {{en: [reply STOP], zh: [回复STOP]}}}}`"
        fields.refuse(f"`{key}` of {fields.what} names nothing that a text says", example, node.at)
        return ()
    return tuple(_element(fields, node, name, whole=whole) for name in node.items)


def _element(fields: Fields, table: Table, name: str, *, whole: bool) -> Element:
    at = table.key_at[name]
    if not _NAME.fullmatch(name):
        fields.refuse(f"`{name}` is not a name", "use lower-case letters and underscores: `opt_out_notice`", at)
    what = f"`{name}` of {fields.what}"
    inner = Fields.of(table.items[name], what, (ANY, *LANGUAGES), fields.problems, example="en: [reply STOP]")
    if inner is None:
        return Element(name, {})
    phrases = {key: _phrases(inner, key) for key in (ANY, *LANGUAGES) if inner.node(key) is not None}
    missing = [language for language in LANGUAGES if whole and language not in phrases]
    if not phrases:
        fields.refuse(f"{what} has no phrases", "write `en: [reply STOP]`, `zh: [回复STOP]`", at)
    elif missing and ANY not in phrases:
        mend = f"add `{missing[0]}:` and phrases, or `any:` for phrases that serve in every language"
        fields.refuse(f"{what} has no phrases in `{missing[0]}`, so that no text in it could say it", mend, at)
    return Element(name, phrases)


def _phrases(fields: Fields, language: str) -> tuple[str, ...]:
    node = fields.table.items[language]
    items = list(node) if isinstance(node, Listing) else [node]
    if not items:
        fields.refuse(f"`{language}` of {fields.what} is empty", "write phrases, or delete it", node.at)
    phrases: dict[str, str] = {}
    for item in items:
        if not isinstance(item, Text) or not isinstance(item.value, str):
            fields.refuse(f"`{language}` of {fields.what} holds something that is no text", "put it in quotes", item.at)
            continue
        try:
            source(item.value)
        except UnreadablePhrase as e:
            fields.refuse(f"phrase `{item.value}` cannot be read: {e.what}", e.mend, item.at)
            continue
        folded = read(item.value).folded
        if folded in phrases:
            fields.refuse(f"phrase `{item.value}` stands twice in {fields.what}", "keep one of them", item.at)
        phrases[folded] = item.value
    return tuple(phrases.values())
