"""Predict, then look: you commit to a guess before the figure appears, and see it again beside what was measured.

``choose``, ``number`` and ``curve`` ask; ``reveal`` answers. A guess is typed into the cell, or set with the control
below it and locked with its button; revealing locks it too. What is locked stays: the notebook's outputs carry it, for
your instructor to see what the class believed, and so does ``runs/<unit>/.guesses``, for a kernel that starts afresh.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_utils.models import runs
from course_utils.system import notebook
from course_utils.system.whole_file import write_whole

from .guessing.questions import MIME, Answer, Choice, Curve, Number, Question, record


def choose(question: str, *, guess: str = "", **choices: str) -> Guess:
    """Show a question with lettered choices and keep your guess.

    Args:
        question: one sentence.
        guess: the letter you choose, or "" for none yet.
        **choices: letter -> text, e.g. ``a="a sharp digit", b="noise"``.
    """
    return Guess(Choice(question, choices), guess)


def number(question: str, low: float, high: float, unit: str = "", *, guess: float | None = None) -> Guess:
    """Show a question whose answer is a number from ``low`` to ``high``, in ``unit``, and keep your guess."""
    return Guess(Number(question, low, high, unit), guess)


def curve(
    question: str,
    x: Sequence[float],
    low: float,
    high: float,
    *,
    xlabel: str,
    ylabel: str,
    guess: Sequence[float] | None = None,
) -> Guess:
    """Show a question whose answer is a curve, drawn at the places ``x`` between ``low`` and ``high``, and keep your
    guess: one number for each x."""
    return Guess(Curve(question, tuple(x), low, high, xlabel, ylabel), guess)


def reveal(guess: Guess, truth: str | float | Sequence[float], because: str) -> None:
    """Lock the guess and show it beside the truth (a letter, a number, or a number for each x) and the measurement that
    decides."""
    question = guess.question
    measured = question.read_truth(truth if question.kind == "choice" else _floats(truth))
    if measured is None and question.kind == "choice":
        raise ValueError(f"truth is {truth!r}; expected one of {', '.join(question.choices)}.")
    value = guess.close()
    verdict = _verdict(question, value, measured)
    markup = f"<strong>{html.escape(verdict)}</strong> {html.escape(because)}"
    _show(markup, f"{verdict} {because}", record(question, value, measured))
    if value is not None and measured is not None and question.kind != "choice":
        _draw(question, value, measured)


class Guess:
    """A question, and what you guess: ``value``, None while there is none. Once ``locked`` it stays."""

    def __init__(self, question: Question, typed: object) -> None:
        self.question = question
        self.value: Answer = question.read(_kept().get(question.text))
        self.locked = self.value is not None
        self._typed = typed
        if not self.locked:
            self.value = question.read(typed)
        self._handle: Any = None  # of what the notebook shows
        self._widget: Any = None
        self._display()

    def lock(self, value: object) -> None:
        """Take the guess from the control, unless one is locked already or the answer was shown."""
        value = self.question.read(value)
        if not self.locked and value is not None:
            self.value = value
            self.close()

    def close(self) -> Answer:
        """Lock what is guessed so far and return it."""
        if not self.locked:
            self.locked = True
            if self.value is not None:
                _keep(self.question, self.value)
            if self._handle:
                self._display()
        return self.value

    def _display(self) -> None:
        """The question with its control; once locked, as text that stays in the notebook."""
        answers = self.question.choices if self.question.kind == "choice" else {}
        note = self._note()
        plain = "\n".join([self.question.text, *(f"  {letter}  {text}" for letter, text in answers.items()), note])
        lines = [
            f"<strong>{html.escape(self.question.text)}</strong>",
            *(f"&emsp;<strong>{letter}</strong> {html.escape(text)}" for letter, text in answers.items()),
            f"<em>{html.escape(note)}</em>",
        ]
        markup = "<br>".join(lines)
        if self.locked:
            self._handle = _show(markup, plain, record(self.question, self.value), self._handle)
            if self._widget:
                self._widget.close()
        else:
            self._handle = _show(markup, plain, view=self._control())

    def _note(self) -> str:
        said = "" if self.value is None else f"Your guess: {self.question.words(self.value)}."
        if self.locked:
            return "The answer was shown before you made a guess." if self.value is None else f"{said} It is locked."
        if self.value is not None:
            return said
        if self._typed not in ("", None):
            return f"{str(self._typed)[:40]!r} is no guess. Type {self.question.hint}."
        return f"Lock your guess with the control, or type {self.question.hint} and run this cell."

    def _control(self) -> dict:
        if not notebook.in_notebook():
            return {}
        from .guessing.widget import GuessWidget

        self._widget = GuessWidget(self.question, self.value, self.lock)
        kind = "application/vnd.jupyter.widget-view+json"
        return {kind: self._widget._repr_mimebundle_()[0][kind]}


def _verdict(question: Question, value: Answer, measured: Answer) -> str:
    outcome = "Here it could not be measured." if measured is None else f"Here: {question.words(measured)}."
    if value is None or measured is None:
        return f"You {'made no guess' if value is None else 'predicted ' + question.words(value)}. {outcome}"
    if question.kind == "choice":
        return (
            f"You predicted {value}, and so it is. {outcome}"
            if value == measured
            else (f"You predicted {question.words(value)}. It is not so. {outcome}")
        )
    away = f"{question.away(value, measured):.3g} away"
    away += ", which is close." if question.is_right(value, measured) else "."
    if question.kind == "curve":
        return f"Your curve is, on average, {away}"
    return f"You predicted {question.words(value)}. {outcome} You were {away}"


def _draw(question: Number | Curve, value: Answer, measured: Answer) -> None:
    """Guess and truth in one figure."""
    from . import figures as plots

    alt = f"{question.text} Your guess: {question.words(value)}. Measured: {question.words(measured)}."
    if question.kind == "curve":
        plots.lines(
            {"your guess": (question.x, value), "measured": (question.x, measured)},
            alt,
            xlabel=question.xlabel,
            ylabel=question.ylabel,
            xscale=question.xscale,
        )
    else:
        plots.intervals(
            {"your guess": (value,) * 3, "measured": (measured,) * 3},
            alt,
            xlabel=question.unit or "value",
            xlim=(min(question.low, measured), max(question.high, measured)),
        )


def _floats(truth: Any) -> list[float] | float:
    return [float(value) for value in truth] if hasattr(truth, "__len__") else float(truth)


def _show(markup: str, plain: str, kept: dict | None = None, handle: Any = None, view: dict | None = None) -> Any:
    """Show one framed text, with the record of a guess and the control's view where they are given; returns the handle
    by which a notebook shows another in its place."""
    if not notebook.in_notebook():
        print(plain)
        return None
    from IPython.display import display

    framed = f'<div style="border-left:4px solid #332288;padding:.2em 1em">{markup}</div>'
    bundle = {"text/html": framed, "text/plain": plain} | ({MIME: kept} if kept else {}) | (view or {})
    if handle:
        handle.update(bundle, raw=True)
        return handle
    return display(bundle, raw=True, display_id=True)


def _place() -> Path:
    return runs.folder() / ".guesses"


def _kept() -> dict:
    """Question -> guess, of those locked in this unit."""
    try:
        found = json.loads(_place().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(question: Question, value: object) -> None:
    """Keep a guess for a kernel that starts afresh; a place that cannot be written costs no more than that."""
    try:
        _place().parent.mkdir(parents=True, exist_ok=True)
        write_whole(_place(), json.dumps(_kept() | {question.text: value}))
    except OSError:
        pass
