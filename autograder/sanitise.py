"""Takes out of a student's notebook whatever could run in the browser of those who look at it."""

from __future__ import annotations

import html
import re
from urllib.parse import unquote

from bleach import ALLOWED_ATTRIBUTES
from nbconvert.preprocessors.sanitize import SanitizeHTML
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
    **ALLOWED_ATTRIBUTES,
    "*": ["style", "title", "colspan", "rowspan", "scope", "role", "aria-label"],
    "img": ["alt", "width", "height"],
}
_SCHEMES = ("http", "https", "mailto", "attachment")
_LINK = re.compile(r"(\]\(\s*<?|^\s{0,3}\[[^\]]+\]:\s*<?)([^\s)>]+)", re.M)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_TAG_NAME = re.compile(r"[\w-]{1,60}")
_cleaner = SanitizeHTML(
    tags=_TAGS,
    attributes=_ATTRIBUTES,
    styles=_STYLES,
    safe_output_keys={"text/plain", "text/latex", "image/png", "image/jpeg"},
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
            cell.outputs = [_output(output) for output in _cleaner.sanitize_code_outputs(cell.outputs)]
        return
    cell.source = safe_markdown(cell.source)
    if "attachments" in cell:
        cell.attachments = {
            name: {kind: text for kind, text in data.items() if _is_picture(kind, text)}
            for name, data in cell.attachments.items()
            if re.fullmatch(r"[\w. -]{1,100}", name)
        }


def safe_markdown(text: str) -> str:
    """Markdown without HTML that acts and without links to anything but pages."""
    text = _LINK.sub(lambda match: match[1] + (match[2] if _is_safe_link(match[2]) else "#"), text)
    return _cleaner.sanitize_html_tags(text) if re.search(r"<[A-Za-z/!?]", text) else text


def _is_safe_link(target: str) -> bool:
    plain = re.sub(r"[\x00-\x20]", "", unquote(html.unescape(html.unescape(target))))
    scheme = re.match(r"([^/?#:]*):", plain)
    return scheme is None or scheme[1].lower() in _SCHEMES


def _output(output: NotebookNode) -> NotebookNode:
    if "data" in output:
        output.data = {
            kind: text for kind, text in output.data.items() if not kind.startswith("image/") or _is_picture(kind, text)
        }
        output.metadata = {}
    return output


def _is_picture(kind: str, text: object) -> bool:
    return kind in ("image/png", "image/jpeg") and isinstance(text, str) and bool(_BASE64.fullmatch(text))
