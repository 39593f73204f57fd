"""Takes out of a student's notebook whatever could run in the browser of those who look at it."""

from __future__ import annotations

import html
import re
from urllib.parse import quote, unquote

import nh3  # maintained, with a parser of HTML5 as browsers have it; bleach, which nbconvert's own step uses, has ended
from nbformat import NotebookNode

_TAGS = [
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
    "var",
]
_STYLES = [
    "background-color",
    "border",
    "border-collapse",
    "color",
    "display",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "height",
    "line-height",
    "margin",
    "max-width",
    "padding",
    "text-align",
    "vertical-align",
    "white-space",
    "width",
]
_ATTRIBUTES = {
    "*": {"style", "title", "colspan", "rowspan", "scope", "role", "aria-label"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
}
_SCHEMES = ("http", "https", "mailto", "attachment")
_LINK = re.compile(r"(\]\(\s*<?|^\s{0,3}\[[^\]]+\]:\s*<?)([^\s)>]+)", re.M)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_PICTURE = re.compile(rf"data:image/(?:png|jpeg|gif|webp);base64,{_BASE64.pattern}")
# The length of everything is bounded: else a text made for it would be searched again from each of its brackets.
_PICTURE_LINK = re.compile(
    r"""!\[([^\]\n]{0,300})\]\(\s{0,5}<?attachment:((?:[^()\n]|\([^()\n]{0,100}\)){0,300}?)>?(?:\s{1,9}["'][^\n)]{0,200})?\)"""
)
_ATTACHMENT = re.compile(r"""(\]\(\s{0,5}<?|\]:\s{0,5}<?)attachment:([^\s)>"']{0,300})""")
_PICTURE_TAG = re.compile(r"""(src=["']?)attachment:([^\s>"']{1,300})""", re.I)
_FETCHES = re.compile(r"url|image|\\", re.I)  # in a style; a backslash can spell anything
_TAG_NAME = re.compile(r"[\w-]{1,60}")
# A whole tag that is allowed, or the beginning of something else. At most so many attributes: else a text made for it
# would be searched again from each of its tags.
_TAG_OR_LESS = re.compile(
    rf"""(</?(?:{"|".join(_TAGS)})(?:\s+[^\s"'<>/=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+))?){{0,30}}\s*/?>)|<""",
    re.I,
)
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_OUTPUTS = {"text/plain", "text/latex", "text/html", "text/markdown", *_PICTURES}
_SHOWN = {"text/html", "text/markdown", "text/latex", "image/png", "image/jpeg"}


def _attribute(tag: str, name: str, value: str) -> str | None:
    """An attribute as it may stay: links lead to pages, pictures are in the page itself, styles fetch nothing."""
    if name == "src":
        return value if _PICTURE.fullmatch(value) else None
    if name == "href":
        return value if _is_safe_link(value) else None
    return None if name == "style" and _FETCHES.search(value) else value


_cleaner = nh3.Cleaner(
    tags=set(_TAGS),
    attributes=_ATTRIBUTES,
    attribute_filter=_attribute,
    filter_style_properties=set(_STYLES),
    url_schemes={"http", "https", "mailto", "data"},  # data: in pictures alone, see _attribute
    link_rel=None,
)


def sanitise(cell: NotebookNode, trusted_outputs: bool = False) -> None:
    """Clean one cell in place: text, outputs (unless they are ours), attachments and metadata."""
    tags = [tag for tag in cell.metadata.get("tags", []) if _TAG_NAME.fullmatch(tag)]
    cell.metadata = NotebookNode(
        {key: cell.metadata[key] for key in ("nbgrader", "course") if key in cell.metadata}
        | ({"tags": tags} if tags else {})
    )
    if cell.cell_type == "code":
        if not trusted_outputs:
            cell.outputs = [_output(output) for output in cell.outputs]
        return
    if cell.cell_type == "markdown":
        _settle_attachments(cell)
    cell.source = safe_markdown(cell.source)


def _settle_attachments(cell: NotebookNode) -> None:
    """Each picture that can be shown gets a name that all programs understand; of the others a word stays.

    A reference without its picture would stop the whole page, feedback's as well as formgrader's.
    """
    pictures: dict[str, dict[str, str]] = {}
    attachments = cell.pop("attachments", None)
    for name, data in attachments.items() if isinstance(attachments, dict) else ():
        kinds = {kind: text for kind, text in data.items() if _is_picture(kind, text)} if isinstance(data, dict) else {}
        if not kinds:
            continue
        if re.fullmatch(r"[\w.-]{1,100}", name, re.A):
            pictures[name] = kinds
            continue
        new = f"picture-{len(pictures) + 1}"
        for written in sorted({name, quote(name), quote(name, safe="()!*'~"), html.escape(name)}, key=len)[::-1]:
            for reference in (f"attachment:<{written}>", f"attachment:{written}"):
                if reference in cell.source:
                    cell.source = cell.source.replace(reference, f"attachment:{new}")
                    pictures[new] = kinds
    if pictures:
        cell.attachments = pictures

    def picture(match: re.Match[str]) -> str:
        name = unquote(match[2])
        known = name in pictures
        return f"![{match[1]}](attachment:{name})" if known else f"[the picture {_plain_word(name)} cannot be shown]"

    def tag(match: re.Match[str]) -> str:
        kinds = pictures.get(unquote(match[2]), {})
        return match[1] + next((f"data:{kind};base64,{''.join(text.split())}" for kind, text in kinds.items()), "")

    def other(match: re.Match[str]) -> str:
        return match[0] if match[2] in pictures else f"{match[1]}#{_plain_word(match[2]).replace(' ', '-')}"

    cell.source = _ATTACHMENT.sub(other, _PICTURE_TAG.sub(tag, _PICTURE_LINK.sub(picture, cell.source)))


def _plain_word(name: str) -> str:
    return re.sub(r"[^\w. -]", "_", name)[:100]


def safe_markdown(text: str) -> str:
    """Markdown without HTML that acts and without links to anything but pages."""
    text = _LINK.sub(lambda match: match[1] + (match[2] if _is_safe_link(match[2]) else "#"), text)
    return safe_html(text) if re.search(r"<[A-Za-z/!?]", text) else text


def safe_html(text: str) -> str:
    """HTML that only shows something. Comments go; what is no allowed tag stays to be read, as text."""
    end = text.rfind("-->") + 3  # no comment that is closed begins behind it
    text = re.sub(r"<!--.*?-->", "", text[:end], flags=re.S) + text[end:] if end > 2 else text
    return _cleaner.clean(_TAG_OR_LESS.sub(lambda match: match[1] or "&lt;", text))


def _is_safe_link(target: str) -> bool:
    plain = re.sub(r"[\x00-\x20]", "", unquote(html.unescape(html.unescape(target))))
    scheme = re.match(r"([^/?#:]*):", plain)
    return scheme is None or scheme[1].lower() in _SCHEMES


def _output(output: NotebookNode) -> NotebookNode:
    if "data" in output:
        given = output.data
        output.data = {kind: safe for kind, data in given.items() if (safe := _data(kind, data)) is not None}
        for kind in ("image/gif", "image/webp"):  # pages show these only as part of a text
            if kind in output.data:
                picture = output.data.pop(kind)
                output.data.setdefault("text/html", f'<img alt="figure" src="data:{kind};base64,{picture}">')
        if "image/svg+xml" in given and not set(output.data) & _SHOWN:
            output.data["text/html"] = "<p>[A drawing in SVG, which can act, is not shown here.]</p>"
        output.metadata = {}
    return output


def _data(kind: str, data: object) -> str | None:
    """One form of an output as it may stay; None for a form that could act."""
    if kind not in _OUTPUTS or not isinstance(data, str):
        return None
    if kind.startswith("image/"):
        return data if _is_picture(kind, data) else None
    return {"text/html": safe_html, "text/markdown": safe_markdown}.get(kind, str)(data)


def _is_picture(kind: str, text: object) -> bool:
    return kind in _PICTURES and isinstance(text, str) and bool(_BASE64.fullmatch(text))
