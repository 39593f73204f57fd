"""Written answers over the course's own outputs (solutions/), with labels: where each number stands, or nowhere.

By hand: the model answers of the units, each number labelled with the sections in whose outputs it stands (an empty set:
in none). By construction: a number of a table in a sentence about its row and column, as shown or rounded to three
digits, and the same number altered so that no output shows it.
"""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from course_utils.cli.handin.evidence import FOUND, GIVEN, Outputs, evidence, outputs_of

ROOT = Path(__file__).resolve().parent.parent
BY_HAND = {
    "01_autoencoders/q_ae_samples": {
        "117": "1.8", "137": "1.8", "0.7": "1.7 Exercise_1.5", "19.2": "1.8", "7.9": "1.6", "8.0": "1.6", "98.8 %": "Exercise_1.4",
        "100 %": "1.7", "99 %": "1.7", "78": "1.8", "23": "1.7", "0.8": "1.7 1.8",
    },
    "02_variational_autoencoders/q_beta_zero": {
        "69": "2.4", "0.001": "2.4", "23": "2.4", "447": "2.4", "458": "2.4",
        "161": "Exercise_2.8 Exercise_2.9", "166": "Exercise_2.8 Exercise_2.9",
    },
    "02_variational_autoencoders/q_beta_ten": {"31": "", "32.5": "", "7840": "2.4 Exercise_2.4", "24": ""},
    "02_variational_autoencoders/q_well_tuned": {
        "45.5": "2.5", "2.30": "Exercise_2.8", "60": "Exercise_2.8 Exercise_2.9", "62": "2.3 Exercise_2.8 Exercise_2.9",
        "0.7": "2.3 Exercise_2.8", "11": "Exercise_2.9", "12": "Exercise_2.9", "57": "Exercise_2.8", "63": "Exercise_2.8",
    },
    "03_interpolation/q_interpolation": {"1.46": "3.8", "1.64": "3.8 Exercise_3.5"},
    "03_interpolation/q_usefulness": {"1.46": "3.8", "1.64": "3.8 Exercise_3.5"},
    "05_wasserstein/q_rematch": {
        "89.6": "Exercise_5.8", "-17.9": "Exercise_5.8", "-19.1": "Exercise_5.8", "-16.8": "Exercise_5.8", "141": "Exercise_5.8",
        "-0.2": "Exercise_5.8", "-4.9": "Exercise_5.8", "4.5": "Exercise_5.8", "63.2": "Exercise_5.8", "58.8": "Exercise_5.8",
        "67.6": "Exercise_5.8", "26.1": "Exercise_5.8", "26.8": "Exercise_5.8", "19.0": "Exercise_5.8",
    },
    "08_uses/q_odd": {"70 %": ""},
}  # fmt: skip
CONSTRUCTED = (
    "01_autoencoders",
    "02_variational_autoencoders",
    "03_interpolation",
    "04_mmd",
    "05_wasserstein",
    "08_uses",
)
PER_UNIT = 40
SENTENCES = (
    "In my table {row} has {column} {value}, so this decides it.",
    "I found {value} for {row} ({column}), which is what I expected.",
    "The {column} of {row} is {value} here.",
    "Look at {row}: its {column} came out as {value}.",
)


@dataclass
class Count:
    """How many numbers were linked, rightly linked, and should have been."""

    linked: int = 0
    right: int = 0
    wanted: int = 0
    wrong: tuple[str, ...] = ()

    @property
    def precision(self) -> float:
        return self.right / max(1, self.linked)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.wanted)


def _read(folder: str, unit: str) -> dict:
    return json.loads((ROOT / folder / unit / f"{unit}.ipynb").read_text(encoding="utf-8"))


def by_hand() -> Count:
    count, known = Count(), {}
    for place, labels in BY_HAND.items():
        unit, name = place.split("/")
        outputs = known.setdefault(unit, outputs_of(_read("solutions", unit)))
        asked, answer = _question(_read("notebooks", unit), name)
        found = {}
        for each in evidence(answer, outputs, asked):
            found.setdefault(each.text.lstrip("+"), each)
        for number, sections in labels.items():
            named = found.get(number)
            sections = {section.replace("_", " ") for section in sections.split()}
            top = named.places[0].section if named and named.status == FOUND else None
            _enter(count, top, sections, f"{place} {number}: {top}, wanted {sorted(sections)}")
    return count


def _enter(count: Count, top: str | None, wanted: set[str], words: str) -> None:
    count.wanted += bool(wanted)
    count.linked += top is not None
    count.right += top is not None and top in wanted
    if (top is None) == bool(wanted) or (top is not None and top not in wanted):
        count.wrong += (words,)


def _question(notebook: dict, name: str) -> tuple[str, str]:
    asked = ""
    for cell in notebook["cells"]:
        marks = cell["metadata"].get("nbgrader") or {}
        if marks.get("task"):
            asked = "".join(cell["source"]).split("### BEGIN")[0]
        if marks.get("grade_id") == name:
            return asked, "".join(cell["source"])
    raise AssertionError(name)


def constructed(seed: int = 0) -> Count:
    count = Count()
    for unit in CONSTRUCTED:
        notebook, random = _read("solutions", unit), Random(f"{seed} {unit}")
        outputs = outputs_of(notebook)
        cells = list(_table_cells(notebook))
        texts = {place: _visible(notebook, *place) for place in {cell[0] for cell in cells}}
        everything = [float(t) for t in re.findall(r"\d+(?:\.\d+)?", " ".join(_all_visible(notebook)).replace(",", ""))]
        for place, row, column, shown in random.sample(cells, min(PER_UNIT, len(cells))):
            said = _rounded(shown) if random.random() < 0.5 else shown
            sentence = random.choice(SENTENCES)
            top = _top(sentence.format(row=row, column=column, value=said), said, outputs)
            stands = top is not None and (top == place or shown in texts.get(top, _visible(notebook, *top)))
            count.wanted += 1
            count.linked += top is not None
            count.right += stands
            if not stands:
                count.wrong += (f"{unit} {place} {row} {column} {said}: {top}",)
            altered = _altered(said, everything, random)
            top = _top(sentence.format(row=row, column=column, value=altered), altered, outputs) if altered else None
            count.linked += top is not None
            if top is not None:
                count.wrong += (f"{unit} {altered} is nowhere: {top}",)
    return count


def _top(sentence: str, said: str, outputs: Outputs) -> tuple[int, int] | None:
    named = [each for each in evidence(sentence, outputs) if each.text.replace(" ", "") == said.replace(" ", "")]
    if not named or not named[0].places or named[0].status == GIVEN:
        return None
    return named[0].places[0].cell, named[0].places[0].output


def _table_cells(notebook: dict):
    """Numbers of at least two digits in tables whose row and column have names, by cell and output."""
    for index, cell in enumerate(notebook["cells"]):
        if (cell["metadata"].get("nbgrader") or {}).get("grade"):
            continue
        for number, output in enumerate(cell.get("outputs") or []):
            markup = "".join(output.get("data", {}).get("text/html", ""))
            for table in re.findall(r"<table.*?</table>", markup, re.S):
                head = [_plain(each) for each in re.findall(r"<th[^>]*>(.*?)</th>", table, re.S)]
                for line in re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.S):
                    row = [_plain(each) for each in re.findall(r"<td[^>]*>(.*?)</td>", line, re.S)]
                    for place, value in enumerate(row[1:], start=1):
                        digits = value.lstrip("-").replace(".", "").lstrip("0")
                        named = (
                            place < len(head)
                            and re.search("[a-zA-Z]{3}", row[0])
                            and re.search("[a-zA-Z]{3}", head[place])
                        )
                        if named and re.fullmatch(r"-?\d+(\.\d+)?", value) and len(digits) >= 2:
                            yield (index, number), row[0], head[place], value


def _plain(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", markup)).strip()


def _visible(notebook: dict, cell: int, output: int) -> str:
    shown = notebook["cells"][cell]["outputs"][output]
    data = shown.get("data", {})
    markup = "".join(data.get("text/html", "")) or "".join(data.get("text/plain", "")) or "".join(shown.get("text", ""))
    alts = " ".join(re.findall(r'alt="([^"]*)"', markup))
    text = _plain(re.sub(r'base64,[^"]*', "", markup))
    return f"{text} {html.unescape(alts)}"


def _all_visible(notebook: dict):
    for index, cell in enumerate(notebook["cells"]):
        for number, _ in enumerate(cell.get("outputs") or []):
            yield _visible(notebook, index, number)


def _rounded(shown: str) -> str:
    value = float(shown)
    decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    own = len(shown.partition(".")[2])
    return shown if decimals >= own else f"{value:.{decimals}f}"


def _altered(said: str, everything: list[float], random: Random) -> str:
    """The number with its digits changed, so that nothing rounds to it; empty where none is found."""
    decimals = len(said.partition(".")[2])
    for _ in range(50):
        value = float(said) * random.uniform(1.1, 1.9)
        text = f"{value:.{decimals}f}"
        near = 0.51 * 10.0**-decimals
        if all(
            abs(abs(each) - abs(float(text))) > near and abs(each * 100 - abs(float(text))) > 100 * near
            for each in everything
        ):
            return text
    return ""
