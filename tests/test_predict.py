"""Predict, then look: what counts as a guess, when it is locked, and what a notebook keeps of it."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from course_utils.plots import predict
from course_utils.plots.guessing.questions import MIME, Choice, Curve, Number, asked_in
from course_utils.system import unfinished
from tests.notebook_source import CHECKOUT

CHOICE = Choice("Which?", {"a": "one", "b": "<i>two</i>"})
NUMBER = Number("How many?", 0, 50, "units")
CURVE = Curve("How?", (1, 2, 4), 0, 1, "x", "y")


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))


def ask(kind: str, guess: object) -> predict.Guess:
    if kind == "choice":
        return predict.choose("Which?", a="one", b="two", guess=guess)
    if kind == "number":
        return predict.number("How many?", 0, 50, "units", guess=guess)
    return predict.curve("How?", (1, 2, 4), 0, 1, xlabel="x", ylabel="y", guess=guess)


@pytest.mark.parametrize(
    ("question", "good", "bad"),
    [
        (CHOICE, ["a", " B "], ["", "c", None, 1, ["a"], "ab"]),
        (NUMBER, [0, 50, 3.5], [-1, 51, None, True, "3", float("nan"), float("inf"), 10**400, [3]]),
        (
            CURVE,
            [[0, 1, 0.5], (0.1, 0.2, 0.3)],
            [None, [0, 1], [0, 1, 2], [0, 1, None], "012", [0, 1, True], [[0], 1, 1], {}],
        ),
    ],
)
def test_only_what_answers_a_question_is_read_as_a_guess(question, good, bad):
    assert None not in [question.read(value) for value in good]
    assert [question.read(value) for value in bad] == [None] * len(bad)


@pytest.mark.parametrize(
    ("kind", "typed", "truth", "said"),
    [
        ("choice", "b", "b", "You predicted b, and so it is: two. Because."),
        ("choice", "a", "b", "You predicted a, one. It is not so. Here: b, two. Because."),
        ("choice", "", "b", "You made no guess. Here: b, two. Because."),
        ("number", 30, 31, "You predicted 30 units. Here: 31 units. You were 1 away, which is close. Because."),
        ("number", 12, 31.5, "You predicted 12 units. Here: 31.5 units. You were 19.5 away. Because."),
        ("number", 12, float("nan"), "You predicted 12 units. Here it could not be measured. Because."),
        ("number", None, 31, "You made no guess. Here: 31 units. Because."),
        ("curve", [0, 0.5, 1], [0.3, 0.5, 0.7], "Your curve is, on average, 0.2 away. Because."),
        ("curve", None, [0.3, 0.5, 0.7], "You made no guess. Here: 0.3 at 1, 0.5 at 2, 0.7 at 4. Because."),
    ],
)
def test_the_guess_is_shown_beside_the_truth_also_when_there_is_none(kind, typed, truth, said, capsys):
    predict.reveal(ask(kind, typed), truth, "Because.")
    printed = capsys.readouterr().out
    assert said in printed.splitlines(), printed
    assert ("[figure]" in printed) == (kind != "choice" and typed is not None and truth == truth), printed


def test_what_is_typed_and_is_no_guess_is_said(capsys):
    ask("choice", "z"), ask("number", 80), ask("curve", [1, 2])
    printed = capsys.readouterr().out
    assert "'z' is no guess. Type one of the letters a, b between the quotes." in printed
    assert "'80' is no guess. Type a number from 0 to 50 in place of None." in printed
    assert "'[1, 2]' is no guess. Type a list of 3 numbers from 0 to 1 in place of None." in printed


def test_a_truth_that_is_no_letter_is_one_clear_error():
    with pytest.raises(ValueError, match="truth is 'z'; expected one of a, b"):
        predict.reveal(ask("choice", "a"), "z", "")


@pytest.mark.parametrize(
    ("kind", "first", "second"), [("choice", "a", "b"), ("number", 3, 4), ("curve", [0, 0, 0], [1, 1, 1])]
)
def test_a_locked_guess_is_not_moved_again_not_even_by_a_new_kernel(kind, first, second):
    guess = ask(kind, None)
    guess.lock("nonsense")
    assert not guess.locked
    guess.lock(first)
    locked = guess.value
    guess.lock(second)
    assert guess.locked and guess.value == locked == ask(kind, second).value, "the first guess did not stay"


@pytest.mark.parametrize("kernel", ["same", "new"])
def test_a_guess_made_after_the_answer_was_shown_is_kept_as_such(kernel, capsys, tmp_path):
    guess = ask("choice", "")
    predict.reveal(guess, "b", "Because.")
    if kernel == "new":
        guess = ask("choice", "")
        assert "counts as a guess made after it" in capsys.readouterr().out
    guess.lock("a")
    if kernel == "new":
        predict.reveal(guess, "b", "Because.")
    assert "You guessed, after it was shown, a, one. It is not so." in capsys.readouterr().out
    again = ask("choice", "")
    assert (again.value, again.locked, again.after) == ("a", True, True)
    assert json.loads((tmp_path / "scratch" / ".guesses").read_text()) == {"Which?": {"after": "a"}}


def test_a_wrong_guess_hears_what_is_tempting_about_it_and_a_right_one_does_not(capsys):
    for typed, said in (("a", "What is tempting about your guess: One is the first number."), ("b", "")):
        predict._keep(CHOICE, None)
        predict.reveal(ask("choice", typed), "b", "Because.", {"a": "One is the first number."})
        assert ("tempting" in (printed := capsys.readouterr().out)) == bool(said) and said in printed


def test_nothing_is_decided_while_a_training_is_unfinished(capsys):
    unfinished.mark("vae", "vae, in epoch 1 of 6")
    predict.reveal(ask("choice", "a"), "b", "Because.")
    printed = capsys.readouterr().out
    assert "Not decided. Trained only in part: vae, in epoch 1 of 6." in printed and "Because" not in printed


def test_a_damaged_or_unwritable_place_costs_only_the_memory(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / ".guesses").write_text("[1")
    assert ask("choice", "a").close() == "a"
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "scratch" / ".guesses"))  # a file: no folder can be made below
    assert ask("number", 3).close() == 3


def test_a_notebook_keeps_guess_and_truth_and_what_was_locked_shows_no_control(tmp_path):
    """Run as a front end runs it, with a click in between."""
    cells = [
        "from course_utils import predict\ng = predict.number('How many?', 0, 50, guess=None)",
        "h = predict.choose('Which?', a='one', b='<b>two</b>', guess='b')",
        "g.lock(12)",
        "predict.reveal(g, 31, 'Because.')\npredict.reveal(h, 'a', '')",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    number, choice, _, shown = notebook.cells
    kinds = {kind for asked in (number, choice) for kind in asked.outputs[0].data}
    assert kinds == {MIME, "text/html", "text/plain"}, "the control is still there"
    assert "Your guess: 12. It is locked." in number.outputs[0].data["text/plain"]
    assert "&lt;b&gt;two" in choice.outputs[0].data["text/html"]
    assert shown.outputs[0].data[MIME] == {"question": "How many?", "guess": 12, "truth": 31}
    assert 'alt="How many? Your guess: 12. Measured: 31."' in shown.outputs[0].data["text/html"]
    assert shown.outputs[1].data[MIME] == {"question": "Which?", "guess": "b", "truth": "a"}
    assert json.loads((tmp_path / "scratch" / ".guesses").read_text()) == {"How many?": 12, "Which?": "b"}


@pytest.mark.parametrize("path", sorted((CHECKOUT / "notebooks").glob("*/*.ipynb")), ids=lambda path: path.stem)
def test_every_predict_cell_can_be_read_without_running_it_and_comes_with_no_guess(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if "predict" in c.metadata.get("tags", [])]
    asked = [asked_in(cell.source) for cell in cells]
    assert None not in asked, "a predict cell whose arguments are not literals"
    assert {typed for _, typed in asked} <= {"", None}
    assert len({question.text for question, _ in asked}) == len(asked), "two questions of one unit have the same text"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "predict.choose(",
        "predict.choose(x, guess='a')",
        "predict.choose(['q'], a='b', guess='a')",
        "predict.number('q', 'a', {})",
        "predict.number('q', 2, 1)",
        "predict.curve('q', 5, 0, 1, xlabel='', ylabel='')",
        "predict.choose(**{'a': 1})",
        "predict.choose('q', " + "(" * 500 + ")" * 500 + ")",
        "a" * 100_000,
        "predict.choose(__import__('os').system('true'))",
    ],
)
def test_a_cell_that_asks_nothing_readable_is_read_as_none(source):
    assert asked_in(source) is None
