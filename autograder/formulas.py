"""Formulas as MathML, which browsers draw by themselves: no script, no font, nothing fetched from elsewhere.

The converter hands through some of what it is given (links, text that looks like tags), so that nothing of its text is
used: only the tree, rebuilt from elements and attributes that do nothing but draw.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from itertools import zip_longest
from xml.etree.ElementTree import Element

LONGEST = 4000  # characters of a formula that is drawn; a longer one is shown as it was written
_ELEMENTS = (
    "math mrow mi mn mo mtext mspace ms mfrac msqrt mroot msub msup msubsup munder mover munderover mmultiscripts "
    "mprescripts none mtable mtr mtd mstyle mpadded mphantom menclose"
)
_WORDS = (
    "display displaystyle stretchy fence separator form largeop movablelimits symmetric accent accentunder mathvariant "
    "scriptlevel columnalign rowalign columnlines rowlines notation"
)
_LENGTHS = "linethickness width height depth lspace rspace minsize maxsize voffset rowspacing columnspacing"
_WORD = re.compile(r"[A-Za-z0-9.+ -]{1,40}")
_ONE = r"[+-]?\d{0,2}(?:\.\d{1,6})?(?:em|ex|px|pt|cm|mm|in|pc|%)?"
_LENGTH = re.compile(rf"{_ONE}(?: {_ONE}){{0,7}}")
_COLOUR = re.compile(r"[A-Za-z]{1,20}|#[0-9A-Fa-f]{3,8}")
_VALUES = (
    dict.fromkeys(_WORDS.split(), _WORD)
    | dict.fromkeys(_LENGTHS.split(), _LENGTH)
    | dict.fromkeys(("mathcolor", "mathbackground"), _COLOUR)
)
ELEMENTS = frozenset(_ELEMENTS.split())
ATTRIBUTES = frozenset(_VALUES) | {"style"}
# What could grow without end, and what the converter calls otherwise.
_DEFINES = re.compile(r"\\(?:(?:re)?new|provide)(?:command|environment)|\\[egx]?def\b|\\let\b|\\DeclareMathOperator")
_SAME = {r"{aligned}": "{split}", r"{gathered}": "{matrix}", r"{gather}": "{matrix}", r"{gather*}": "{matrix}"} | {
    r"{eqnarray*}": "{align*}",
    r"\operatorname*": r"\operatorname",
    r"{equation*}": "{equation}",
    r"\arg\min": r"\operatorname{arg\,min}",
    r"\arg \min": r"\operatorname{arg\,min}",
    r"\arg\max": r"\operatorname{arg\,max}",
    r"\arg \max": r"\operatorname{arg\,max}",
}


def may_stay(name: str, value: str) -> bool:
    """Whether an attribute of MathML only says how something is drawn, at a size that fits a page."""
    return name in _VALUES and bool(_VALUES[name].fullmatch(value))


@lru_cache(maxsize=4096)
def drawn(tex: str, display: bool) -> str:
    """TeX as MathML; as it was written, in ``<code>``, where it is too long or the converter does not understand it."""
    mark = "$$" if display else "$"
    written = f"<code>{html.escape(mark + tex + mark)}</code>"
    if len(tex) > LONGEST or _DEFINES.search(tex):
        return written
    for name, other in _SAME.items():
        tex = tex.replace(name, other)
    from latex2mathml.converter import convert_to_element

    try:
        formula = _rebuilt(convert_to_element(tex, display="block" if display else "inline"))
    except Exception:  # whatever a student writes between two dollars
        return written
    return written if "<mi>\\" in formula else formula  # a command that it does not know


def _rebuilt(element: Element) -> str:
    inside = html.escape(html.unescape(element.text or ""), quote=False)
    for child, following in zip_longest(element, element[1:]):
        inside += _rebuilt(child)
        if element.tag == "mrow" and _is_function(child) and following is not None and following.tag != "mo":
            inside += '<mspace width="0.167em"></mspace>'
    tail = html.escape(html.unescape(element.tail or ""), quote=False)
    if element.tag not in ELEMENTS:
        return f"<mrow>{inside}</mrow>{tail}"
    kept = "".join(f' {name}="{html.escape(value)}"' for name, value in element.attrib.items() if may_stay(name, value))
    if "bold" in element.get("mathvariant", ""):  # browsers have given this attribute up
        kept += ' style="font-weight:bold"'
    return f"<{element.tag}{kept}>{inside}</{element.tag}>{tail}"


def _is_function(element: Element) -> bool:
    """log, exp and the like, also with an index: what they are of stands a little apart."""
    name = element[0] if element.tag.startswith("msu") and len(element) else element
    return name.tag in ("mi", "mo") and len(name.text or "") > 1 and (name.text or "").isalpha()
