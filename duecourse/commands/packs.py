"""`duecourse packs ...`: the law and the house rules that the gate asks."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from duecourse.clock import At, instant
from duecourse.commands.law_diff import law_diff
from duecourse.output import ANSWER_IS_NO, table
from duecourse.session import Session
from engine.errors import DataError, Problem

if TYPE_CHECKING:
    from compliance import Pack, Rule

_PROVENANCES: Final = ("verified", "secondary", "unverified")


class Language(StrEnum):
    """The languages that packs are written in."""

    EN = "en"
    ZH = "zh"


Lang = Annotated[Language, typer.Option("--lang", help="the language of what the rules say")]

_ZH: Final[Mapping[str, str]] = {
    "rule": "规则", "says": "内容", "citation": "出处", "status": "效力", "provenance": "核实程度", "binds": "适用期间", "review": "复核",
    "law": "法律", "presumption": "法律推定", "guidance": "行业指引", "draft": "草案", "house": "机构内部", "verified": "已核对原文",
    "secondary": "据二手资料", "unverified": "未核实", "stale": "已过期", "followed": "视同生效", "not followed": "仅供参考",
    "waived to": "暂缓适用至", "tightens": "严于", "replaces": "取代",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="The law and house packs that the gate asks.", no_args_is_help=True)
    group.command("list")(list_packs)
    group.command("show")(show)
    group.command("test")(test)
    group.command("law-diff")(law_diff)
    app.add_typer(group, name="packs")


def list_packs(context: typer.Context, at: At = None) -> None:
    """
    List every pack with its rules' provenance: what nobody has read is called unverified.

    Stale are the rules whose source somebody should have read again by that day.
    """
    from rich.text import Text

    session: Session = context.obj
    on = instant(at).date()
    drawn = table("pack", "title", "rules", *_PROVENANCES, "stale")
    answer = []
    for pack in session.workspace_or_shipped.gate.packs:
        counts = {name: sum(rule.provenance == name for rule in pack.rules) for name in _PROVENANCES}
        counts["stale"] = sum(rule.is_stale(on) for rule in pack.rules)
        answer.append({"pack": pack.id, "title": pack.title_en, "rules": len(pack.rules), **counts})
        drawn.add_row(pack.id, Text(pack.title_en), str(len(pack.rules)), *(str(n) for n in counts.values()))
    session.output.answer(answer, lambda console: console.print(drawn))


def show(
    context: typer.Context,
    pack: Annotated[str, typer.Argument(help="e.g. cn.cba2026")],
    lang: Lang = Language.EN,
    at: At = None,
) -> None:
    """Say what each rule of a pack does, from when to when, where that is written, and by when to read it again."""
    from rich.text import Text

    session: Session = context.obj
    on = instant(at).date()
    packs: dict[str, Pack] = {p.id: p for p in session.workspace_or_shipped.gate.packs}
    if pack not in packs:
        raise DataError(Problem(f"no pack `{pack}`", "`duecourse packs list` shows them"))
    found = packs[pack]
    words = _ZH if lang is Language.ZH else {}
    drawn = table(
        *(words.get(name, name) for name in ("rule", "says", "citation", "status", "provenance", "binds", "review"))
    )
    drawn.columns[0].no_wrap = True  # a name is copied whole
    for rule in found.rules:
        drawn.add_row(*(Text(cell) for cell in _row(rule, on, words)))
    title = found.title_zh if words else found.title_en
    answer = [_facts(rule, on, chinese=bool(words)) for rule in found.rules]
    session.output.answer(answer, lambda console: console.print(Text(f"{found.id}: {title}"), drawn))


def _row(rule: "Rule", on: date, words: Mapping[str, str]) -> tuple[str, ...]:
    def word(name: str) -> str:
        return words.get(name, name)

    status = [word(rule.status)]
    if rule.status == "draft":
        status.append(word("followed" if rule.binding else "not followed"))
    if rule.waived_to is not None:
        status.append(f"{word('waived to')} {rule.waived_to}")
    status += [
        f"{word(name)} {other}" for name, other in (("tightens", rule.tightens), ("replaces", rule.replaces)) if other
    ]
    review = f"{rule.review_on} {word('stale')}" if rule.is_stale(on) else str(rule.review_on)
    says = rule.says_zh if words else rule.says_en
    binds = f"{rule.start} – {rule.end or ''}".rstrip()
    return rule.id, says, rule.citation, ", ".join(status), word(rule.provenance), binds, review


def _facts(rule: "Rule", on: date, *, chinese: bool) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "says": rule.says_zh if chinese else rule.says_en,
        "citation": rule.citation,
        "status": rule.status,
        "provenance": rule.provenance,
        "from": rule.start,
        "to": rule.end,
        "waived_to": rule.waived_to,
        "binding": rule.binding,
        "tightens": rule.tightens or None,
        "replaces": rule.replaces or None,
        "review_on": rule.review_on,
        "stale": rule.is_stale(on),
    }


def test(context: typer.Context, files: Annotated[list[Path], typer.Argument(help="case files")]) -> None:
    """Run case files against the packs they name; exit 3 when a case fails."""
    from compliance import run_cases
    from config.files import read_text

    session: Session = context.obj
    packs = session.workspace_or_shipped.gate.packs
    results = [result for file in files for result in run_cases(read_text(file, str(file)), str(file), packs)]
    failed = [result for result in results if not result.passed and not result.skipped]
    skipped = sum(bool(result.skipped) for result in results)
    if session.output.as_json:
        for result in results:
            session.output.line(result)
    else:
        for result in failed:
            lines = "\n  ".join((f"{result.id}: {result.title}", *result.trace))
            session.output.out.print(lines, markup=False)
        passed = len(results) - len(failed) - skipped
        session.output.out.print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    if failed:
        raise typer.Exit(ANSWER_IS_NO)
