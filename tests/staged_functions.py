"""Everything that can be called in the staged package, tried as the answer to every exercise: `python -I
staged_functions.py STAGE PROBES [MODULE ...]` prints what answers one, a line each.

PROBES holds for each exercise questions that a right implementation was asked, with its answers. A function is found
where it gives all of them, with the arguments in any order or the first of them only, and with what a submission might
do to its result.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import itertools
import os
import pkgutil
import signal
import sys
import warnings
from importlib import import_module
from types import FunctionType

SECONDS = 1.0  # for one call: no exercise takes a hundredth of it


def main(stage: str, probes: str, *modules: str) -> None:
    sys.path.insert(0, stage)
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, _too_long)
    questions = torch.load(probes, weights_only=False)
    results = os.fdopen(os.dup(1), "w")  # whatever they do to standard output
    found = [pair for pair in callables() if not modules or pair[0].startswith(modules)]
    for name, function in found:
        for exercise, asked in questions.items():
            for words in ways(function, asked):
                print(f"{exercise}: {name}, {words}", file=results)
    print(f"tried {len(found)}", file=results, flush=True)


def _too_long(*_: object) -> None:
    raise TimeoutError


def callables() -> list[tuple[str, object]]:
    """Functions, methods and classes of the package, whatever leads to them: the garbage collector knows them all."""
    import grading_agent

    import course_utils

    for package in (course_utils, grading_agent):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if module.name.endswith("__main__"):
                continue
            with contextlib.suppress(Exception):  # what does not run here answers nothing here
                import_module(module.name)
    ours = ("course_utils",)
    # What these hold draws, downloads, opens and writes: none of it returns a number that an exercise asks for.
    ways_out = ("course_utils.system", "course_utils.plots", "course_utils.datasets")
    found: dict[int, tuple[str, object]] = {}
    for thing in gc.get_objects():
        if isinstance(thing, (FunctionType, type)) and str(thing.__module__).split(".")[0] in ours:
            if str(thing.__module__).startswith(ways_out):
                continue
            found[id(thing)] = (f"{thing.__module__}.{thing.__qualname__}", thing)
    for name, thing in list(found.values()):
        if isinstance(thing, type):
            with contextlib.suppress(Exception):
                itself = thing()
                for attribute in dir(thing):
                    if not attribute.startswith("__") and callable(method := getattr(itself, attribute)):
                        found[id(method)] = (f"{name}().{attribute}", method)
    return sorted(found.values(), key=lambda pair: pair[0])


def ways(function, asked):
    """In which ways it gives all answers."""
    first = asked[0][0]
    for count in range(len(first), 0, -1):
        if not takes(function, count):
            continue
        given = range(len(first))
        for order in itertools.permutations(given, count) if len(first) <= 3 else [tuple(given[:count])]:
            for adapter in possible(function, order, *asked[0]):
                if all(adapter in possible(function, order, *pair) for pair in asked[1:]):
                    yield f"arguments {order}, {adapter}"


def takes(function, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


def possible(function, order, args, answer) -> list[str]:
    """What turns its result into the answer."""
    try:
        return possible_in_time(function, order, args, answer)
    except TimeoutError:  # the alarm may ring when the call has ended already, and is not yet put off
        return []


def possible_in_time(function, order, args, answer) -> list[str]:
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            came = function(*[again(args[index]) for index in order])
    except (Exception, SystemExit):
        return []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return [name for name, value in variants(came) if equals(value, answer)]


def again(value):
    import torch

    return value.clone() if isinstance(value, torch.Tensor) else value


def variants(came):
    yield "as it is", came
    if isinstance(came, (tuple, list)) and len(came) < 5:
        for index, part in enumerate(came):
            yield f"part {index}", part
    if callable(getattr(came, "sum", None)):
        with contextlib.suppress(Exception):
            yield "sum", came.sum()
            yield "mean", came.mean()
            yield "sum, then mean", came.sum(1).mean()
    with contextlib.suppress(Exception):
        yield "negative", -came
        yield "root", came**0.5
        yield "square", came**2


def equals(value, answer) -> bool:
    import torch

    if isinstance(answer, (tuple, list)):
        return (
            isinstance(value, (tuple, list))
            and len(value) == len(answer)
            and all(equals(one, other) for one, other in zip(value, answer, strict=True))
        )
    if isinstance(answer, (bool, str)):
        return type(value) is type(answer) and value == answer
    try:
        one, other = (torch.as_tensor(x).detach().double() for x in (value, answer))
    except Exception:
        return False
    return one.shape == other.shape and bool(torch.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
