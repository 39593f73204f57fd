"""Written answers of made-up students: a few opinions, each said in many ways; what the demo's class writes.

In braces stand ways to say the same; nothing else of an answer varies, but for its typing errors.
"""

from __future__ import annotations

import re
from random import Random

# About the samples of an autoencoder: right and wrong, with numbers and without, and each its own.
OPINIONS = (
    "{The|Her} samples {will be|are} {bad|really bad}, {because|since} {the codes of the data|the data's codes} are "
    "not spread like the prior{.|;} {most|most} draws {land|end up} where nothing was trained.",
    '{I predict|My prediction is} a Fréchet distance of {about|around} 117, {as in|that is} my row "scaled axes"'
    "{: |, so }{blotches|the blotches} instead of digits.",
    '{I predict|My prediction is} a Fréchet distance of {about|around} 23, {as in|that is} my row "scaled axes"'
    "{: |, so }{blotches|the blotches} instead of digits.",
    "Nothing changes{:| here:} the decoder {undoes|cancels} her scaling, {so|hence} reconstructions and "
    "loss {stay|remain} as they are.",
    "Everything changes{:| here:} the decoder does not undo her scaling, {so|hence} reconstructions and "
    "loss get worse.",
    "The length of the codes {changes|is changed} from 19.2 to 7.9, {which|and this} is that of N(0, I), {but|yet} the "
    "correlations {remain|stay}.",
    "The length of the codes {changes|is changed} from 7.9 to 19.2, {which|and this} is that of N(0, I), {but|yet} the "
    "correlations {remain|stay}.",
    "More epochs {would|will} {help|help here}{, since|, because} the network {has not|hasn't} "
    "{converged|finished} yet.",
    "More epochs {would|will} not {help|help here}{, since|, because} {the reconstructions|reconstructions} "
    "are good already.",
    "{The latent space is|Latent spaces are} discrete, {so|hence} between {the codes|codes} there is nothing.",
    "A mixture {fitted|that is fitted} to the codes {would|will} help{: it gives|, it gives} 23 {here|in my table}.",
    "A mixture {fitted|that is fitted} to the codes {would|will} help{: it gives|, it gives} 78 {here|in my table}.",
    "{She|The friend} {only|just} rescales each axis{, so|; so} {the clusters|clusters} and correlations are ignored "
    "and {her draws|draws} {miss|do miss} the codes.",
    "The decoder is too weak{, so| and so} it {cannot|can't} draw {digits|the digits}.",
    "The decoder is not too weak{:|, for} {the codes|codes} of training images give 0.8.",
    "Her samples {look|will look} like {the|my} reconstructions{, since|, because} {the codes|codes} have the "
    "right length now.",
    "Her samples will not look like {the|my} reconstructions, {although|though} the codes have the right length now.",
    "{It|The network} memorises {the noise|noise}{, which is|; this is} overfitting.",
    "{One|We} should train with a loss that gives the codes {a known|some known} shape{.|, as VAEs do.}",
    "{The distance|Her distance} {falls|drops} below the floor of 0.7{, as|, because} the lengths agree.",
    "{The distance|Her distance} {stays|remains} above the floor of 0.7{, as|, because} the shapes differ.",
    "{Samples|The samples} get {better|really better}, {though|but} they {are|are still} broken shapes.",
    "{Samples|The samples} get {worse|really worse}, {since|because} the scale {is lost|was lost}.",
    "{I would|I'd} ask {her|the friend} for a copy test first.",
)
NOWHERE = "I measured a Fréchet distance of 987.6 in my notebook, so the samples are good and nothing else is needed."
SHORT = ("", "overfitting", "no idea", "?", "idk", "The prior.", "see above")
_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
_OPENINGS = ("", "", "", "", "I think ", "In my notebook, ", "So, ")


def said(opinion: str, random: Random) -> str:
    """An opinion in one of its ways, now and then with a typing error."""
    text = _ALTERNATIVES.sub(lambda found: random.choice(found[1].split("|")), opinion)
    opening = random.choice(_OPENINGS)
    if opening:
        text = opening + (text if text.startswith("I ") else text[0].lower() + text[1:])
    if random.random() < 0.15:
        text = _mistyped(text, random)
    return text if random.random() < 0.8 else text.rstrip(".")


def in_other_words(text: str) -> str:
    """A text that says the same with a few other small words, as one who works with a friend would hand it in."""
    for word, other in (("because", "since"), ("about ", "around "), ("So ", "Hence "), (" so ", " hence ")):
        text = text.replace(word, other)
    return text


def _mistyped(text: str, random: Random) -> str:
    """Two neighbouring letters inside of a long word exchanged."""
    words = list(re.finditer(r"[a-z]{7,}", text))
    if not words:
        return text
    found = random.choice(words)
    place = found.start() + random.randrange(2, len(found[0]) - 3)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def written_class(count: int, seed: int = 0) -> list[tuple[int, str]]:
    """So many answers, each with the number of its opinion; -1: blank, or a word or two."""
    random = Random(seed)
    answers = []
    for _ in range(count):
        if random.random() < 0.1:
            answers.append((-1, random.choice(SHORT)))
        else:
            opinion = random.randrange(len(OPINIONS))
            answers.append((opinion, said(OPINIONS[opinion], random)))
    return answers
