"""A review as one page of HTML: nothing is fetched from anywhere, and it can be read on a phone, printed, and in the dark."""

import re
from collections.abc import Iterator
from html import escape
from typing import Final

from workflows.review.report import DAYS, Cell, HeatMap, Number, Report, Section, Table

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --page: #fff; --band: #f6f8fa;
  --bad: #b3261e; --bad-band: #fdeceb; --link: #0b57a4; --heat: 11, 87, 164; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b1; --line: #3a424b; --page: #0f1419; --band: #171d24;
  --bad: #ff8a80; --bad-band: #3a1715; --link: #79b8ff; --heat: 88, 166, 255; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; font-weight: 600; margin: 1.5rem 0 .4rem; max-width: 46rem; }
p { margin: 0 0 .6rem; max-width: 46rem; overflow-wrap: anywhere; }
.head p, .back { color: var(--soft); font-size: .9rem; }
a { color: var(--link); text-underline-offset: .15em; }
nav ul { list-style: none; padding: 0; margin: 1rem 0; display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .9rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.25rem 0; padding: 0; }
.figures div { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .75rem; background: var(--band); }
.figures dt { color: var(--soft); font-size: .8rem; line-height: 1.3; } .figures dd { margin: .15rem 0 0; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; }
th { text-align: left; font-weight: 600; color: var(--soft); vertical-align: bottom; border-bottom: 2px solid var(--line); }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
th, td { padding: .35rem 1rem .35rem 0; overflow-wrap: break-word; }
th:last-child, td:last-child { padding-right: 0; }
td { max-width: 26rem; } th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tbody tr:hover td { background: var(--band); }
td.t { white-space: nowrap; } td.zero { color: var(--soft); }
.bad, .bad a { color: var(--bad); font-weight: 600; } dd.bad::before, td.bad::before { content: "! "; }
.verdict { border-left: .3rem solid var(--line); padding: .5rem .9rem; background: var(--band); margin: 1rem 0; max-width: 46rem; }
.verdict.bad { border-color: var(--bad); background: var(--bad-band); }
table.heat td, table.heat th { padding: .2rem .15rem; border: 1px solid var(--page); text-align: right; font-variant-numeric: tabular-nums; min-width: 1.9rem; font-size: .75rem; }
table.heat th { border: 0; font-weight: 400; } table.heat td a { display: block; color: inherit; }
table.heat th[scope=row] { text-align: left; padding-right: .5rem; }
table.heat td.shut { background-image: repeating-linear-gradient(135deg, transparent 0 4px, var(--line) 4px 5px); }
table.heat.tall { display: none; }
.key { display: inline-block; width: 1.6rem; height: .9rem; vertical-align: -.1rem; margin: 0 .3rem 0 .8rem; border: 1px solid var(--line); }
.key.shut { background-image: repeating-linear-gradient(135deg, transparent 0 4px, var(--line) 4px 5px); }
.legend { font-size: .8rem; color: var(--soft); margin-top: .5rem; } .legend .key:first-child { margin-left: 0; }
@media (max-width: 44rem) { body { font-size: 15px; } table.heat.broad { display: none; } table.heat.tall { display: table; } .figures { grid-template-columns: repeat(2, 1fr); } }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --page: #fff; --band: #fff; --bad: #a00; --bad-band: #fff; --link: #000; }
  main { max-width: none; padding: 0; } nav, .back { display: none; } h2 { break-after: avoid; } tr { break-inside: avoid; } body { font-size: 10pt; }
  .scroll { overflow: visible; } table.heat td { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
""".strip()

_MOMENT: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2} ")

HEAD: Final = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
    "<title>{title}</title>\n<style>\n"
    + _STYLE.replace("{", "{{").replace("}", "}}")
    + "\n</style></head>\n<body><main>\n"
)


def page(report: Report) -> str:
    """The whole page."""
    return "".join(_page(report))


def _page(report: Report) -> Iterator[str]:
    yield HEAD.format(title=escape(report.title))
    yield f'<div class="head"><h1>{escape(report.title)}</h1>\n'
    yield from (f"<p>{escape(line)}</p>\n" for line in report.head)
    yield "</div>\n"
    yield f'<p class="verdict{" bad" if report.findings else ""}">{escape(report.verdict)}</p>\n'
    yield '<dl class="figures">\n'
    for name, number in report.figures:
        bad = ' class="bad"' if number.bad else ""
        yield f"<div><dt>{escape(name)}</dt><dd{bad}>{_number(number, report)}</dd></div>\n"
    yield "</dl>\n<nav><ul>\n"
    yield from (f'<li><a href="#{one.name}">{escape(one.title)}</a></li>\n' for one in report.sections)
    yield "</ul></nav>\n"
    for section in report.sections:
        yield from _section(section, report)
    yield "</main></body></html>\n"


def _section(section: Section, report: Report) -> Iterator[str]:
    yield f'<section>\n<h2 id="{section.name}">{escape(section.title)}</h2>\n'
    yield from (f"<p>{escape(line)}</p>\n" for line in section.text)
    if section.map is not None:
        yield from _heat(section.map, report)
    for table in section.tables:
        yield from _table(table, report)
    yield "</section>\n"


def _table(table: Table, report: Report) -> Iterator[str]:
    if table.title:
        yield f"<h3>{escape(table.title[:1].upper() + table.title[1:])}</h3>\n"
    if table.note:
        yield f"<p>{escape(table.note)}</p>\n"
    numeric = {x for row in table.rows for x, cell in enumerate(row) if isinstance(cell, Number)}
    yield '<div class="scroll"><table><thead><tr>'
    for x, name in enumerate(table.columns):
        yield f'<th scope="col"{" class=n" if x in numeric else ""}>{escape(name)}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in table.rows:
        yield "<tr>" + "".join(_cell(cell, report) for cell in row) + "</tr>\n"
    yield "</tbody></table></div>\n"


def _cell(cell: Cell, report: Report) -> str:
    if isinstance(cell, Number):
        kind = "n bad" if cell.bad else "n" if cell.value else "n zero"
        return f'<td class="{kind}">{_number(cell, report)}</td>'
    return text_cell(cell)


def text_cell(text: str) -> str:
    """A text in a table; an instant stays in one piece."""
    whole = ' class="t"' if _MOMENT.match(text) else ""
    return f"<td{whole}>{escape(text)}</td>"


def _number(number: Number, report: Report) -> str:
    return f'<a href="{report.entries}/{escape(number.of)}.html">{number}</a>' if number.of else f"{number}"


def _heat(heat: HeatMap, report: Report) -> Iterator[str]:
    most = max(number.value for row in heat.cells for number in row) or 1

    def cell(day: int, hour: int) -> str:
        number = heat.cells[day][hour]
        shut = ' class="shut"' if (day, hour) in heat.closed else ""
        # In four steps that can be told apart; the number says the rest.
        share = 0.0 if not number.value else (0.12, 0.26, 0.42, 0.6)[min(3, 4 * (number.value - 1) // most)]
        shade = f' style="background-color: rgba(var(--heat), {share})"' if number.value else ""
        title = f"{DAYS[day]} {hour:02}:00 to {hour:02}:59: {number} contacts" + (", closed by a rule" if shut else "")
        return f'<td{shut}{shade} title="{title}">{_number(number, report) if number.value else ""}</td>'

    yield '<div class="scroll"><table class="heat broad"><thead><tr><th></th>'
    yield "".join(f'<th scope="col">{hour:02}</th>' for hour in range(24)) + "</tr></thead>\n<tbody>\n"
    for day in range(7):
        yield f'<tr><th scope="row">{DAYS[day]}</th>' + "".join(cell(day, hour) for hour in range(24)) + "</tr>\n"
    yield '</tbody></table>\n<table class="heat tall"><thead><tr><th></th>'
    yield "".join(f'<th scope="col">{day}</th>' for day in DAYS) + "</tr></thead>\n<tbody>\n"
    for hour in range(24):
        yield f'<tr><th scope="row">{hour:02}:00</th>' + "".join(cell(day, hour) for day in range(7)) + "</tr>\n"
    steps = "".join(f'<span class="key" style="background-color: rgba(var(--heat), {share})"></span>{word}' for share, word in ((0.12, "few"), (0.6, f"up to {most:,}")))  # fmt: skip
    yield f'</tbody></table></div>\n<p class="legend">{steps}<span class="key shut"></span>closed by a rule throughout that hour</p>\n'
