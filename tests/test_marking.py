"""Marking: schemes, groups, evidence, what is shown, oral questions. The desk: test_desk.py; the page: test_marking_page.py."""

from __future__ import annotations

import itertools
import re
import time

import alike_bank
import evidence_bank
import nbformat
import numpy as np
import pytest
from marked_class import SCHEME, TABLE, UNIT, make_class
from nbformat.v4 import new_code_cell, new_output

from autograder.marking import viva
from autograder.marking.groups import group, is_short, likeness, may_be_alike
from autograder.marking.log import State
from autograder.marking.scheme import Item, items_from, read_scheme, replace_scheme
from autograder.marking.shown import answer_html, differences
from autograder.marking.viva import orals, write_viva
from autograder.release import read_source
from autograder.sample_written import said, written_class
from course_utils.cli.handin.evidence import (
    FOUND,
    GIVEN,
    MOST_NUMBERS,
    NOWHERE,
    evidence,
    in_words,
    names_too_many,
    outputs_of,
)
from course_utils.cli.submit import named_numbers
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

ROOT = evidence_bank.ROOT
Q = "q_samples"


# Mark schemes


def test_items_of_every_form_that_the_course_uses():
    scheme = read_scheme(f"### Question\n\nWhat?\n\n{SCHEME}", 3)
    assert [item.points for item in scheme.items] == [1, 1, 1, 0, 0]
    assert scheme.items[0].text.endswith("that was measured.") and "\n" not in scheme.items[0].text
    assert scheme.items[3].text == '"the latent space is discrete" (codes are continuous; all of them)'
    text = "### BEGIN MARK SCHEME\n- [0.5] half\n- 2 points: two\n- [-1] less\n- open\n\nA note.\n### END MARK SCHEME"
    scheme = read_scheme(text, 4)
    assert [item.points for item in scheme.items] == [0.5, 2, -1, 1] and scheme.note == "A note."
    assert read_scheme("no scheme at all").items == ()
    assert read_scheme("### BEGIN MARK SCHEME\nOne point for each of two.\n### END MARK SCHEME").note.startswith("One")


def test_each_written_question_of_the_course_has_items_worth_its_points():
    for path in sorted((ROOT / "notebooks").glob("*/*.ipynb")):
        worth, scheme = {}, None
        for cell in nbformat.read(path, as_version=4).cells:
            marks = cell.metadata.get("nbgrader", {})
            if marks.get("task"):
                scheme = read_scheme(cell.source)
            elif marks.get("grade") and marks.get("solution") and cell.cell_type == "markdown":
                worth[marks["grade_id"]] = (sum(i.points for i in scheme.items if i.points > 0), marks["points"])
        for name, (items, points) in worth.items():
            assert items == points, f"{path.name}: {name}: the items give {items:g}, the question {points:g}"


def test_changed_items_go_back_into_the_same_cell_and_are_read_again():
    scheme = read_scheme(f"Why?\n\n{SCHEME}", 3)
    items = [Item(2, "A new one, " + "long " * 60), *scheme.items[1:]]
    source = replace_scheme(f"Why?\n\n{SCHEME}", scheme.with_items(items))
    assert source.startswith("Why?\n\n### BEGIN MARK SCHEME\n- [2] A new one")
    assert [i.points for i in read_scheme(source).items] == [2, 1, 1, 0, 0]
    assert max(map(len, source.splitlines())) <= 118
    assert read_scheme(replace_scheme("Why?", "- [1] x\n")).items == (Item(1, "x"),)
    for wrong, words in (
        ([{"points": "many", "text": "x"}], "no number of points"),
        ([{"points": 1, "text": ""}], "expected 1 to"),
        ([{"points": 1, "text": "### END MARK SCHEME"}], "MARK SCHEME"),
        ("all", "no list"),
    ):
        with pytest.raises(CourseError, match=words):
            items_from(wrong)


# Alike answers


def test_labelled_pairs_of_answers_are_joined_only_where_they_say_the_same():
    """The bank is not drawn at random: a fixed number of pairs, published in docs/marking.md."""
    assert len(alike_bank.SAME) + len(alike_bank.DIFFERENT) >= 60
    joined = [pair for pair in alike_bank.SAME if len(set(group(list(pair)))) == 1]
    assert len(joined) >= 0.8 * len(alike_bank.SAME), f"{len(joined)} of {len(alike_bank.SAME)}"
    assert [pair for pair in alike_bank.DIFFERENT if may_be_alike(*pair)] == []
    texts = [text for pair in alike_bank.SAME + alike_bank.DIFFERENT for text in pair]
    labels = group(texts)
    first = 2 * len(alike_bank.SAME)
    for place, pair in enumerate(alike_bank.DIFFERENT):
        assert labels[first + 2 * place] != labels[first + 2 * place + 1], pair
    page = (ROOT / "docs" / "marking.md").read_text(encoding="utf-8")
    assert f"{len(alike_bank.DIFFERENT)} pairs that differ: 0 joined" in page
    assert f"{len(alike_bank.SAME)} pairs that say the same: {len(joined)} joined" in page


def test_a_class_of_paraphrases_needs_at_most_60_decisions_and_no_group_mixes_opinions():
    for seed in range(3):
        answers = written_class(200, seed)
        long = [(opinion, text) for opinion, text in answers if not is_short(text)]
        labels = group([text for _, text in long])
        assert len(set(labels)) + 1 <= 60, seed  # the short ones are one screen
        mixed = [len({o for o, _ in of}) for of in _by(zip(long, labels, strict=True))]
        assert set(mixed) == {1}


def _by(pairs):
    found = {}
    for value, label in pairs:
        found.setdefault(label, []).append(value)
    return found.values()


def test_groups_are_complete_and_the_threshold_counts():
    texts = [text for _, text in written_class(60, 4) if not is_short(text)]
    alike = likeness(texts)
    assert np.allclose(alike, alike.T)
    for threshold in (0.4, 0.8):
        for members in _by((place, label) for place, label in enumerate(group(texts, threshold))):
            assert all(alike[a, b] >= threshold - 1e-6 for a, b in itertools.combinations(members, 2))
    assert len(set(group(texts, 0.95))) >= len(set(group(texts, 0.4)))
    assert group([]) == [] and group(["one"]) == [0] and len(group(["", "", "?"])) == 3


# Evidence


def test_the_bank_of_labelled_answers_over_the_courses_own_outputs():
    counts = evidence_bank.by_hand(), evidence_bank.written(), evidence_bank.constructed()
    for count in counts:
        assert count.precision >= 0.97 and count.recall >= 0.95, count.wrong
    right, linked, wanted = (sum(getattr(count, name) for count in counts) for name in ("right", "linked", "wanted"))
    assert wanted >= 200
    assert right / linked >= 0.98
    page = (ROOT / "docs" / "marking.md").read_text(encoding="utf-8")
    assert f"{right} of {linked} links are right" in page and f"{right} of {wanted} numbers are found" in page


def _outputs():
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "## 2.4 One knob"},
        {"cell_type": "code", "metadata": {}, "source": "", "outputs": [{"data": {"text/html": TABLE}}]},
    ]
    return outputs_of({"cells": cells})


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("A Fréchet distance of 117.2.", FOUND),
        ("A Fréchet distance of 117.", FOUND),
        ("A Fréchet distance of 117.3.", NOWHERE),
        ("The loss is 54.6 nats, a range of 54-55.", FOUND),
        ("The loss is 55.6 nats.", NOWHERE),
        ("It was 64.6 there.", GIVEN),
    ],
)
def test_a_number_is_found_within_the_rounding_of_the_answer(answer, status):
    assert evidence(answer, _outputs(), "You read 64.6 somewhere.")[0].status == status


def test_settings_counts_and_numbers_of_lists_are_no_evidence():
    text = "1. With beta = 4 and three seeds, 10 latents and 60 epochs, question 2 asks for K = 17.\n2. That is all."
    assert evidence(text, _outputs()) == []
    assert in_words([]) == ["no number of your notebook is named"]


def test_a_student_is_told_before_handing_in():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("## 2.4 One knob"),
        new_code_cell("show()", outputs=[new_output("display_data", {"text/html": TABLE})]),
        nbformat.v4.new_markdown_cell(
            "117.2 it is, not 300.5.", metadata={"nbgrader": {"grade": True, "solution": True, "grade_id": Q}}
        ),
    ]
    told = named_numbers(notebook)
    assert told[0] == f"{Q}: you name 117.2; it stands in the table of 2.4 (scaled axes, Fréchet)."
    assert told[1] == f"{Q}: you name 300.5; it stands in no output of this notebook."
    notebook.cells[2].source = "They are bad."
    assert named_numbers(notebook) == [f"{Q}: no number of your notebook is named."]


def test_an_answer_of_very_many_numbers_is_looked_through_in_no_time():
    """It was looked through from its beginning for each number, while every mark of every marker waited."""
    answer = " ".join(f"It is {place / 7:.3f} here." for place in range(20_000))
    start = time.process_time()
    named = evidence(answer, _outputs(), "Why 0.143?")
    assert len(named) == MOST_NUMBERS and named[0].text == "0.000" and named[1].status == GIVEN
    assert time.process_time() - start < 5
    assert names_too_many(answer) and not names_too_many("It is 1.5 " * MOST_NUMBERS)


# What is shown


@pytest.mark.parametrize(
    ("source", "there", "gone"),
    [
        ("<script>x()</script>Hello", "Hello", "<script"),
        ("![p](https://example.org/p.png) text", "text", "example.org"),
        ("<img src=x onerror=y()>t", "t", "onerror"),
        ('A picture. <img src="data:image/png;base64,' + 300_000 * "AAAA" + '">', "A picture.", 200 * "AAAA"),
        ("word " * 50_000, "50,000 words", "word " * 10_000),
        ("$$\\frac{1}{2}$$", "<math", "\\frac"),
        ("שלום 23", "שלום 23", "<script"),
        ("<!-- only a comment -->", "&lt;!--", "<!--"),
        ("", "nothing was written", "<script"),
    ],
)
def test_answers_of_every_kind_are_shown_and_do_nothing(source, there, gone):
    page = answer_html(source)
    assert there in page and gone not in page


def test_differences_mark_what_came_and_strike_what_has_gone():
    page = differences("The rate <b>falls</b> now", "The rate <b>rises</b> now")
    assert "<mark>" in page and "<del>" in page and "<b>" not in page


@pytest.mark.parametrize("piece", ["a ", "[a\n", "def ", "1 %", "in and "])
def test_differences_of_texts_that_say_one_thing_over_and_over_take_little_time(piece):
    started = time.process_time()
    differences((piece * 80_000)[:80_000], (piece * 80_000)[:80_000][::-1])
    assert time.process_time() - started < 20  # seconds; minutes where each word is tried at the place of each other


# Oral questions


@pytest.mark.parametrize(
    ("before", "quoted"),
    [
        ("It is ", "It is "),
        (
            "as whoever reads a table with care and patience will have noticed: (",
            "\u2026 a table with care and patience will have noticed: (",
        ),
        ("", ""),
    ],
)
def test_a_number_is_quoted_with_whole_words_before_it(before, quoted):
    assert viva._leading_to(before) == quoted


def test_oral_questions_come_from_ones_own_notebook_and_from_nothing_else(tmp_path):
    tree = make_class(tmp_path / "course", ["It is 117.2 here, and 300.5 there.", "The zebra says that mine is 54.63."])
    pages = write_viva(tree, UNIT, seed=3)
    texts = [page.read_text(encoding="utf-8") for page in pages]
    assert [page.name for page in pages] == ["student000.html", "student001.html"]
    assert "117.2" in texts[0] and "300.5" in texts[0] and "stands in no output" in texts[0]
    assert "zebra" in texts[1] and "zebra" not in texts[0] and "300.5" not in texts[1] and "student000" not in texts[1]
    assert [page.read_text(encoding="utf-8") for page in write_viva(tree, UNIT, "student000", 3)] == texts[:1]
    assert write_viva(tree, UNIT, seed=4)[0].read_text(encoding="utf-8") != texts[0]
    with pytest.raises(CourseError, match="nothing of nobody"):
        write_viva(tree, UNIT, "nobody")


@pytest.mark.parametrize("unit", ["01_autoencoders", "02_variational_autoencoders", "05_wasserstein"])
def test_a_solved_unit_gives_five_different_questions(unit):
    solved = nbformat.read(ROOT / "solutions" / unit / f"{unit}.ipynb", as_version=4)
    source = read_source(Tree(ROOT), unit)
    found = orals(solved, source, "0")
    assert len(found) == 5 and len({oral.question for oral in found}) == 5
    assert len({oral.kind for oral in found}) >= 3 and all(oral.expected for oral in found)
    assert orals(solved, source, "0") == found != orals(solved, source, "1")


def test_broken_laws_wrong_guesses_and_code_are_asked_about():
    cell = new_code_cell(
        "def kl(mu, logvar):\n    return 0.5 * (mu ** 2 + logvar.exp() - logvar - 1).mean()",
        metadata={"nbgrader": {"solution": True, "grade_id": "kl"}},
    )
    laws = [{"id": "sums", "name": "adds up", "passed": False, "cause": "it averages", "cause_id": "mean"}]
    test = new_code_cell(
        "check.kl(kl, points=1)",
        metadata={"nbgrader": {"grade": True, "grade_id": "test_kl"}, "course": {"laws": laws}},
    )
    asked = 'from course_utils import predict\nguess = predict.choose("Which?", a="this", b="that", guess="")'
    kept = {"question": "Which?", "guess": "a", "truth": "b"}
    seen = new_code_cell(
        asked,
        metadata={"tags": ["predict"]},
        outputs=[
            new_output(
                "display_data",
                {
                    "application/vnd.course.guess+json": kept,
                    "text/html": "<div><strong>Here: b.</strong> Because.</div>",
                },
            )
        ],
    )
    notebook = nbformat.v4.new_notebook(cells=[cell, test, seen])
    found = {oral.kind: oral for oral in orals(notebook, notebook, "0")}
    assert (
        found["a law that is broken"].expected == "it averages" and "adds up" in found["a law that is broken"].question
    )
    assert "You guessed a" in found["a guess"].question and found["a guess"].expected.endswith("Because.")
    assert "0.5" in found["a line of code"].question


def test_a_table_is_asked_about_where_its_columns_can_be_told_apart_and_code_is_shown_without_docstrings():
    rows = "<tr><td>0.01</td><td>2</td><td>1</td><td>0.5</td></tr><tr><td>1</td><td>3</td><td>4</td><td>0.7</td></tr>"
    head = "<thead><tr><th>beta</th><th>(exact)</th><th>(exact)</th><th>sigma</th></tr></thead>"
    table = new_output("display_data", {"text/html": f"<table>{head}<tbody>{rows}</tbody></table>"})
    code = 'def kl(mu):\n    """Words."""\n    ### BEGIN SOLUTION\n    return mu.pow(2).mean()\n    ### END SOLUTION'
    cells = [
        new_code_cell("show()", outputs=[table]),
        new_code_cell(code, metadata={"nbgrader": {"solution": True, "grade_id": "kl"}}),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    asked = {oral.kind: oral for oral in orals(notebook, notebook, "0")}
    question = asked["numbers of the notebook"].question
    assert "sigma is 0.5 for \u201cbeta 0.01\u201d and 0.7 for \u201cbeta 1\u201d" in question
    shown = asked["a line of code"].shown
    assert "return mu.pow(2).mean()" in shown and "Words" not in shown and "###" not in shown


def test_paraphrases_keep_the_numbers_of_their_opinion():
    from random import Random

    for text in (said("{It|This} falls from 19.2 to 7.9{.| now.}", Random(seed)) for seed in range(20)):
        assert re.findall(r"\d+\.\d", text) == ["19.2", "7.9"]
    assert State.of({"score": 1, "items": [], "comment": " x "}).composed == "x"
