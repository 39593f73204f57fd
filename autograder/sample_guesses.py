"""What the sample class of ``course demo`` guesses: different for each student, the same every time."""

from __future__ import annotations

from random import Random

from nbformat import NotebookNode
from nbformat.v4 import new_output

from course_utils.plots.guessing.questions import MIME, Answer, Question, asked_in, record

from .beliefs import Belief
from .template import PREDICTION


def add_guesses(notebook: NotebookNode, student: str, known: dict[str, Belief]) -> None:
    """Put a guess, with the measurement where one is ``known``, under every predict cell, as a notebook keeps it."""
    for cell in notebook.cells:
        asked = asked_in(cell.source) if PREDICTION in cell.metadata.get("tags", []) else None
        if asked:
            question, random = asked[0], Random(f"{student}: {asked[0].text}")
            truth = known.get(question.text, (None, None))[1]
            knows = truth is not None and random.random() < 0.4
            guess: Answer = question.read(truth) if knows else sample_guess(question, random)
            kept = {MIME: record(question, guess, truth), "text/plain": f"Your guess: {question.words(guess)}."}
            cell.outputs = [new_output("display_data", kept)]


def sample_guess(question: Question, random: Random) -> Answer:
    """A letter; a number; or a curve that rises, falls or stays."""
    if question.kind == "choice":
        return random.choice(list(question.choices))
    low, width = question.low, question.high - question.low
    if question.kind == "number":
        return low + random.betavariate(2, 2) * width
    start, end = (low + random.random() * width for _ in range(2))
    return [start + place * (end - start) for place in question.places]
