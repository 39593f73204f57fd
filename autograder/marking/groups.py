"""Answers that say the same in nearly the same words.

Likeness is the cosine of TF-IDF vectors of character n-grams (scikit-learn). It is blind to what turns a statement into
its opposite, so two answers are only ever alike when they also say the same words in the same order: every number, sign
and negation, and every other word but for small ones, typing errors and a few synonyms. A word more or another word may
always turn the meaning ("seldom", "anything but"), and no list holds all that do. A group is complete: every two of its
answers are alike.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import numpy as np

THRESHOLD = 0.4  # cosine from which two answers count as alike
LONGEST = 20_000  # characters of an answer that can be alike another, or short
SHORT = 3  # words up to which an answer is settled on the screen of short ones

_NOT_WORDS = "not cannot isnt arent wasnt werent doesnt dont didnt cant couldnt wont wouldnt hasnt havent hadnt"
_NOT = frozenset(_NOT_WORDS.split())
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_NUMBERS.split())} | {
    "half": "0.5",
    "twice": "2",
    "double": "2",
    "both": "2",
    "once": "1",
    "single": "1",
    "quarter": "0.25",
    "third": "0.33",
}
_FILLER_WORDS = (
    "the a an and of to for from by with on at as is are was were be been being it its this that these those my our "
    "his her their i we you they he she so thus hence therefore then also too just very really quite simply clearly "
    "actually basically here there which who what when where while since but about around roughly "
    "approximately has have had do does did will would shall should than into onto through between again still "
    "already because in can could may me us them itself themselves see seen shows show think believe say says "
    "answer question number value however moreover indeed notebook bit id"
)
_FILLERS = frozenset(_FILLER_WORDS.split())
_AFTER_SOMEBODY = frozenset(["should", "would", "can", "could", "must", "may", "might", "has", "sees", "gets"])
_BEFORE_NUMBERS = frozenset(["by", "to"])  # falls by 3 nats, falls to 3 nats
_SYNONYMS = """
undo cancel reverse revert
stay remain
fall fell drop dropped
rise rose
grow grew
shrink shrank shrunk
bad poor
picture image
converge finish
land end
predict prediction expect expectation
capacity power
clear readable
blurry blurred blur
autoencoder ae
all every each
mend repair fix
nearest closest
large big
larger bigger greater
small little
like resemble
nearly almost
hardly barely scarcely
"""
_SIGNS = "<>=≈≤≥≠±+∝≪≫→←×·%"
# Signs that are also punctuation count where they stand between two terms: a - b, mu*sigma, x^2.
_TOKEN = re.compile(
    rf"(?:(?<![\w)])-)?(?:\d+(?:[.,]\d+)*|(?<!\w)\.\d+)(?:e[-+]?\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?|[{_SIGNS}]"
    r"|(?<=[\w)\]] )[-*/](?= [\w(\[])|(?<=[\w)\]])[*/^](?=[-\w(\[])"
)
_NUMERIC = re.compile(r"-?\.?\d")
_MEANT = {
    "−": "-",
    "\u2019": "'",
    "!=": "≠",
    "per cent": "%",
    "percent": "%",
    "a few": "several",
    "a little": "slightly",
}
_GREEK = {"α": "alpha", "β": "beta", "ε": "epsilon", "λ": "lambda", "μ": "mu", "µ": "mu", "σ": "sigma"}


def words_of(text: str) -> list[str]:
    """The words, numbers and signs of an answer, in small letters."""
    plain = text.lower()
    for written, meant in _MEANT.items():
        plain = plain.replace(written, meant)
    plain = "".join(map(_letter, plain))
    return [token.replace("'", "") for token in _TOKEN.findall(plain)]


def _letter(letter: str) -> str:
    """A letter as it is compared: Greek ones by their names, a power or fraction that is one letter as a number."""
    if letter in _GREEK:
        return f" {_GREEK[letter]} "
    if letter.isascii() or (value := unicodedata.numeric(letter, None)) is None:
        return letter
    return f" ^ {value:g} " if unicodedata.normalize("NFKC", letter).isdigit() else f" {value:g} "


def _is_somebody(words: list[str], index: int) -> bool:
    """Whether "one" is no number: one should, the one, this one."""
    after = words[index + 1] if index + 1 < len(words) else ""
    return after in _AFTER_SOMEBODY or (index > 0 and words[index - 1] in ("no", "the", "this"))


def _number(word: str) -> str:
    plain = word.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", word) else word.replace(",", ".")
    try:
        return f"{float(plain):.12g}"
    except ValueError:
        return word


def _stem(word: str) -> str:
    return re.sub(r"(ations?|ings?|ies|es|ed|ly|s|e)$", "", word) if len(word) > 3 else word


_SAID = {_stem(word): line.split()[0] for line in _SYNONYMS.strip().splitlines() for word in line.split()}


@lru_cache(maxsize=20_000)
def _content(text: str) -> tuple[str, ...]:
    """The words that carry the meaning, in order, by their stems; words of one line of ``_SYNONYMS`` are one."""
    words, found = words_of(text), []
    for index, word in enumerate(words):
        if _NUMERIC.match(word) or word in _NUMBER_WORDS:
            if word == "one" and _is_somebody(words, index):
                continue
            if index and words[index - 1] in _BEFORE_NUMBERS:
                found.append(words[index - 1])
            found.append(_NUMBER_WORDS.get(word) or _number(word))
        elif word in _NOT:
            found.append("not")
        elif word not in _FILLERS:
            found.append(_SAID.get(word) or _SAID.get(_stem(word)) or _stem(word))
    return tuple(found)


def may_be_alike(first: str, second: str) -> bool:
    """Whether two answers say the same words in the same order, but for small words, typing errors and synonyms."""
    one, two = _content(first), _content(second)
    return len(one) == len(two) and all(a == b or _is_typo(a, b) for a, b in zip(one, two, strict=True))


def _is_typo(first: str, second: str) -> bool:
    """Whether two words differ in a letter too many or in two neighbours exchanged; a letter in the place of another
    one makes another word too often (prevent, present)."""
    short, long = sorted((first, second), key=len)
    if len(short) < 5 or first[0] != second[0] or not (first + second).isalpha():
        return False
    if len(short) == len(long):
        return any(short[:i] + short[i + 1] + short[i] + short[i + 2 :] == long for i in range(1, len(short) - 1))
    return any(long[:i] + long[i + 1 :] == short for i in range(1, len(long)))


def likeness(texts: list[str]) -> np.ndarray:
    """The likeness of every two texts, from 0 to 1, shape (n, n); 0 where they may not be alike."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    plain = [" ".join(words_of(text)) for text in texts]
    if not any(plain):
        return np.eye(len(texts))
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(plain)
    cosines = np.asarray((vectors @ vectors.T).todense())
    alike = np.eye(len(texts))
    for one, two in zip(*np.nonzero(np.triu(cosines > 0.3, 1)), strict=True):
        if may_be_alike(texts[one], texts[two]):
            alike[one, two] = alike[two, one] = min(1.0, float(cosines[one, two]))
    return alike


def group(texts: list[str], threshold: float = THRESHOLD) -> list[int]:
    """A number of a group for each text; every two texts of a group are alike by at least ``threshold``, above 1: each
    has its own."""
    if len(texts) < 2 or threshold > 1:
        return list(range(len(texts)))
    from sklearn.cluster import AgglomerativeClustering

    distances = 1 - likeness(texts)
    clusters = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="complete", distance_threshold=1 - threshold + 1e-9
    )
    labels: list[int] = clusters.fit_predict(distances).tolist()
    return labels


def is_short(text: str) -> bool:
    """Whether an answer has at most a few words: too little to read, and settled with the others like it."""
    return len(text) <= LONGEST and len(words_of(text)) <= SHORT
