"""Answers that say the same in nearly the same words.

Likeness is the cosine of TF-IDF vectors of character n-grams (scikit-learn). It is blind to what turns a statement into
its opposite, so two answers are only ever alike when they also agree, in order, on every number, every negation with
what it negates, and every word of a list of opposites (rise and fall, prior and posterior); and when few other words
are in one of them alone. A group is complete: every two of its answers are alike.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache

import numpy as np

THRESHOLD = 0.5  # cosine from which two answers count as alike
MOST_OTHER_WORDS = 0.34  # of the content words of the shorter answer, in one of the two alone
SHORT = 3  # words up to which an answer is settled on the screen of short ones

_NEGATION_WORDS = (
    "not no never none neither nor without cannot nothing nobody hardly barely scarcely fails fail failed lacks lack "
    "isnt arent wasnt werent doesnt dont didnt cant couldnt wont wouldnt hasnt havent hadnt false wrong impossible "
    "unable useless"
)
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_NUMBERS.split())} | {
    "half": "0.5",
    "twice": "2",
    "double": "2",
    "once": "1",
    "single": "1",
    "quarter": "0.25",
    "third": "0.33",
}
# Each line: the sides of one opposition, "/" between them. Words of one side stand for each other.
_OPPOSITES = """
more higher larger greater bigger longer wider increase increases increased grow grows grew rise rises rising rose up \
above / less lower smaller fewer shorter narrower decrease decreases decreased shrink shrinks fall falls fell falling \
drop drops dropped reduces reduced reduce down below under
better improve improves improved best / worse worst worsen worsens
encoder / decoder
prior / posterior / aggregate
mean means / variance spread sigma deviation
distortion / rate
reconstruction reconstructions / sample samples
train training trained / test held
always all every each / some sometimes few partly / only
before / after
autoencoder autoencoders ae / vae vaes
first / second / third / last
same equal unchanged alike stay stays remain remains / different differ differs changed change changes
true right correct / untrue incorrect
near close nearer closer / far farther apart
inside within in / outside
left / right-hand
wide broad / narrow
many most / rarely rare
start begin early / end late finally
cause causes / despite although though
discrete / continuous
dependent correlated correlation / independent uncorrelated
mmd / kl / wasserstein frechet
maximise maximises maximum / minimise minimises minimum
sharp sharper / blurred blurry blur
deterministic / probabilistic stochastic
row rows / column columns
can could / must / might may
"""
_SIDES = {
    word: f"{line}.{side}"
    for line, sides in enumerate(_OPPOSITES.replace("\\\n", " ").strip().splitlines())
    for side, words in enumerate(sides.split(" / "))
    for word in words.split()
}
_FILLER_WORDS = (
    "the a an and or of to for from by with on at as is are was were be been being it its this that these those my our "
    "his her their i we you they he she so thus hence therefore then also too just very really quite simply clearly "
    "actually basically here there which who what when where while since if but about around roughly nearly almost "
    "approximately has have had do does did will would shall should than into onto over through between again still "
    "already because in can could may me us them itself themselves see seen shows show think believe say says "
    "answer question number value however moreover indeed notebook bit id"
)
_FILLERS = frozenset(_FILLER_WORDS.split())
_NEGATED_STEMS = "able affect chang equal stable usual correlat finite valid likely trained"  # unable, inequal
_NEGATED = frozenset(_NEGATED_STEMS.split())
_TOKEN = re.compile(r"[-−]?\d+(?:[.,]\d+)*(?:\s?%)?|[^\W\d_]+(?:['’][^\W\d_]+)?|[<>=≈≤≥+]")
_NUMERIC = re.compile(r"[-−]?\d")


def words_of(text: str) -> list[str]:
    """The words, numbers and signs of comparison of an answer, in small letters."""
    found = _TOKEN.findall(text.lower().replace("−", "-").replace("\u2019", "'"))
    words = [token.replace("'", "") for token in found]
    return [_spelled(word) for word in words]


@lru_cache(maxsize=50_000)
def _spelled(word: str) -> str:
    """A word of the opposites with a letter too few, too many or out of place, as it is meant."""
    if len(word) < 7 or word in _SIDES:
        return word
    near = [known for known in get_close_matches(word, _SIDES, cutoff=0.85) if known[0] == word[0]]
    same = [
        known for known in near if sorted(known) == sorted(word) or SequenceMatcher(None, word, known).ratio() > 0.9
    ]
    return same[0] if same and abs(len(same[0]) - len(word)) <= 1 else word


@lru_cache(maxsize=20_000)
def meaning(text: str) -> tuple[str, ...]:
    """What two answers must share, in order, to be alike: numbers, negations with what they negate, sides of
    oppositions."""
    words, found = words_of(text), []
    for index, word in enumerate(words):
        if _NUMERIC.match(word):
            found.append(_number(word))
        elif word in _NUMBER_WORDS and not (word == "one" and index and words[index - 1] in ("no", "the", "this")):
            found.append(_NUMBER_WORDS[word])
        elif word in "<>=≈≤≥":
            found.append(word)
        if word in _NEGATIONS or (word.startswith(("un", "in", "non")) and _stem(word[2:]) in _NEGATED):
            following = (each for each in words[index + 1 :] if each not in _FILLERS and each not in _NEGATIONS)
            found.append("not " + _same_word(next(following, "")))
        if word in _SIDES:
            found.append(f"side {_SIDES[word]}")
    return tuple(found)


def _number(word: str) -> str:
    percent = word.endswith("%")
    plain = word.rstrip("%").strip()
    plain = plain.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", plain) else plain.replace(",", ".")
    try:
        return f"{float(plain):.12g}{'%' if percent else ''}"
    except ValueError:
        return word


def _stem(word: str) -> str:
    return re.sub(r"(ations?|ings?|ies|es|ed|ly|s|e)$", "", word) if len(word) > 4 else word


def _same_word(word: str) -> str:
    return _SIDES.get(word, _stem(word))


@lru_cache(maxsize=20_000)
def _content(text: str) -> Counter[str]:
    return Counter(_stem(word) for word in words_of(text) if word not in _FILLERS and not _NUMERIC.match(word))


def may_be_alike(first: str, second: str) -> bool:
    """Whether nothing that turns a meaning is in one of two answers alone."""
    if meaning(first) != meaning(second):
        return False
    one, two = _content(first), _content(second)
    left, right = list((one - two).elements()), list((two - one).elements())
    for word in left[:]:
        typo = next((other for other in right if _is_typo(word, other)), None)
        if typo is not None:
            left.remove(word)
            right.remove(typo)
    least = min(sum(one.values()), sum(two.values()))
    return max(len(left), len(right)) <= MOST_OTHER_WORDS * least


def _is_typo(first: str, second: str) -> bool:
    if min(len(first), len(second)) < 5 or first in _SIDES or second in _SIDES:
        return False
    return first[0] == second[0] and SequenceMatcher(None, first, second).ratio() >= 0.84


def likeness(texts: list[str]) -> np.ndarray:
    """The likeness of every two texts, from 0 to 1, shape (n, n); 0 where they may not be alike."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    plain = [" ".join(words_of(text)) for text in texts]
    if not any(plain):
        return np.eye(len(texts))
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(plain)
    cosines = np.asarray((vectors @ vectors.T).todense())
    meanings: dict[tuple[str, ...], list[int]] = {}
    for index, text in enumerate(texts):
        meanings.setdefault(meaning(text), []).append(index)
    alike = np.eye(len(texts))
    for members in meanings.values():
        for place, one in enumerate(members):
            for two in members[place + 1 :]:
                if cosines[one, two] > 0.3 and may_be_alike(texts[one], texts[two]):
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
    return len(words_of(text)) <= SHORT
