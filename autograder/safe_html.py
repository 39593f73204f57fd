"""HTML that only shows something: what elements, attributes, links, pictures and styles a page of ours may hold.

Whatever a student wrote is judged as the browser will meet it, after it was rendered: `clean` is the last step before a
page is put together, `finished` the last step after. The policy in its head forbids the browser
everything else.
"""

from __future__ import annotations

import html
import re
import secrets
from functools import cache
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nh3  # maintained, with a parser of HTML5 as browsers have it; bleach, which nbconvert's own step uses, has ended
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from course_utils.system.templates import content_policy, digest, render

from . import formulas

_TAGS = (
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 "
    "hr i img kbd li mark ol p pre q s samp section small span strong sub summary sup table tbody td tfoot th thead "
    "tr u ul var"
)
_STYLES = (
    "background-color border border-collapse color display font-family font-size font-style font-weight height "
    "line-height margin max-width padding text-align vertical-align white-space width"
)
TAGS, STYLES = frozenset(_TAGS.split()), frozenset(_STYLES.split())
_EVERYWHERE = {"style", "title", "colspan", "rowspan", "scope", "role", "aria-label"}
_ATTRIBUTES = {
    "*": _EVERYWHERE,
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "span": {"class"},
    "div": {"class"},
} | {name: set(formulas.ATTRIBUTES) for name in formulas.ELEMENTS}
# What our own templates write around it.
_OWN_TAGS = {"main", "svg", "polyline", "text"}
_OWN_ATTRIBUTES = {
    "*": _EVERYWHERE | {"id", "class", "lang", "tabindex", "data-label", "aria-hidden"},
    "details": {"open"},
    "svg": {"viewBox", "font-size"},
    "polyline": {"points", "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity"},
    "text": {"x", "y", "text-anchor"},
}
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_PICTURE = re.compile(rf"data:image/(?:png|jpeg|gif|webp);base64,{_BASE64.pattern}")
_FETCHES = re.compile(r"url|image|\\", re.I)  # in a style; a backslash can spell anything
_HIGHLIGHTED = re.compile(r"[a-z][a-z0-9]?|err|hll|esc|highlight")  # pygments' classes
_WEB = re.compile(r"(?:https?://|mailto:)[^\s]", re.I)
# Where a formula stands while the text around it is cleaned. Nobody can write it: the middle is drawn anew each time.
_PLACE = "\ue000{}-{}\ue001"
_ANY_PLACE = re.compile("\ue000[0-9a-f-]*\ue001")
_TAG_LIKE = re.compile(r"<[A-Za-z/!?]")

TEMPLATES = Path(__file__).parent / "templates"
_NBGRADER = find_spec(
    "nbgrader"
)  # found, not imported: that takes half a second, and a worker needs nothing else of it
assert _NBGRADER is not None and _NBGRADER.origin is not None
FORMGRADER = Path(_NBGRADER.origin).parent / "server_extensions" / "formgrader" / "templates"
LONGEST_MARKDOWN = 20_000  # characters of a text that is read as Markdown; a longer one is shown as it was written
MOST_FORMULAS = 200  # drawn in one text
# Of a text that is shown as it was written: a paragraph that is longer keeps a browser busy, one of 120,000 words from
# right to left for most of a minute. Cut where a line ends, else where a word does.
_PIECES = re.compile(r"[\s\S]{0,3999}(?:\n|\Z)|[\s\S]{1,3999}\s|[\s\S]{1,4000}")
_AS_WRITTEN = re.compile(r'<pre style="white-space:pre-wrap">([^<]*)</pre>')


def is_picture(kind: str, data: object) -> bool:
    """Whether an output or attachment is a still picture in base64."""
    return isinstance(data, str) and bool(_PICTURE.fullmatch(f"data:{kind};base64,{data}"))


def is_safe_link(target: str) -> bool:
    """Whether a link leads to a page of the web, or to a place on this page: nowhere on the server that shows it."""
    plain = re.sub(r"[\x00-\x20]", "", unquote(html.unescape(html.unescape(target))))
    return plain.startswith("#") or bool(_WEB.match(plain) and _WEB.match(target.strip()))


def _attribute(tag: str, name: str, value: str) -> str | None:
    """An attribute as it may stay: links lead to pages, pictures are in the page itself, styles fetch nothing."""
    value = _ANY_PLACE.sub("", value)
    if name == "src":
        return value if tag == "img" and _PICTURE.fullmatch(value) else None
    if name == "href":
        return value if tag == "a" and is_safe_link(value) else None
    if name == "style":
        return None if _FETCHES.search(value) else value
    if tag in formulas.ELEMENTS and name in formulas.ATTRIBUTES:
        return value if formulas.may_stay(name, value) else None
    return value


def _students_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "class":
        return " ".join(filter(_HIGHLIGHTED.fullmatch, value.split())) or None
    return _attribute(tag, name, value)


def _cleaner(tags: set[str], attributes: dict[str, set[str]], attribute_filter: Any) -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=tags,
        attributes=attributes,
        attribute_filter=attribute_filter,
        filter_style_properties=set(STYLES),
        url_schemes={"http", "https", "mailto", "data"},  # data: in pictures alone, see _attribute
        link_rel="noopener noreferrer",
    )


_of_students = _cleaner({*TAGS, *formulas.ELEMENTS}, _ATTRIBUTES, _students_attribute)
_of_pages = _cleaner({*TAGS, *_OWN_TAGS, *formulas.ELEMENTS}, _ATTRIBUTES | _OWN_ATTRIBUTES, _attribute)


def clean(text: object) -> str:
    """HTML of a student, cleaned: the rest goes, what stood between unknown tags stays. Takes the place of nbconvert's
    filter ``clean_html``."""
    return _of_students.clean(text.decode() if isinstance(text, bytes) else str(text))


def finished(page: str) -> str:
    """A whole page that needs no script, after it was put together: its body cleaned once more."""
    start = page.index(">", page.index("<body")) + 1
    end = page.rindex("</body>")
    return page[:start] + _of_pages.clean(page[start:end]) + page[end:]


def render_page(template: str, **values: object) -> str:
    """A page of ours from a template of this package: no script, nothing loaded from elsewhere."""
    return finished(render(TEMPLATES / template, policy=content_policy(), **values))


def as_text(text: str) -> str:
    """A text as it was written, whatever it looks like: as HTML, and as Markdown, of which this is a block."""
    return f'<pre style="white-space:pre-wrap">{html.escape(text)}</pre>'


def as_written(source: str) -> str | None:
    """The text of which `as_text` made this cell; None for a cell that it did not make."""
    found = _AS_WRITTEN.fullmatch(source)
    return html.unescape(found[1]) if found else None


def in_pieces(text: str) -> str:
    """`as_text` for a page: a long text in blocks, each of which a browser lays out by itself. Their text together is
    the text."""
    pieces = [piece for piece in _PIECES.findall(text) if piece]
    if len(pieces) < 2:
        return as_text(text)
    blocks = "".join(f'<span style="display:block">{html.escape(piece)}</span>' for piece in pieces)
    return f'<pre style="white-space:pre-wrap">{blocks}</pre>'


class _Renderer(IPythonRenderer):
    """nbconvert's own, with formulas kept apart; a picture that is not attached is left out."""

    def __init__(self, attachments: dict[str, dict[str, str]]) -> None:
        super().__init__(escape=False, attachments=attachments, exclude_anchor_links=True)
        self._secret = secrets.token_hex(8)
        self._drawn: list[str] = []

    def _formula(self, tex: str, display: bool) -> str:
        if len(self._drawn) == MOST_FORMULAS:
            return html.escape(f"$${tex}$$" if display else f"${tex}$")
        self._drawn.append(formulas.drawn(tex.strip(), display))
        return _PLACE.format(self._secret, len(self._drawn) - 1)

    def block_math(self, body: str) -> str:
        return self._formula(body, True)

    def inline_math(self, body: str) -> str:
        return self._formula(body, False)

    def latex_environment(self, name: str, body: str) -> str:
        return self._formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", True)

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre>{html.escape(code)}</pre>"

    def _embed_image_or_attachment(self, src: str) -> str:
        if src.startswith("attachment:") and src.removeprefix("attachment:") not in self.attachments:
            return ""
        return super()._embed_image_or_attachment(src)

    def with_formulas(self, text: str) -> str:
        for number, formula in enumerate(self._drawn):
            text = text.replace(_PLACE.format(self._secret, number), formula)
        return text


def markdown_to_html(text: str, attachments: dict[str, dict[str, str]] | None = None) -> str:
    """Markdown as clean HTML with its formulas drawn. What is too long to be read as Markdown is shown as text."""
    if len(text) > LONGEST_MARKDOWN:
        return in_pieces(text if (written := as_written(text)) is None else written)
    renderer = _Renderer(attachments or {})
    return renderer.with_formulas(clean(MarkdownWithMath(renderer=renderer).render(_ANY_PLACE.sub("", text))))


@pass_context
def markdown_filter(context: Context, source: str) -> str:
    """Takes the place of nbconvert's filter ``markdown2html``."""
    return markdown_to_html(source, context.get("cell", {}).get("attachments", {}))


class _Parts(HTMLParser):
    """The tags of a text with their attributes; what is added for tidiness is left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.parts: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = tuple(sorted((name, value or "") for name, value in attrs if name not in ("id", "class", "rel")))
        if tag != "tbody":
            self.parts.append((tag, kept))

    def handle_comment(self, data: str) -> None:
        self.parts.append(("comment", ()))

    def handle_decl(self, decl: str) -> None:
        self.handle_comment(decl)

    def handle_pi(self, data: str) -> None:
        self.handle_comment(data)

    def unknown_decl(self, data: str) -> None:
        self.handle_comment(data)


def is_harmless_markdown(text: str, attachments: dict[str, dict[str, str]] | None = None) -> bool:
    """Whether a renderer as nbconvert's makes nothing of it that `clean` would have to take out."""
    if not re.search(r"[<\[]", text):
        return True
    renderer = IPythonRenderer(escape=False, attachments=attachments or {}, exclude_anchor_links=True)
    try:
        rendered = MarkdownWithMath(renderer=renderer).render(text)
    except Exception:  # a picture that is not there; brackets in brackets without end
        return False
    return _Parts(rendered).parts == _Parts(clean(rendered)).parts


@cache
def marking_policy() -> str:
    """The policy of formgrader's page of a submission: the server's own scripts and the few that its template holds."""
    template = (FORMGRADER / "formgrade" / "formgrade_macros.html.j2").read_text(encoding="utf-8")
    scripts = [text for text in re.findall(r"<script[^>]*>(.*?)</script>", template, re.S) if "{{" not in text]
    handlers = re.findall(r'\son\w+="([^"{]*)"', template)
    known = " ".join(f"'{digest(text)}'" for text in [*scripts, *handlers])
    return (
        f"default-src 'none'; script-src 'self' 'unsafe-hashes' {known}; style-src 'self' 'unsafe-inline'; "
        "img-src data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


# By the names of nbconvert's own, in whose place they come.
FILTERS = {"markdown2html": markdown_filter, "clean_html": clean, "marking_policy": lambda _: marking_policy()}
