"""Pages: the same content is the same bytes, everything said is readable in them, and nothing is left out in silence."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from channels.paper import Document, Letter, Part, Press, check_words, document_pages, letter_pages
from engine.errors import DataError, SettingsError

PRESS = Press()
_REPORTLAB_FONTS = Path(__import__("reportlab").__file__).parent / "fonts"

EN = Letter(
    "7-2-0", ("Maria O’Hara", "1 Example Street"), ("Example Lender", "+1 555 0100"), "March 2, 2026", "Your account",
    "Dear Maria O’Hara,\n\n$50.00 is open – since <b>March & April</b>.\n\nKind regards\nExample Lender", "en",
)  # fmt: skip
ZH = Letter(
    "7-2-1",
    ("张伟", "北京市朝阳区示例路1号"),
    ("示例贷款",),
    "2026年3月2日",
    "关于您的账户",
    "尊敬的张伟：\n\n待还1,875.00元。",
    "zh",
)


def said(content: bytes) -> str:
    """What a reader of the PDF finds in it, without spaces."""
    return "".join("".join(page.extract_text() for page in PdfReader(BytesIO(content)).pages).split())


@pytest.mark.parametrize("letter", [EN, ZH], ids=["en", "zh"])
def test_a_letter_says_what_it_was_given(letter: Letter) -> None:
    """Address, sender, day, subject, every line and the contact's id; markup in a text is text."""
    pages = letter_pages(letter, PRESS)
    found = said(pages.content)
    assert pages.pages == 1
    for line in (
        *letter.to,
        *letter.sender,
        letter.dated,
        letter.subject,
        *letter.text.splitlines(),
        letter.contact_id,
    ):
        assert "".join(line.split()) in found, line


def test_the_same_letter_is_the_same_file_in_every_process() -> None:
    """No moment, no chance, no counter of this process is in it."""
    code = "from tests.unit.test_paper import *; print(letter_pages(EN, PRESS).digest, letter_pages(ZH, PRESS).digest)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert other == [letter_pages(EN, PRESS).digest, letter_pages(ZH, PRESS).digest]
    assert other == [letter_pages(EN, PRESS).digest, letter_pages(ZH, PRESS).digest]


def test_a_long_letter_goes_on_and_keeps_its_id(tmp_path: Path) -> None:
    """Its pages are counted, and each names the contact, so that a stray sheet is known."""
    long = Letter(**{field: getattr(EN, field) for field in EN.__slots__} | {"text": "A line of the law.\n\n" * 120})
    pages = letter_pages(long, PRESS)
    feet = [page.extract_text() for page in PdfReader(BytesIO(pages.content)).pages]
    assert len(feet) == pages.pages > 2
    assert all(f"7-2-0 · {n}" in text for n, text in enumerate(feet, 1))


@pytest.mark.parametrize(
    ("text", "missing"), [("Hello 😀", "U+1F600"), ("张伟 😀", "U+1F600"), ("สวัสดี", "U+0E27"), ("a\x07", "U+0007")]
)
def test_what_the_font_has_not_is_refused(text: str, missing: str) -> None:
    """A gap where a name or an amount should be says something else; the character is named, not the text."""
    with pytest.raises(DataError) as refused:
        check_words(text, PRESS)
    assert missing in str(refused.value)
    assert text not in str(refused.value)


def test_a_lenders_own_font_is_embedded(tmp_path: Path) -> None:
    """With `letters.font` that font is in the file; characters it has not are refused, and what is no font is."""
    own = Press(font=_REPORTLAB_FONTS / "VeraIt.ttf")
    content = letter_pages(EN, own).content
    fonts = {
        font.get_object()["/BaseFont"]
        for page in PdfReader(BytesIO(content)).pages
        for font in page["/Resources"]["/Font"].values()  # type: ignore[index]
    }
    assert any("Oblique" in name or "Vera" in name for name in fonts)
    with pytest.raises(DataError, match=r"U\+4F1F"):
        letter_pages(ZH, own)
    (tmp_path / "no.ttf").write_text("no font")
    with pytest.raises(SettingsError, match="cannot be used as a font"):
        letter_pages(EN, Press(font=tmp_path / "no.ttf"))


def test_an_index_leads_to_its_parts() -> None:
    """Each part stands on the page that the index names, and a reader's outline has one entry for each."""
    rows = [(f"{n}", "something that is said at some length " * 8) for n in range(60)]
    parts = tuple(
        Part(f"Part called {name}", ("Text.",), ("n", "what"), rows, (1, 5), note="ab" * 32) for name in "xyz"
    )
    pages = document_pages(Document("All of it", ("Head.",), parts, "foot", index=True), PRESS)
    reader = PdfReader(BytesIO(pages.content))
    index = reader.pages[0].extract_text().split()
    starts = [
        next(n for n, page in enumerate(reader.pages, 1) if n > 1 and f"Part called {name}" in page.extract_text())
        for name in "xyz"
    ]
    assert [f"{start}" in index for start in starts] == [True, True, True]
    assert [reader.get_destination_page_number(entry) + 1 for entry in reader.outline] == starts  # type: ignore[arg-type]
    assert starts[0] == 2


@settings(max_examples=40)
@given(st.text(st.characters(codec="gbk", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=200))
def test_whatever_can_be_shown_makes_a_letter(text: str) -> None:
    """No text breaks the printing: it is refused for a character, or it becomes pages."""
    letter = Letter("7-2-2", ("A",), ("B",), "today", text[:40], text, "zh")
    try:
        check_words(letter.words, PRESS)
    except DataError:
        return
    assert letter_pages(letter, PRESS).pages >= 1
