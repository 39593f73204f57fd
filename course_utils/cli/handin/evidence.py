"""Where the numbers and figures that a written answer names stand in the outputs of the same notebook.

A number is found where an output shows the same number within the rounding of the answer: "64.6" is 64.63 and not
64.5, "65" is 64.63. What can be meant in many ways needs a word in common with the place: a number of two digits
matches some cell of nearly every table by chance. What the question gives, and what only names a setting (beta = 4,
three seeds, question 2), is no evidence and is not looked for.

Both sides use this: `course submit` before handing in, marking afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import islice
from typing import Any

_THOUSANDS = r"\d{1,3}(?:[, ]\d{3})+(?:\.\d+)?"
_DIGITS = rf"{_THOUSANDS}|\d+(?:[.,]\d+)?(?:e[+-]?\d+)?|\.\d+"
_TIMES_TEN = r"\s?(?:[·×x*]|\\cdot|\\times)\s?10\s?(?:\^\s?\{?(?P<power>[-−]?\d+)\}?|(?P<raised>⁻?[⁰¹²³⁴-⁹]+))"
_UNITS = r"nats?|bits?|s|sec|seconds|min|minutes|px|x"
_NUMBER = re.compile(
    rf"(?<![\w.,^_])(?P<sign>[-−–+±]?)(?P<digits>{_DIGITS})(?:{_TIMES_TEN})?"
    rf"(?=(?:{_UNITS})\b|[^\w^]|$)(?![.,]\d)(?P<percent>\s?(?:%|per ?cent\b))?"
)
_RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
_SETTING = re.compile(
    r"\b(beta|β|L|t|weights?|question|exercise|figure|fig|unit|cell|section|bandwidth|radius|lr)"
    + r"\s*(?:of|=|:|is|number|no\.)?\s*\(?\s*$",
    re.I,
)
_WHOLE_SETTING = re.compile(
    r"\b(K|D|d|s|N|n|k|seeds?|epochs?|step|batch|dimensions?|latents?|MNIST|log|exp)"
    + r"\s*(?:of|=|:|is|number|no\.)?\s*\(?\s*$",
    re.I,
)
_COUNTED = re.compile(
    r" *-? *(?:\w+ +)?(dimension|latent|seed|epoch|image|pair|code|pixel|unit|class|bandwidth|neighbo|draw|training|"
    r"model|sentence|times\b|student|direction|test |weights|layers?\b|kernels?\b|minutes? of|points?\b|D\b|of 10)",
    re.I,
)
_MEASURED = re.compile(r"\s*(?:(nat|bit|second|minute)s?\b|(s)\b|%|per ?cent)", re.I)
_IN_SECTION = re.compile(r"\b(in|see|under)\s*$", re.I)
_FIGURE = re.compile(
    r"\b(mosaics?|figures?|plots?|curves?|strips?|maps?|histograms?|panels?|tables?|staircase|scatter|pictures?)\b",
    re.I,
)
_LIST_MARK = re.compile(r"(?:^|\n|(?<=[.:;?!] ))\s*\(?$")
_WORD = re.compile(r"[a-zA-Zα-ω][\wα-ω-]*")
_COMMON_WORDS = (
    "the a an and or of to in on at by for from with as is are was were be been it its this that these those my our "
    "his her their i we you they he she not no so than then which who what when where while only also still even just "
    "both each one two three four more less most very about near nearly well here there has have had do does did can "
    "will would because since if but all same other another out up down over under after before into between beside "
    "number numbers value values row column table figure mean means shows show notebook course"
)
_COMMON = frozenset(_COMMON_WORDS.split())
MOST_NUMBERS = 300  # of one answer that are looked for, the first; as many figures
_BESIDE = 400  # characters around a number in which the words that belong to it stand
_SHORTEST_SURE = 3  # digits that a number needs to be taken for itself
TABLE, FIGURE, TEXT = "table", "figure", "text"
FOUND, NOWHERE, GIVEN = "found", "nowhere", "given"


@dataclass(frozen=True)
class Place:
    """Where something stands: the index of the cell and of its output, the section, and what is beside it."""

    cell: int
    output: int
    section: str
    kind: str
    label: str = ""

    def words(self) -> str:
        """Where it is, for people: ``the table of 2.4 (vae, distortion)``."""
        beside = f" ({self.label})" if self.label else ""
        return f"the {self.kind} of {self.section}{beside}" if self.section else f"a {self.kind}{beside}"


@dataclass(frozen=True)
class Named:
    """A number or figure that an answer names, and where it is found, the likeliest place first."""

    text: str
    start: int
    status: str
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class _Value:
    value: float
    decimals: int
    digits: int  # significant ones
    percent: bool


@dataclass
class _Shown:
    """A number in an output, with the words around it."""

    value: _Value
    place: Place
    words: frozenset[str]
    is_setting: bool = False


@dataclass
class Outputs:
    """What the outputs of a notebook show: numbers with their places, and figures with their words."""

    numbers: list[_Shown] = field(default_factory=list)
    figures: list[tuple[Place, frozenset[str]]] = field(default_factory=list)
    sections: set[str] = field(default_factory=set)


def outputs_of(notebook: Any) -> Outputs:
    """Read the outputs of a notebook (a dict as in its JSON). Checks' tables are left out: they show points."""
    found, section = Outputs(), ""
    for index, cell in enumerate(notebook["cells"]):
        source = _text(cell.get("source"))
        if cell.get("cell_type") == "markdown":
            headings = re.findall(r"^#{1,4}\s+(.+)$", source, re.M)
            section = _section(headings[-1]) if headings else section
            found.sections |= set(re.findall(r"\d+\.\d+", " ".join(map(_section, headings))))
        if (cell.get("metadata", {}).get("nbgrader") or {}).get("grade"):
            continue
        for number, output in enumerate(cell.get("outputs") or []):
            _read_output(found, output, index, number, section)
    return found


def evidence(answer: str, outputs: Outputs, question: str = "") -> list[Named]:
    """The numbers and figures that an answer names, in its order; settings and counts are left out. Of an answer
    that `names_too_many`, the first are looked for.

    ``question``: its text; numbers that stand in it have the status ``given``.
    """
    answer = re.sub("[\u00a0\u2009\u202f]", " ", answer)
    given = {round(value.value, 9) for _, _, value in _numbers(question)}
    named = []
    for start, text, value in islice(_numbers(answer), MOST_NUMBERS):
        if _is_setting(answer, start, text, value, outputs.sections):
            continue
        if round(value.value, 9) in given:
            named.append(Named(text, start, GIVEN))
            continue
        around = _around(answer, start, len(text))
        shown = any(_same(each, other.value) for each in _readings(text, value) for other in outputs.numbers)
        places = next(filter(None, (_places(each, outputs, around) for each in _readings(text, value))), ())
        surprising = not shown and text not in outputs.sections and (value.digits >= 2 or value.decimals)
        if places or surprising:
            named.append(Named(text, start, FOUND if places else NOWHERE, places))
    for match in islice(_FIGURE.finditer(answer), MOST_NUMBERS):
        words = _around(answer, match.start(), len(match[0]), 5)
        kind = TABLE if match[0].lower().startswith(("table", "staircase")) else FIGURE
        scored = [(len(words & of), place) for place, of in outputs.figures if place.kind == kind]
        best = max(scored, key=lambda pair: pair[0], default=(0, None))
        if best[1] is not None and best[0] >= 3 and sum(score == best[0] for score, _ in scored) == 1:
            named.append(Named(match[0], match.start(), FOUND, (best[1],)))
    return sorted(named, key=lambda each: each.start)


def names_too_many(answer: str) -> bool:
    """Whether an answer holds more than `MOST_NUMBERS` numbers."""
    return len(list(islice(_NUMBER.finditer(answer), MOST_NUMBERS + 1))) > MOST_NUMBERS


def table_cells(output: Any) -> list[tuple[str, str, str]]:
    """The cells of the tables in one output: text, heading of the row, heading of the column."""
    markup = re.sub(r'src="data:[^"]*"', 'src=""', _text((output.get("data") or {}).get("text/html")))
    return _Page(markup[:200_000]).cells if "<table" in markup else []


def in_words(named: list[Named]) -> list[str]:
    """What a student is told before handing in, a line for each number."""
    numbers = [each for each in named if each.status != GIVEN and re.search(r"\d", each.text)]
    if not numbers:
        return ["no number of your notebook is named"]
    return [
        f"you name {each.text}; it stands in {each.places[0].words()}"
        if each.places
        else f"you name {each.text}; it stands in no output of this notebook"
        for each in numbers
    ]


def _numbers(text: str) -> Iterator[tuple[int, str, _Value]]:
    for match in _NUMBER.finditer(text):
        digits, sign = match["digits"], match["sign"]
        before = text[max(0, match.start() - 3) : match.start()]
        if before.endswith("/") and not re.search("[.,]", digits):
            continue  # the 784 of 1/784
        is_range = sign in "-−–" and bool(re.search(r"[\d)%]\s?$", before))
        plain = re.sub("[, ]", "", digits) if re.fullmatch(_THOUSANDS, digits) else digits.replace(",", ".")
        power = int((match["power"] or match["raised"] or "0").translate(_RAISED))
        value = _value(f"{plain}e{power}" if power else plain, bool(match["percent"]))
        if sign and sign in "-−–" and not is_range:
            value = replace(value, value=-value.value)
        start = match.start("digits") if is_range or sign in "+±" else match.start()
        yield start, text[start : match.end()], value


def _value(plain: str, percent: bool) -> _Value:
    mantissa, _, exponent = plain.partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return _Value(float(plain), decimals, len(mantissa.replace(".", "").lstrip("0")) or 1, percent)


def _readings(text: str, value: _Value) -> list[_Value]:
    """What a number may be: 5,752 is thousands for most, and less than six for those whose decimal point is a comma."""
    match = re.fullmatch(r"([-−–]?)(\d{1,3}),(\d{3})", text.strip())
    if not match:
        return [value]
    other = _value(f"{match[2]}.{match[3]}", percent=False)
    return [value, replace(other, value=-other.value) if match[1] else other]


def _is_setting(text: str, start: int, shown: str, value: _Value, sections: set[str]) -> bool:
    end = start + len(shown)
    before, after = text[max(0, start - _BESIDE) : start], text[end : end + _BESIDE]
    if _MEASURED.match(after) or value.percent:
        return False
    whole = value.decimals <= 0
    if _SETTING.search(before) or (whole and _WHOLE_SETTING.search(before)):
        return True
    if shown in sections and _IN_SECTION.search(before):
        return True
    if whole and (_LIST_MARK.search(before) and re.match(r"\s?[.):]", after)):
        return True
    if whole and _COUNTED.match(after):
        return True
    return whole and value.digits == 1 and abs(value.value) < 10


def _places(value: _Value, outputs: Outputs, around: frozenset[str]) -> tuple[Place, ...]:
    hits = []
    for shown in outputs.numbers:
        if not _same(value, shown.value):
            continue
        common = len(around & shown.words)
        exact = shown.value.decimals == value.decimals
        likely = value.decimals > 0 or (value.percent and shown.value.percent)
        if value.digits >= _SHORTEST_SURE or common >= (1 if likely else 2):
            unlike = value.percent and not shown.value.percent
            key = (shown.is_setting, unlike, -common, not exact, shown.place.kind == TEXT, shown.place.cell)
            hits.append((key, shown.place))
    places: dict[tuple[int, int], Place] = {}
    for _, place in sorted(hits, key=lambda hit: hit[0]):
        places.setdefault((place.cell, place.output), place)
    return tuple(places.values())


def _same(said: _Value, shown: _Value) -> bool:
    """Whether the answer's number is the shown one, rounded to the digits of the answer."""
    pairs = [(shown.value, shown.decimals)]
    if said.percent and not shown.percent:
        pairs += [(100 * shown.value, shown.decimals - 2)] if shown.decimals >= 2 and abs(shown.value) <= 1 else []
    elif shown.percent and not said.percent and said.decimals >= 2:
        pairs.append((shown.value / 100, shown.decimals + 2))
    for value, decimals in pairs:
        near = 0.5 * 10.0**-said.decimals * (1 + 1e-9) if decimals >= said.decimals else 1e-12
        for candidate in (value, -value) if said.digits >= _SHORTEST_SURE else (value,):
            if abs(candidate - said.value) <= max(near, 1e-12 * abs(value)):
                return True
    return False


def _around(text: str, start: int, length: int, words: int = 12) -> frozenset[str]:
    end = start + length
    before = _WORD.findall(text[max(0, start - _BESIDE) : start])[-words:]
    after = _WORD.findall(text[end : end + _BESIDE])[: words // 2]
    unit = _MEASURED.match(text, start + length)
    return _stems([*before, *after, *(["second"] if unit and unit[2] else [])])


def _stems(words: list[str]) -> frozenset[str]:
    kept = (word.lower().strip("-_") for word in words)
    return frozenset(
        re.sub(r"(ings?|ies|es|s|ed|ly)$", "", word)[:9] for word in kept if word not in _COMMON and len(word) > 1
    )


def _section(heading: str) -> str:
    """The number that a heading begins with, else the heading: ``2.4``, ``Exercise 2.4``."""
    match = re.match(r"(?:★\s*)?((?:Exercise|Question)?\s*\d+(?:\.\d+)*)", heading)
    return match[1].strip() if match else re.sub(r"[`*_]", "", heading)[:60]


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value or "")


def _read_output(found: Outputs, output: Any, cell: int, number: int, section: str) -> None:
    data = output.get("data") or {}
    if any("score+json" in kind for kind in data):
        return
    markup = re.sub(r'src="data:[^"]*"', 'src=""', _text(data.get("text/html")))
    if not markup:
        plain = _text(data.get("text/plain")) if data else _text(output.get("text"))
        kind = FIGURE if any(each.startswith("image/") for each in data) else TEXT
        _add_text(found, plain[:20_000], Place(cell, number, section, kind), section)
        if kind == FIGURE:
            found.figures.append((Place(cell, number, section, kind), _stems(_WORD.findall(plain))))
        return
    page = _Page(markup[:200_000])
    is_table, is_figure = bool(page.cells), "<img" in markup or "<svg" in markup
    kind = TABLE if is_table else FIGURE if is_figure else TEXT
    place = Place(cell, number, section, kind)
    caption = " ".join(page.texts)
    heading = _stems(_WORD.findall(caption))
    for text, row, column in page.cells:
        is_setting = not row and bool(column)  # the first column says what a row is about
        label = ", ".join(filter(None, (row.strip(), column.strip())))[:80]
        words = _stems(_WORD.findall(f"{row} {column} {section}")) | frozenset(list(heading)[:40])
        _add(found, text, Place(cell, number, section, kind, label), words, is_setting)
    for text in page.texts:
        for sentence in re.split(r"(?<=[.;])\s", text):
            _add(found, sentence, place, _stems(_WORD.findall(sentence)))
    if kind != TEXT:
        cells = " ".join(f"{row} {column}" for _, row, column in page.cells)
        found.figures.append((place, heading | _stems(_WORD.findall(f"{section} {cells}"))))


def _add_text(found: Outputs, text: str, place: Place, section: str) -> None:
    for line in text.splitlines():
        _add(found, line, place, _stems(_WORD.findall(f"{line} {section}")))


def _add(found: Outputs, text: str, place: Place, words: frozenset[str], is_setting: bool = False) -> None:
    found.numbers += [_Shown(value, place, words, is_setting) for _, _, value in _numbers(text)]


class _Page(HTMLParser):
    """Cells of the tables of some HTML with the headings of their row and column; all other text, and alt texts."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._head: list[str] = []
        self._row: list[str] = []
        self._open: list[str] | None = None
        self._in_head = False
        self._loose: list[str] = []
        self.feed(markup)
        self.close()
        self._settle()

    def _settle(self) -> None:
        text = " ".join("".join(self._loose).split())
        if text:
            self.texts.append(text)
        self._loose = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("th", "td"):
            self._settle()
            self._open = []
        elif tag == "thead":
            self._in_head, self._head = True, []
        elif tag == "tr":
            self._row = []
        elif tag == "img":
            self.texts += [value for name, value in attrs if name == "alt" and value]
        elif tag not in ("em", "strong", "b", "i", "code", "span", "sub", "sup"):
            self._settle()

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td") and self._open is not None:
            self._row.append(" ".join("".join(self._open).split()))
            self._open = None
        elif tag == "thead":
            self._in_head = False
        elif tag == "tr":
            if self._in_head or not self._head:
                self._head = self._head or self._row
            else:
                self._end_row()
        elif tag in ("caption", "figcaption", "p", "div", "summary", "li"):
            self._settle()

    def _end_row(self) -> None:
        name = self._row[0] if self._row else ""
        for index, text in enumerate(self._row):
            column = self._head[index] if index < len(self._head) else ""
            self.cells.append((text, name if index else "", column))

    def handle_data(self, data: str) -> None:
        (self._loose if self._open is None else self._open).append(data)
