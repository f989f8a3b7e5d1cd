"""
What a person is handed when they ask for their data: a page to read, the same as JSON, and a text that says what it is.

The deed is written before the files are: whatever leaves is in the log.
"""

import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from compliance import PackDates
from engine.rulebook import Rulebook
from store.db import Database
from store.deeds import record_about
from workflows.privacy.person_data import Data, person_data
from workflows.privacy.subject import find_subject
from workflows.private_file import whole_folder, write_private

TITLES: Final[Mapping[str, tuple[str, str]]] = {
    "you": ("You", "您的资料"),
    "numbers_and_addresses": ("Numbers and addresses", "号码与地址"),
    "loans": ("Loans", "贷款"),
    "ledger": ("What fell due and what was paid", "应还与已还款项"),
    "facts": ("What else is known about your loans", "与贷款有关的其他资料"),
    "contacts": ("Contacts with you, and why", "与您的联系及其原因"),
    "what_became_of_contacts": ("What became of each contact", "每次联系的结果"),
    "messages": ("Messages that are still kept", "仍保存的消息"),
    "consents": ("What you said about being contacted", "您对联系方式的意愿"),
    "holds": ("Disputes and other holds", "争议与暂停"),
    "promises": ("Promises to pay", "还款承诺"),
    "notices": ("Notices", "通知"),
    "duties": ("What we owe you by a day", "我们须按期办理的事项"),
    "stages": ("Stages of treatment", "处理阶段"),
    "decisions": ("Decisions, and their reasons", "决定及其理由"),
    "who_received_data": ("Who received your data", "谁收到过您的资料"),
    "kept_until": ("How long records are kept", "记录保存期限"),
}
"""Section -> its title in English and Chinese, in the order of the page."""

_README: Final = {
    "en": """\
{lender}: the data that our collections system holds about you, as of {at} UTC.

record.html  everything, to read: open it in any browser
data.json    the same for another system

Amounts are in the currency of the loan, times in UTC. What is about other people is not included: their numbers, their
words, their names; whoever works for us is called an agent. Texts that we sent are not kept once they have left.
If something is wrong, or if you want us to erase what we hold, write to us: {phone} {mail}
""",
    "zh": """\
{lender}：截至 {at}（协调世界时），我们的催收系统保存的关于您的资料。

record.html  全部内容，可用任何浏览器阅读
data.json    同样的内容，供其他系统使用

金额以贷款币种计，时间为协调世界时。有关他人的内容不包括在内：他们的号码、言语和姓名；我们的工作人员一律称为 an agent。
我们发出的消息，发出后不再保存其文字。
如有错误，或希望我们删除您的资料，请联系我们：{phone} {mail}
""",
}
_STYLE: Final = (
    "body{font:15px/1.5 sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.25em .5em;text-align:left;vertical-align:top}pre{margin:0;white-space:pre-wrap}"
)


@dataclass(frozen=True, slots=True)
class Lender:
    """Who hands it out, and how they are reached."""

    name: str
    phone: str
    mail: str


def export_person(
    database: Database,
    ref: str,
    folder: Path,
    rulebook: Rulebook,
    dates: PackDates,
    *,
    lender: Lender,
    because: str,
    by: str,
    now: datetime,
    today: date,
) -> Mapping[str, int]:
    """
    Write what is held about a person into a new folder, for this user's eyes alone.

    Returns:
        how many lines each section has.
    Raises:
        DataError: nobody is called so, they were erased, or the folder holds something or cannot be made.
    """
    with database.session() as session:
        subject = find_subject(session, ref)
        data = person_data(session, subject, rulebook, dates, now=now, today=today)
        person, language = subject.id, "zh" if subject.person.language.startswith("zh") else "en"
    content = json.dumps(data, default=_plain, ensure_ascii=False, indent=1).encode()
    counts = {name: len(rows) for name, rows in data.items() if rows}
    detail = {"rows": counts, "digest": hashlib.sha256(content).hexdigest()}
    said = _README[language].format(
        lender=lender.name, at=f"{now:%Y-%m-%d %H:%M}", phone=lender.phone, mail=lender.mail
    )
    with whole_folder(folder) as making:
        write_private(making / "data.json", content)
        write_private(making / "record.html", page(data, language, lender.name).encode())
        write_private(making / "README.txt", said.encode())
        # Said before it is done: whatever leaves is in the log.
        with database.write() as session:
            record_about(session, "export", f"person:{person}", detail, person=person, by=by, because=because, now=now)
    return counts


def page(data: Data, language: str, lender: str) -> str:
    """The page to read."""
    zh = language == "zh"
    parts = [f"<!doctype html><html lang={language}><meta charset=utf-8><title>{html.escape(lender)}</title>"]
    parts.append(f"<style>{_STYLE}</style><h1>{html.escape(lender)}</h1>")
    for name, rows in data.items():
        parts.append(f"<h2>{TITLES[name][zh]}</h2>")
        if not rows:
            parts.append("<p>–</p>")
            continue
        columns = list(dict.fromkeys(column for row in rows for column in row))
        head = "".join(f"<th>{html.escape(column.replace('_', ' '))}</th>" for column in columns)
        parts.append(f"<table><tr>{head}</tr>")
        parts += (
            "<tr>" + "".join(f"<td>{_cell(row.get(column))}</td>" for column in columns) + "</tr>" for row in rows
        )
        parts.append("</table>")
    return "\n".join([*parts, "</html>\n"])


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case list():
            return "<pre>" + html.escape("\n".join(value)) + "</pre>"
        case dict():
            return "<br>".join(f"{html.escape(str(name))}: {html.escape(str(one))}" for name, one in value.items())
        case _:
            return html.escape(str(value))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
