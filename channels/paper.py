"""
Pages as PDF: letters, route sheets, evidence. The same content gives the same bytes, and nothing is fetched from anywhere.

A text in Latin letters is set in a font that is embedded. Chinese is set in a font that every PDF reader and printer for
Chinese has (Adobe's STSong-Light), by its name; a lender's own TrueType font, where one is named, is embedded for both.
What the font cannot show is refused: a letter with a gap in it says something else.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.errors import DataError, Problem, SettingsError

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

Size = Literal["a4", "letter"]
_CHINESE: Final = "STSong-Light"
_LATIN: Final = "Vera"
_MARGIN_MM: Final = 25
_WINDOW_TOP_MM: Final = 45
"""Where the address begins, from the top: within the window of DIN 5008 form B, and of a US no. 10 envelope folded in three."""
_WINDOW_HEIGHT_MM: Final = 35


@dataclass(frozen=True, slots=True)
class Press:
    """
    How pages are printed.

    Attributes:
        font: a TrueType file of the lender's own; None: the fonts there are.
    """

    size: Size = "a4"
    font: Path | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """
    One letter. `contact_id` stands in its foot, so that a letter that comes back is known by it.

    Attributes:
        to: name and address, line by line. sender: the same of the lender. dated: the day in the letter's language.
    """

    contact_id: str
    to: tuple[str, ...]
    sender: tuple[str, ...]
    dated: str
    subject: str
    text: str
    language: str

    @property
    def words(self) -> str:
        """Everything it says."""
        return "\n".join((self.contact_id, *self.to, *self.sender, self.dated, self.subject, self.text))


@dataclass(frozen=True, slots=True)
class Pages:
    """A PDF, and how many pages it has."""

    content: bytes
    pages: int

    @property
    def digest(self) -> str:
        """SHA-256 in hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Part:
    """
    One part of a document with an index: text and tables below a heading.

    Attributes:
        columns, rows: a table; empty for none. widths: of its columns, as shares.
        note: what stands beside it in the index, such as a hash.
        right: columns of numbers, which stand to the right. links: where a cell leads, by row and column.
    """

    title: str
    text: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    widths: tuple[float, ...] = ()
    note: str = ""
    right: frozenset[int] = frozenset()
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A document of parts, with an index on its first page where `index` says so."""

    title: str
    head: tuple[str, ...]
    parts: tuple[Part, ...]
    foot: str
    index: bool = field(default=False)

    @property
    def words(self) -> str:
        """Everything it says."""
        said = [self.title, *self.head, self.foot]
        for part in self.parts:
            said += [part.title, part.note, *part.text, *part.columns, *(cell for row in part.rows for cell in row)]
        return "\n".join(said)


def check_words(text: str, press: Press) -> None:
    """
    Refuse a text that could not be shown whole.

    Raises:
        DataError: characters that the font has not. They are named by their numbers, since they may be part of a name.
        SettingsError: the lender's font cannot be read.
    """
    used = set(text) - set("\n\t")
    if press.font is not None:
        known = _own_font(press.font)[1]
        missing = sorted(character for character in used if ord(character) not in known)
    else:
        encoding = "cp1252" if _is_latin(text) else "gbk"
        missing = sorted(character for character in used if not _encodes(character, encoding))
    if missing:
        numbers = ", ".join(f"U+{ord(character):04X}" for character in missing[:5])
        raise DataError(Problem(f"the font has no character for {numbers}", "name one that has in `letters.font`"))


def letter_pages(letter: Letter, press: Press) -> Pages:
    """
    A letter as it goes into a window envelope.

    Raises:
        DataError: as `check_words`.
    """
    from reportlab.lib.units import mm
    from reportlab.platypus import Paragraph, Spacer

    font = _font(press, letter.words)
    body, small = _style(font, 10.5), _style(font, 8, leading=10)
    flow: list[Flowable] = [Spacer(1, (_WINDOW_TOP_MM + _WINDOW_HEIGHT_MM + 12 - _MARGIN_MM) * mm)]
    flow += [Paragraph(_marked(letter.dated), body), Spacer(1, 6 * mm)]
    if letter.subject:
        flow += [Paragraph(_marked(letter.subject), _style(font, 12, leading=16)), Spacer(1, 4 * mm)]
    for paragraph in letter.text.split("\n\n"):
        flow += [Paragraph(_marked(paragraph), body), Spacer(1, 3 * mm)]

    def envelope(canvas: Any, _: Any) -> None:
        _width, height = canvas._pagesize  # noqa: SLF001 - reportlab has no other way
        address = [Paragraph(_marked(" · ".join(letter.sender)), _style(font, 7, leading=9))]
        address += [Paragraph(_marked(line), body) for line in letter.to]
        top = height - _WINDOW_TOP_MM * mm
        for line in address:
            _, used = line.wrap(85 * mm, height)
            line.drawOn(canvas, _MARGIN_MM * mm, top - used)
            top -= used
        foot(canvas, _)

    def foot(canvas: Any, _: Any) -> None:
        line = Paragraph(_marked(f"{letter.contact_id} · {canvas.getPageNumber()}"), small)
        line.wrap(100 * mm, 10 * mm)
        line.drawOn(canvas, _MARGIN_MM * mm, 12 * mm)

    return _built(flow, press, letter.subject or letter.contact_id, first=envelope, later=foot)


def document_pages(document: Document, press: Press) -> Pages:
    """
    A document of parts; with an index, its parts are numbered, and the index names their pages.

    Raises:
        DataError: as `check_words`.
    """
    from reportlab.lib.units import mm
    from reportlab.platypus import PageBreak, Paragraph, Spacer

    font = _font(press, document.words)
    title, body = _style(font, 16, leading=22), _style(font, 9, leading=12.5)
    starts: dict[int, int] = {}

    def flow(known: dict[int, int]) -> "list[Flowable]":
        laid: list[Flowable] = [Paragraph(_marked(document.title), title), Spacer(1, 4 * mm)]
        laid += [Paragraph(_marked(line), body) for line in document.head]
        laid.append(Spacer(1, 5 * mm))
        if document.index:
            rows = [(f"{n}", part.title, f"{known.get(n, 0)}", part.note) for n, part in enumerate(document.parts, 1)]
            index = Part("", columns=("", "Part", "Page", "SHA-256"), rows=rows, widths=(0.05, 0.33, 0.07, 0.55))
            laid += [_table(index, font, press), PageBreak()]
        for n, part in enumerate(document.parts, 1):
            heading = f"{n}  {part.title}" if document.index else part.title
            laid += [_marker(starts, n), Paragraph(_marked(heading), _style(font, 12, leading=17)), Spacer(1, 2 * mm)]
            laid += [Paragraph(_marked(line), body) for line in part.text]
            if part.columns:
                laid += [Spacer(1, 1 * mm), _table(part, font, press)]
            laid.append(Spacer(1, 6 * mm))
        return laid

    def foot(canvas: Any, _: Any) -> None:
        line = Paragraph(_marked(f"{document.foot} · {canvas.getPageNumber()}"), _style(font, 7, leading=9))
        line.wrap(170 * mm, 10 * mm)
        line.drawOn(canvas, _MARGIN_MM * mm, 12 * mm)

    made = _built(flow({}), press, document.title, first=foot, later=foot)
    # The pages are known when it has been laid out once; the numbers do not move anything.
    return _built(flow(dict(starts)), press, document.title, first=foot, later=foot) if document.index else made


def _built(
    flow: "list[Flowable]",
    press: Press,
    title: str,
    *,
    first: Callable[[Any, Any], None],
    later: Callable[[Any, Any], None],
) -> Pages:
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    into = BytesIO()
    margin = _MARGIN_MM * mm
    made = SimpleDocTemplate(
        into, pagesize=_size(press), leftMargin=margin, rightMargin=margin, topMargin=margin, bottomMargin=margin,
        # No moment and no chance of its own: the same content gives the same bytes.
        invariant=1, title=title, author="", creator="", producer="",
    )  # fmt: skip
    made.build(flow, onFirstPage=first, onLaterPages=later)
    return Pages(into.getvalue(), made.page)


def _size(press: Press) -> tuple[float, float]:
    from reportlab.lib import pagesizes

    size: tuple[float, float] = pagesizes.A4 if press.size == "a4" else pagesizes.letter
    return size


def _marker(starts: dict[int, int], number: int) -> "Flowable":
    from reportlab.platypus import Flowable

    class Marker(Flowable):  # type: ignore[misc] # reportlab is untyped
        """Notes on which page it comes to stand."""

        def wrap(self, *_: float) -> tuple[float, float]:
            return 0, 0

        def draw(self) -> None:
            starts[number] = self.canv.getPageNumber()
            self.canv.bookmarkPage(f"part-{number}")
            self.canv.addOutlineEntry(f"{number}", f"part-{number}", level=0)

    marker: Flowable = Marker()
    return marker


def _table(part: Part, font: str, press: Press) -> "Flowable":
    from reportlab.lib import colors
    from reportlab.lib.units import mm
    from reportlab.platypus import Paragraph, Table

    left, right = _style(font, 7.5, leading=9.5), _style(font, 7.5, leading=9.5, right=True)
    whole = _size(press)[0] - 2 * _MARGIN_MM * mm
    shares = part.widths or [1 / len(part.columns)] * len(part.columns)
    laid = [
        [
            Paragraph(_linked(text, part.links.get((y, x), "")), right if x in part.right else left)
            for x, text in enumerate(row)
        ]
        for y, row in enumerate((part.columns, *part.rows), -1)
    ]
    table: Flowable = Table(
        laid, colWidths=[whole * share / sum(shares) for share in shares], repeatRows=1, splitInRow=1,
        style=[
            ("LINEBELOW", (0, 0), (-1, 0), 0.6, colors.black), ("LINEBELOW", (0, 1), (-1, -1), 0.2, colors.grey),
            ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 2),
            ("RIGHTPADDING", (0, 0), (-1, -1), 2), ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ],
    )  # fmt: skip
    return table


def _linked(text: str, to: str) -> str:
    """A text that leads somewhere, where there is something to go to."""
    return f'<link href="{escape(to)}">{_marked(text)}</link>' if to else _marked(text)


def _style(font: str, size: float, *, leading: float = 0, right: bool = False) -> Any:
    from reportlab.lib.enums import TA_LEFT, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle

    # Chinese breaks between any two characters.
    wrap = "CJK" if font != _LATIN else None
    return ParagraphStyle(
        f"{font}-{size}", fontName=font, fontSize=size, leading=leading or size * 1.45, wordWrap=wrap,
        alignment=TA_RIGHT if right else TA_LEFT,
    )  # fmt: skip


def _marked(text: str) -> str:
    """A text as reportlab's paragraphs take it: nothing in it is markup, line breaks stay."""
    return "<br/>".join(escape(line, quote=False) for line in text.split("\n"))


def _font(press: Press, text: str) -> str:
    """The font for a text, made known to reportlab."""
    check_words(text, press)
    from reportlab.pdfbase import pdfmetrics

    if press.font is not None:
        return _own_font(press.font)[0]
    if _is_latin(text):
        if _LATIN not in pdfmetrics.getRegisteredFontNames():
            from reportlab.pdfbase.ttfonts import TTFont

            pdfmetrics.registerFont(TTFont(_LATIN, "Vera.ttf"))
        return _LATIN
    if _CHINESE not in pdfmetrics.getRegisteredFontNames():
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont

        pdfmetrics.registerFont(UnicodeCIDFont(_CHINESE))
    return _CHINESE


def _is_latin(text: str) -> bool:
    return all(_encodes(character, "cp1252") for character in set(text))


def _encodes(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return character.isprintable() or character in "\n\t\u00a0\u3000"


def _own_font(path: Path) -> tuple[str, Any]:
    """The lender's font, made known to reportlab: its name there, and the characters it has."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    name = f"own-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name not in pdfmetrics.getRegisteredFontNames():
        try:
            pdfmetrics.registerFont(TTFont(name, str(path)))
        except (TTFError, OSError):
            what = f"`{path}` cannot be used as a font"
            raise SettingsError(Problem(what, "name a TrueType file (`.ttf`) in `letters.font`")) from None
    return name, pdfmetrics.getFont(name).face.charToGlyph
