"""The control that takes a guess in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from .questions import Answer, Question

FOLDER = Path(__file__).parent


def about(question: Question, guess: Answer, late: bool = False) -> dict:
    """What the page script needs to know of a question; ``guess`` is where the control starts, None for nowhere.
    ``late``: the answer was shown before."""
    known: dict[str, object] = {"kind": question.kind, "text": question.text, "guess": guess, "late": late}
    if question.kind == "choice":
        return known | {"choices": list(question.choices.items())}
    height = question.height if question.kind == "curve" else question
    known |= {"low": height.low, "high": height.high, "step": height.step}
    if question.kind == "number":
        return known | {"unit": question.unit}
    return known | {"x": question.x, "places": question.places, "xlabel": question.xlabel, "ylabel": question.ylabel}


class GuessWidget(anywidget.AnyWidget):
    """Shows a question with its control; calls ``lock`` with what the button sends."""

    _esm = FOLDER / "guess.js"
    _css = FOLDER / "guess.css"
    about = traitlets.Dict().tag(sync=True)

    def __init__(self, question: Question, guess: object, lock: Callable[[object], None], late: bool = False) -> None:
        super().__init__(about=about(question, guess, late))
        self.on_msg(lambda _, message, __: lock(message.get("guess")))
