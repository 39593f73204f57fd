"""The border for what students wrote: behind it a graded notebook holds nothing that acts or fetches where it is shown,
in nbgrader's pages as in ours, and no more than pages can bear. Figures, still pictures and tables stay.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from nbformat import NotebookNode
from nbformat.v4 import new_output

from .safe_html import LONGEST_MARKDOWN, TAGS, as_text, clean, is_harmless_markdown, is_picture, is_safe_link

# In characters.
MOST_TEXT = 100_000  # of one printed text, value or traceback
MOST_HTML = 4_000_000  # of one output with its pictures
MOST_OUTPUTS = 16_000_000  # of all outputs of a notebook
MOST_MARKDOWN = 400_000  # of a notebook that is read as Markdown; what comes behind it is shown as it was written
_HEAD = 0.8  # of a text that is cut, what is kept of its beginning; the rest is its end

_LINK = re.compile(r"(\]\(\s*<?|^\s{0,3}\[[^\]]+\]:\s*<?)([^\s)>]+)", re.M)
# The length of everything is bounded: else a text made for it would be searched again from each of its brackets.
_PICTURE_LINK = re.compile(
    r"""!\[([^\]\n]{0,300})\]\(\s{0,5}<?attachment:((?:[^()\n]|\([^()\n]{0,100}\)){0,300}?)>?(?:\s{1,9}["'][^\n)]{0,200})?\)"""
)
_ATTACHMENT = re.compile(r"""(\]\(\s{0,5}<?|\]:\s{0,5}<?)attachment:([^\s)>"']{0,300})""")
_PICTURE_TAG = re.compile(r"""(src=["']?)attachment:([^\s>"']{1,300})""", re.I)
_TAG_NAME = re.compile(r"[\w-]{1,60}")
# A whole tag that is allowed, or the beginning of something else. At most so many attributes: else a text made for it
# would be searched again from each of its tags.
_TAG_OR_LESS = re.compile(
    rf"""(</?(?:{"|".join(sorted(TAGS))})(?:\s+[^\s"'<>/=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+))?){{0,30}}\s*/?>)|<""",
    re.I,
)
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_SHOWN = {"text/html", "text/markdown", "image/png", "image/jpeg"}


@dataclass
class Budget:
    """What is left of what one notebook may hold."""

    markdown: int = MOST_MARKDOWN
    outputs: int = MOST_OUTPUTS


def sanitise(cell: NotebookNode, trusted_outputs: bool = False, budget: Budget | None = None) -> None:
    """Clean one cell in place: text, outputs (unless they are ours), attachments and metadata.

    ``budget`` is that of its notebook, and is used up.
    """
    budget = budget or Budget()
    tags = [tag for tag in cell.metadata.get("tags", []) if _TAG_NAME.fullmatch(tag)]
    cell.metadata = NotebookNode(
        {key: cell.metadata[key] for key in ("nbgrader", "course") if key in cell.metadata}
        | ({"tags": tags} if tags else {})
    )
    if cell.cell_type == "code":
        if not trusted_outputs:
            cell.outputs = [_within(_output(output), budget) for output in cell.outputs]
        return
    if cell.cell_type != "markdown":
        cell.source = safe_html(cell.source)  # nbconvert shows a raw cell as HTML
        return
    _settle_attachments(cell)
    if len(cell.source) > min(LONGEST_MARKDOWN, budget.markdown):
        cell.source = as_text(cell.source)
        return
    budget.markdown -= len(cell.source)
    cell.source = safe_markdown(cell.source, cell.get("attachments"))


def _settle_attachments(cell: NotebookNode) -> None:
    """Each picture that can be shown gets a name that all programs understand; of the others a word stays.

    A reference without its picture would stop the whole page, feedback's as well as formgrader's.
    """
    pictures: dict[str, dict[str, str]] = {}
    attachments = cell.pop("attachments", None)
    for name, data in attachments.items() if isinstance(attachments, dict) else ():
        kinds = {kind: text for kind, text in data.items() if is_picture(kind, text)} if isinstance(data, dict) else {}
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


def safe_markdown(text: str, attachments: dict[str, dict[str, str]] | None = None) -> str:
    """Markdown without HTML that acts and without links to anything but pages, judged by what a renderer makes of it.

    What is harmless stays as it is, the rest is mended, and what cannot be mended is shown as it was written.
    """
    return _safe_text(text) if not attachments else _mended(text, attachments)


@lru_cache(maxsize=512)  # the given text is the same in all submissions
def _safe_text(text: str) -> str:
    return _mended(text, {})


def _mended(text: str, attachments: dict[str, dict[str, str]]) -> str:
    if len(text) > LONGEST_MARKDOWN:
        return as_text(text)
    if is_harmless_markdown(text, attachments):
        return text
    mended = _LINK.sub(lambda match: match[1] + (match[2] if _may_be_linked(match[2]) else "#"), text)
    mended = safe_html(mended) if re.search(r"<[A-Za-z/!?]", mended) else mended
    return mended if is_harmless_markdown(mended, attachments) else as_text(text)


def _may_be_linked(target: str) -> bool:
    return target.startswith("attachment:") or is_safe_link(target)


def safe_html(text: str) -> str:
    """HTML that only shows something. Comments go; what is no allowed tag stays to be read, as text."""
    end = text.rfind("-->") + 3  # no comment that is closed begins behind it
    text = re.sub(r"<!--.*?-->", "", text[:end], flags=re.S) + text[end:] if end > 2 else text
    return clean(_TAG_OR_LESS.sub(lambda match: match[1] or "&lt;", text))


def _output(output: NotebookNode) -> NotebookNode:
    if output.output_type == "stream":
        output.text = cut(output.text)
    elif output.output_type == "error":
        output.ename, output.evalue = cut(output.ename, 1000), cut(output.evalue, 10_000)
        output.traceback = cut("\n".join(output.traceback)).split("\n")
    if "data" not in output:
        return output
    given = output.data
    output.data = NotebookNode({kind: safe for kind, data in given.items() if (safe := _data(kind, data)) is not None})
    for kind in ("image/gif", "image/webp"):  # pages show these only as part of a text
        if kind in output.data:
            picture = output.data.pop(kind)
            output.data.setdefault("text/html", f'<img alt="figure" src="data:{kind};base64,{picture}">')
    if "text/latex" in output.data:  # for a renderer that draws formulas in Markdown only
        formula = output.data.pop("text/latex")
        output.data.setdefault("text/markdown", formula)
    if "image/svg+xml" in given and not set(output.data) & _SHOWN:
        output.data["text/html"] = "<p>[A drawing in SVG, which can act, is not shown here.]</p>"
    elif given and not output.data:
        kinds = ", ".join(_plain_word(kind.replace("/", " ")) for kind in list(given)[:3])
        output.data["text/plain"] = f"[Output of this kind is not shown here: {kinds}.]"
    output.metadata = NotebookNode()
    return output


def _data(kind: str, data: object) -> str | None:
    """One form of an output as it may stay; None for a form that could act."""
    if not isinstance(data, str):
        return None
    if kind in _PICTURES:
        return data if is_picture(kind, data) else None
    if kind in ("text/markdown", "text/latex"):
        return safe_markdown(data)
    if kind == "text/html":
        return safe_html(data) if len(data) <= MOST_HTML else f"<p>{_left_out(len(data))}</p>"
    return cut(data) if kind == "text/plain" else None


def cut(text: str, most: int = MOST_TEXT) -> str:
    """A text of at most so many characters, and a line that says how many were left out of its middle."""
    if len(text) <= most:
        return text
    head = int(_HEAD * most)
    return f"{text[:head]}\n{_left_out(len(text) - most)}\n{text[head - most :]}"


def _left_out(characters: int) -> str:
    return f"[{characters:,} characters of this output are left out here.]"


def _within(output: NotebookNode, budget: Budget) -> NotebookNode:
    """The output, or a line in its place when the notebook's outputs are too large together."""
    size = sum(len(data) for data in output.get("data", {}).values()) + len(output.get("text", ""))
    size += sum(map(len, output.get("traceback", [])))
    if size <= budget.outputs:
        budget.outputs -= size
        return output
    return new_output("stream", name="stdout", text=_left_out(size) + "\n")
