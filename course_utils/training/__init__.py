"""One training loop for every unit: `fit`, its checkpoints and its live view; and `descend`, for what are no images."""

from .descent import descend
from .epochs import CHECK_EVERY_ON_GPU
from .fitting import SETTINGS, fit
from .loop import Critic, LossFunction
from .measuring import PRECISIONS, PROBE_SECONDS, estimate_seconds, evaluate
from .record import Run, only_one, say

__all__ = [
    "CHECK_EVERY_ON_GPU",
    "PRECISIONS",
    "PROBE_SECONDS",
    "SETTINGS",
    "Critic",
    "LossFunction",
    "Run",
    "descend",
    "estimate_seconds",
    "evaluate",
    "fit",
    "only_one",
    "say",
]
