"""Check your answer to an exercise: `from course_utils import check`, then `check.kl_divergence(kl_divergence,
points=4)`.

There is one function for each exercise. It takes what you wrote and the points it is worth and returns a Score: its
value in a notebook is the number of points earned, with a table of the laws your function must obey, and where one is
broken what was expected, what came, and the likely cause. It never raises because of your function, repeats with fresh
random inputs at every call, and leaves the random generators of the notebook as they were.

A law that is broken shows its id and a seed: `check.kl_divergence(kl_divergence, points=4, law="...", seed=...)` runs
that law alone, with the same inputs again.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from .checks import CHECKS, Score
from .system.notebook import older_version, taken_names


def __getattr__(name: str) -> Callable[..., Score]:
    if name not in CHECKS:
        near = difflib.get_close_matches(name, CHECKS, n=1)
        hint = f" Did you mean check.{near[0]}?" if near else ""
        raise AttributeError(f"there is no check for an exercise {name!r}.{hint}")
    check = CHECKS[name]

    def judge(candidate: Any, points: float = 1, *, law: str | None = None, seed: int | None = None) -> Score:
        score = check.judge(candidate, points, law=law, seed=seed)
        remark = " ".join(filter(None, [older_version(candidate, name), taken_names()]))
        return score.remarked(remark) if remark else score

    judge.__name__ = judge.__qualname__ = name
    judge.__doc__ = f"Judge `{check.signature}`: {check.returns}.{f' {check.note}' if check.note else ''}"
    if name not in CHECKS.own:  # which may be another course's the next time
        globals()[name] = judge
    return judge


def __dir__() -> list[str]:
    return sorted({*globals(), *CHECKS})
