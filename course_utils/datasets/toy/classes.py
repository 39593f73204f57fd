"""Forty kinds of toy animals, and what each is like, in the vocabulary of Animals with Attributes 2.

The table is the course's own: it says what ``toy_animals`` draws, not what zoologists or people in a survey say. Those
in ``NOT_DRAWN`` are not drawn at all (a picture cannot show them), so that an honest probe can fail.
"""

from __future__ import annotations

import numpy as np
import torch

from ..animals import Attributes
from .random_bits import Uniform

COLOURS = ("black", "white", "blue", "brown", "gray", "orange", "red", "yellow")
PATTERNS = ("patches", "spots", "stripes")
HABITATS = ("arctic", "coastal", "desert", "plains", "forest", "fields", "jungle", "mountains", "ocean")
NOT_DRAWN = ("smelly", "fast", "meat", "vegetation", "newworld", "fierce", "smart", "domestic")
NAMES = (  # in AwA2's order
    *COLOURS,
    *PATTERNS,
    "furry",
    "hairless",
    "toughskin",
    "big",
    "small",
    "bulbous",
    "lean",
    "flippers",
    "hooves",
    "longleg",
    "longneck",
    "tail",
    "horns",
    "tusks",
    "smelly",
    "flys",
    "swims",
    "fast",
    "bipedal",
    "quadrapedal",
    "nocturnal",
    "meat",
    "vegetation",
    "newworld",
    *HABITATS,
    "fierce",
    "smart",
    "group",
    "domestic",
)

# A class a line: its attributes, the more striking of two colours first.
_TABLE = """
antelope      brown white lean hooves longleg tail horns fast quadrapedal vegetation plains group
killer+whale  black white patches hairless big flippers tail swims meat ocean fierce smart group
tiger         orange black stripes furry big tail quadrapedal meat jungle fierce
penguin       black white bulbous flippers swims bipedal meat arctic coastal group
giraffe       yellow brown patches big hooves longleg longneck tail horns quadrapedal vegetation plains group
wolf          gray furry lean tail quadrapedal nocturnal meat arctic forest fierce smart group
cow           white black patches big bulbous hooves tail horns quadrapedal vegetation fields group domestic
bat           black furry small flys nocturnal newworld jungle mountains group
elephant      gray hairless toughskin big bulbous tail tusks quadrapedal vegetation plains jungle smart group
zebra         white black stripes hooves longleg tail fast quadrapedal vegetation plains group
fox           orange white furry small lean tail quadrapedal meat forest fields smart
dolphin       gray hairless lean flippers tail swims fast meat ocean coastal smart group
polar+bear    white furry big bulbous swims quadrapedal meat arctic fierce
chipmunk      brown black stripes furry small tail quadrapedal vegetation newworld forest
flamingo      red lean longleg longneck bipedal newworld coastal group
rhinoceros    gray hairless toughskin big bulbous horns quadrapedal vegetation plains fierce
dalmatian     white black spots lean tail quadrapedal meat fields smart domestic
owl           brown white spots furry small bulbous flys nocturnal meat forest smart
horse         brown big hooves longleg tail fast quadrapedal vegetation fields group domestic
seal          gray black spots hairless bulbous flippers swims meat arctic coastal group
goat          white furry hooves tail horns smelly quadrapedal vegetation mountains domestic
macaw         blue yellow small tail flys newworld jungle smart group
lion          yellow furry big tail quadrapedal meat plains fierce group
giant+panda   white black patches furry big bulbous quadrapedal vegetation forest mountains
blue+whale    blue hairless big bulbous flippers tail swims ocean smart
rabbit        brown white furry small bulbous fast quadrapedal vegetation fields domestic
gorilla       black furry big bulbous bipedal vegetation jungle smart group
camel         yellow brown big hooves longleg longneck tail smelly quadrapedal vegetation desert domestic group
skunk         black white stripes furry small tail smelly quadrapedal nocturnal newworld forest fields
deer          brown white spots lean hooves longleg tail horns fast quadrapedal vegetation forest group
pig           red hairless bulbous hooves tail smelly quadrapedal vegetation fields smart domestic
walrus        brown hairless toughskin big bulbous flippers tusks smelly swims meat arctic group
cheetah       yellow black spots furry lean longleg tail fast quadrapedal meat plains fierce
eagle         brown white tail flys fast meat coastal mountains fierce
mouse         gray small tail smelly quadrapedal nocturnal vegetation fields
kangaroo      brown furry tail fast bipedal vegetation desert plains group
okapi         brown white stripes hooves longleg longneck tail quadrapedal vegetation jungle
buffalo       brown furry big bulbous hooves tail horns quadrapedal vegetation newworld plains group
snow+leopard  gray black spots furry tail quadrapedal nocturnal meat mountains fierce
hippopotamus  gray red hairless toughskin big bulbous swims quadrapedal vegetation coastal fierce group
"""
_ROWS = {line.split()[0]: line.split()[1:] for line in _TABLE.strip().splitlines()}
_TEST = ("okapi", "giraffe", "cow", "fox", "owl", "seal", "goat", "gorilla")

CLASS_NAMES = tuple(_ROWS)


def attributes() -> Attributes:
    """Of the 40 classes. As in AwA2, the continuous matrix is in per cent, and the binary one tells what lies above its
    mean."""
    draw = Uniform(0)
    jitter = draw((len(_ROWS), len(NAMES)), 0, 10)
    continuous = np.round(jitter * 0.6, 2)
    for i, present in enumerate(_ROWS.values()):
        for name in present:
            continuous[i, NAMES.index(name)] = round(75 + jitter[i, NAMES.index(name)], 2)
        for rank, name in enumerate(name for name in present if name in COLOURS):
            continuous[i, NAMES.index(name)] += 10 - 20 * rank
    binary = continuous > continuous.mean()
    test = tuple(CLASS_NAMES.index(name) for name in _TEST)
    train = tuple(i for i in range(len(CLASS_NAMES)) if i not in test)
    return Attributes(
        NAMES, torch.from_numpy(binary.astype(np.uint8)), torch.from_numpy(continuous.astype(np.float32)), train, test
    )
