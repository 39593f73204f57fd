"""Written answers over the course's own outputs (solutions/), with labels: where each number stands, or nowhere.

By hand: the model answers of the units, each number labelled with the sections in whose outputs it stands (an empty set:
in none), and answers as students type them, each number with the cells of unit 02 in whose outputs it stands. By
construction: a number of a table in a sentence about its row and column, as shown or rounded to three
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
WRITTEN = (
    ("At beta = 0.784 the rate is 28 nats and at beta = 7.84 only 4.29 nats.", {"28": "5dd152c1 a5563aeb", "4.29": "5dd152c1 a5563aeb f72148d1"}),
    ("The Fréchet distance falls from 166 at beta = 0 to 61.6 at beta = 1, then climbs to 302.", {"166": "09421015 1d40973e 5dd152c1", "61.6": "5dd152c1", "302": "09421015 5dd152c1"}),
    ("With two latent dimensions -ELBO is 156, with fifty 108.", {"156": "1a23a563 8f9a2f0c 9acccdcc latent-dims", "108": "87e2d327 8f9a2f0c"}),
    ("My mean sigma is 0.274 at beta 0.784 but 0.853 at 7.84.", {"0.274": "a5563aeb", "0.853": "a5563aeb"}),
    ("The gap with 10,000 codes is still 0.691 nats.", {"0.691": "f125e2cf"}),
    ("Of the classifier's readings, 55 % are right with 2 dimensions and 97.2 % with 50.", {"55 %": "8f9a2f0c", "97.2 %": "8f9a2f0c"}),
    ("My reconstruction error was 91.37 nats, which is too much.", {"91.37": ""}),
    ("Half of the codes, 87.6 %, lie within radius 3; after rescaling it is 99.6%.", {"87.6 %": "1a23a563", "99.6%": "1a23a563"}),
    ("Die Rate fällt von 5,752 auf 5,495 Nats, die Distortion bleibt 150,065.", {"5,752": "1a23a563", "5,495": "1a23a563", "150,065": "1a23a563"}),
    ("The rate at beta=0 (448 nats) is sixteen times the 28.0 nats of beta=0.784.", {"448": "5dd152c1 a5563aeb", "28.0": "5dd152c1 a5563aeb"}),
    ("The score function estimator has a spread of 18.5, i.e. 4.6 times the 4.01 of the trick.", {"18.5": "574cbd16", "4.6": "", "4.01": "574cbd16"}),
    ("It costs 45.5 nats on average to be exact; a 1 only costs 25.6.", {"45.5": "92a7e832", "25.6": "92a7e832"}),
    ("The mixture of 10 reaches 23.3 instead of 61.7, and own codes 11.3.", {"23.3": "1d40973e", "61.7": "1d40973e", "11.3": "1d40973e"}),
    ("Variance of reconstructions goes to 4.91e-13, i.e. all are one picture.", {"4.91e-13": "a5563aeb"}),
    ("The rate is 3.1e-07 at beta 7840.", {"3.1e-07": "5dd152c1 a5563aeb"}),
    ("In the table in 2.4 distortion rises from 69.4 to 206 nats.", {"69.4": "5dd152c1 a5563aeb", "206": "5dd152c1 a5563aeb"}),
    ("I expected around 40 nats for the rate at 7.84.", {"40": ""}),
    ("73% of the places agree on the even grid, but only 50% on the quantiles.", {"73%": "27244de7", "50%": "27244de7"}),
    ("The three seeds lie between 60.41 and 61.54, mine is 61.6.", {"60.41": "1d40973e 5dd152c1", "61.54": "1d40973e 5dd152c1", "61.6": "5dd152c1"}),
    ("The bound drops by 4.9±0.4 nats from K = 1 to K = 50.", {"4.9": "c70a68ae", "0.4": "c70a68ae"}),
    ("-log p(x) = 2.631 while −ELBO is 4.74 at beta=0.01.", {"2.631": "a6400e98", "4.74": "a6400e98"}),
    ("The 5 is the hardest: 0 % read at two dimensions, 122 nats above the floor.", {"0 %": "8f9a2f0c", "122": "8f9a2f0c"}),
    ("7 out of 10 students would say the rate is 34.9 nats; it's about 25.", {"34.9": "", "25": "5dd152c1 c587eb11"}),
    ("diversity drops from 2.3 to 0.005", {"2.3": "5dd152c1", "0.005": "5dd152c1"}),
    ("On 10,000 test images the read share is 0.972.", {"0.972": "8f9a2f0c"}),
    ("The loss was 108.5 after 57 s.", {"108.5": "0429a33f", "57": "0429a33f"}),
    ("I read 23.4, 21.3 and 16.2 as eigenvalues; at beta = 30 one dimension (32.3) survives.", {"23.4": "f72148d1", "21.3": "f72148d1", "16.2": "f72148d1", "32.3": "f72148d1"}),
    ("Between 0.784 and 1 the price is .97.", {".97": "5dd152c1"}),
    ("Rate $R = 28.0$ and $D=79.5$ nats.", {"28.0": "5dd152c1 a5563aeb", "79.5": "5dd152c1 a5563aeb"}),
    ("The rate (**28.0**) vs. `448`.", {"28.0": "5dd152c1 a5563aeb", "448": "5dd152c1 a5563aeb"}),
    ("The variance goes to 4.91·10^-13 and the rate to $3.1\\times 10^{-7}$.", {"4.91·10^-13": "a5563aeb", "3.1\\times 10^{-7}": "5dd152c1 a5563aeb"}),
    ("Rate/distortion is 28.0/79.5 nats.", {"28.0": "5dd152c1 a5563aeb", "79.5": "5dd152c1 a5563aeb"}),
    ("It needs 448nats and 69.4nats remain.", {"448": "5dd152c1 a5563aeb", "69.4": "5dd152c1 a5563aeb"}),
    ("97.2 percent are read with 50 latents (81.5 nats distortion).", {"97.2 percent": "8f9a2f0c", "81.5": "5dd152c1 8f9a2f0c"}),
    ("Length of codes ~22.8 versus 4.47 for N(0,I).", {"22.8": "a5563aeb", "4.47": "a5563aeb"}),
    ("The numbers in 2.4 say so: my rate of 25.7 nats is wrong.", {"25.7": ""}),
    ("Rescaled: second moments 0.99, 1.01 and 99,6 % within radius 3.", {"0.99": "1a23a563", "1.01": "1a23a563", "99,6 %": "1a23a563"}),
    ("Fréchet: 166 (AE) > 61.7 (VAE) > 51.4 (one Gaussian).", {"166": "09421015 1d40973e 5dd152c1", "61.7": "1d40973e", "51.4": "1d40973e"}),
    ("- rate: 4.29\n- distortion: 143\n- active units: 10", {"4.29": "5dd152c1 a5563aeb f72148d1", "143": "5dd152c1 a5563aeb"}),
    ("| beta | rate |\n|---|---|\n| 0.784 | 28.0 |\n| 7.84 | 4.29 |", {"28.0": "5dd152c1 a5563aeb", "4.29": "5dd152c1 a5563aeb f72148d1"}),
    ("The KL is −0.693 nats off.", {"−0.693": "f125e2cf"}),
    ("A baseline cuts 18.5 to 12.8, i.e. by 31 %.", {"18.5": "574cbd16", "12.8": "574cbd16", "31 %": ""}),
)  # fmt: skip
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


def written() -> Count:
    count, solved = Count(), _read("solutions", "02_variational_autoencoders")
    outputs = outputs_of(solved)
    for answer, labels in WRITTEN:
        found = {each.text: each for each in evidence(answer, outputs)}
        for number, cells in labels.items():
            named = found.get(number)
            top = solved["cells"][named.places[0].cell]["id"] if named and named.status == FOUND else None
            _enter(count, top, set(cells.split()), f"{answer} {number}: {top}, wanted {cells}")
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
