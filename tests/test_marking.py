"""Marking: schemes, groups, evidence, marks and their log, agreement, oral questions. The page: test_marking_page.py."""

from __future__ import annotations

import html
import itertools
import json
import re
import time

import alike_bank
import evidence_bank
import nbformat
import numpy as np
import pytest
from marked_class import SCHEME, TABLE, UNIT, enter, make_class, write_rows
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from autograder.feedback import feedback_unit
from autograder.grades_file import read_grades
from autograder.marking import opening, viva
from autograder.marking.agreement import agreement, drift
from autograder.marking.answers import is_marked_twice
from autograder.marking.desk import Changed, Desk, Marker
from autograder.marking.groups import group, is_short, likeness, may_be_alike
from autograder.marking.log import MarkLog, State
from autograder.marking.scheme import Item, items_from, read_scheme, replace_scheme
from autograder.marking.shown import answer_html, differences
from autograder.marking.viva import orals, write_viva
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import read_source, register_unit
from autograder.safe_html import as_text, as_written
from autograder.sample_written import said, written_class
from autograder.sanitise import sanitise
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
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

ROOT = evidence_bank.ROOT
ADA, BOB = Marker("ada"), Marker("bob")
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


# Marks


TEXTS = (
    "The length changes from 19.2 to 7.9, and 117.2 is what I predict.",
    "The length changes from 19.2 to 7.9 and 117.2 is what I predict",
    "The length does not change, and 117.2 is what I predict.",
    "overfitting",
    "",
    "<script>alert(1)</script>It is 54.63.",
)


@pytest.fixture
def tree(tmp_path):
    tree = make_class(tmp_path / "course", [*TEXTS])
    write_rows(tree)
    return tree


@pytest.fixture
def desk(tree):
    desk = Desk(tree)
    yield desk
    desk.close()


def shown(desk, marker=ADA, **options):
    return desk.question(UNIT, Q, marker, names=True, **options)


def by_name(question):
    return {answer["name"]: answer for answer in question["answers"]}


def save(answer, score=None, items=(), comment="", **more):
    state = {"score": score, "items": list(items), "comment": comment}
    return {"token": answer["token"], "version": answer["version"], "digest": answer["digest"], "state": state, **more}


def given(question, *numbers, half=False):
    return [{**{k: question["scheme"]["items"][n][k] for k in ("text", "points")}, "half": half} for n in numbers]


def gradebook_row(tree, student):
    with NbGraderCourse(tree).gradebook() as gradebook:
        grade = gradebook.find_grade(Q, UNIT, UNIT, student)
        comment = gradebook.find_comment(Q, UNIT, UNIT, student)
        return grade.manual_score, grade.needs_manual_grade, comment.manual_comment


def test_the_question_comes_with_items_groups_and_mixed_hidden_names(desk):
    question = desk.question(UNIT, Q, ADA)
    assert len(question["answers"]) == len(TEXTS) and not any("name" in answer for answer in question["answers"])
    assert "student0" not in json.dumps(question)
    named = by_name(shown(desk))
    assert named["student000"]["group"] == named["student001"]["group"] != named["student002"]["group"]
    assert named["student003"]["short"] and named["student004"]["blank"] and named["student004"]["settled"]
    assert "<script" not in named["student005"]["html"] and "54.63" in named["student005"]["html"]
    order = [answer["name"] for answer in shown(desk)["answers"]]
    assert order != sorted(order)


def test_a_mark_is_in_the_gradebook_the_log_the_table_and_the_students_words(desk, tree):
    question = shown(desk)
    answer = by_name(question)["student000"]
    items = [*given(question, 0), *given(question, 1, half=True), *given(question, 3)]
    done = desk.mark(UNIT, Q, ADA, [save(answer, 1.5, items, "Name the table.")])
    assert not done["conflicts"] and done["saved"][0]["state"]["score"] == 1.5
    score, waits, comment = gradebook_row(tree, "student000")
    assert (score, waits) == (1.5, False)
    assert comment.startswith("- 1 point: What changes") and "- 0.5 points (half): Prediction" in comment
    assert "- no point: " in comment and comment.endswith("\n\nName the table.") and "Remedy" not in comment
    desk.flush()
    row = next(row for row in read_grades(tree.root / "grades.csv") if row.student == "student000")
    assert (row.score, row.status, row.reason) == (1.5, "graded", "marked by hand")
    page = feedback_unit(tree, UNIT, student="student000")[0].read_text(encoding="utf-8")
    assert "Name the table." in page and "Prediction: the row" in page and "Remedy" not in page
    again = by_name(shown(desk))["student000"]
    assert again["state"]["comment"] == "Name the table." and len(again["state"]["items"]) == 3 and again["by"] == "ada"
    assert shown(desk)["bank"] == [{"text": "Name the table.", "used": 1, "mean": 1.5}]


def test_undo_leaves_the_gradebook_as_it_was(desk, tree):
    before = gradebook_row(tree, "student000")
    answer = by_name(shown(desk))["student000"]
    now = desk.mark(UNIT, Q, ADA, [save(answer, 2, comment="x")])["saved"][0]
    desk.mark(UNIT, Q, ADA, [save({**answer, **now}, None)], "undo")
    assert gradebook_row(tree, "student000") == before == (None, True, None)


def test_two_markers_on_one_answer_the_second_is_told_and_nothing_is_lost(desk, tree):
    other = Desk(tree)
    mine, theirs = (by_name(shown(each))["student000"] for each in (desk, other))
    other.mark(UNIT, Q, BOB, [save(theirs, 3, comment="bob's")])
    done = desk.mark(UNIT, Q, ADA, [save(mine, 1, comment="ada's")])
    assert done["saved"] == [] and done["conflicts"][0]["state"]["score"] == 3 and done["conflicts"][0]["by"] == "bob"
    assert gradebook_row(tree, "student000") == (3, False, "bob's")
    kept = desk.mark(UNIT, Q, ADA, [save({**mine, **done["conflicts"][0]}, 1, comment="ada's")])
    assert kept["saved"] and gradebook_row(tree, "student000")[0] == 1
    other.close()


def test_a_mark_that_cannot_be_logged_is_not_in_the_gradebook(desk, tree, monkeypatch):
    answer = by_name(shown(desk))["student000"]
    monkeypatch.setattr(MarkLog, "_add", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("the disk is full")))
    with pytest.raises(RuntimeError):
        desk.mark(UNIT, Q, ADA, [save(answer, 2)])
    assert gradebook_row(tree, "student000") == (None, True, None)


def test_what_was_marked_in_formgrader_appears_here(desk, tree):
    with NbGraderCourse(tree).gradebook() as gradebook:
        grade = gradebook.find_grade(Q, UNIT, UNIT, "student002")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.find_comment(Q, UNIT, UNIT, "student002").manual_comment = "From formgrader."
        gradebook.db.commit()
    answer = by_name(shown(desk))["student002"]
    assert answer["settled"] and answer["state"]["score"] == 2.5 and answer["state"]["comment"] == "From formgrader."
    desk.flush()
    assert next(r for r in read_grades(tree.root / "grades.csv") if r.student == "student002").score == 2.5


def test_an_answer_that_changed_after_it_was_marked_comes_back_with_the_change(desk, tree):
    answer = by_name(shown(desk))["student000"]
    desk.mark(UNIT, Q, ADA, [save(answer, 3)])
    path = tree.root / "autograded" / "student000" / UNIT / f"{UNIT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == Q)
    cell.metadata["course"] = {"marked": cell.source}
    cell.source = cell.source.replace("7.9", "8.0")
    nbformat.write(notebook, path)
    with NbGraderCourse(tree).gradebook() as gradebook:
        gradebook.find_grade(Q, UNIT, UNIT, "student000").needs_manual_grade = True
        gradebook.db.commit()
    stale = desk.mark(UNIT, Q, ADA, [save(answer, 1)])
    assert stale["saved"] == [], "the text is another one than the marker saw"
    now = by_name(shown(desk))["student000"]
    assert "<mark>8.0,</mark>" in now["changed"] and not now["settled"] and now["state"]["score"] == 3
    desk.mark(UNIT, Q, ADA, [save(now, 2)])
    assert gradebook_row(tree, "student000")[:2] == (2, False)


def test_one_decision_for_a_group_and_an_answer_taken_out_of_it(desk):
    named = by_name(shown(desk))
    desk.split(UNIT, Q, ADA, named["student001"]["token"])
    named = by_name(shown(desk))
    assert named["student000"]["group"] != named["student001"]["group"]
    both = [save(named[name], 1) for name in ("student000", "student001")]
    assert len(desk.mark(UNIT, Q, ADA, both)["saved"]) == 2


def test_items_that_change_recompute_the_marks_made_with_them_after_asking(desk, tree):
    question = shown(desk)
    named = by_name(question)
    desk.mark(UNIT, Q, ADA, [save(named["student000"], 1, given(question, 0), "Good.")])
    desk.mark(UNIT, Q, ADA, [save(named["student002"], 2, given(question, 1))])  # a score that was typed
    items = [{"points": i["points"], "text": i["text"], "was": n} for n, i in enumerate(question["scheme"]["items"])]
    items[0] |= {"points": 0.5, "text": "What changes: nothing but lengths."}
    items[1]["points"] = 2
    version = question["scheme"]["version"]
    asked = desk.change_scheme(UNIT, Q, ADA, version, items)
    changes = sorted((change["from"], change["to"]) for change in asked["changes"])
    assert (asked["affected"], changes, asked["done"]) == (2, [(1, 0.5), (2, 2)], False)
    assert gradebook_row(tree, "student000")[0] == 1
    assert desk.change_scheme(UNIT, Q, ADA, version, items, True)["done"]
    score, _, comment = gradebook_row(tree, "student000")
    assert score == 0.5 and comment == "- 0.5 points: What changes: nothing but lengths.\n\nGood."
    assert gradebook_row(tree, "student002")[0] == 2
    with pytest.raises(Changed):
        desk.change_scheme(UNIT, Q, ADA, version, items, True)
    path = tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb"
    path.write_text(
        path.read_text(encoding="utf-8").replace("nothing but lengths", "only the lengths"), encoding="utf-8"
    )
    assert shown(desk)["stale"] == 1
    assert desk.recompute(UNIT, Q, ADA)["affected"] == 1
    desk.recompute(UNIT, Q, ADA, really=True)
    assert "only the lengths" in gradebook_row(tree, "student000")[2] and shown(desk)["stale"] == 0


def test_a_question_that_was_renamed_keeps_its_marks(desk, tree):
    named = by_name(shown(desk))
    desk.mark(UNIT, Q, ADA, [save(named["student000"], 3, comment="Well said.")])
    path = tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace(f'"{Q}"', '"q_sampling"'), encoding="utf-8")
    with NbGraderCourse(tree).gradebook() as gradebook:
        gradebook.remove_assignment(UNIT)
    register_unit(Tree(tree.root), UNIT)
    with NbGraderCourse(tree).gradebook() as gradebook:
        enter(tree, gradebook, "student000", TEXTS[0])
        enter(tree, gradebook, "student001", "Another text than before.")
        gradebook.db.commit()
    with pytest.raises(WrongUsage, match="renamed"):
        shown(desk)
    assert desk.lost(UNIT) == [{"question": Q, "notebook": UNIT, "marks": 1}]
    assert desk.move(UNIT, Q, "q_sampling", BOB) == {"moved": 1, "left": 0}
    answer = by_name(desk.question(UNIT, "q_sampling", ADA, names=True))["student000"]
    assert answer["state"]["score"] == 3 and answer["state"]["comment"] == "Well said." and answer["by"] == "ada"


def test_bad_requests_are_told_in_words(desk):
    answer = by_name(shown(desk))["student000"]
    with pytest.raises(WrongUsage, match="no written question"):
        desk.question(UNIT, "q_other", ADA)
    with pytest.raises(WrongUsage, match="load the page again"):
        desk.mark(UNIT, Q, ADA, [save({**answer, "token": "x"}, 1)])
    with pytest.raises(WrongUsage, match="expected 0 to 3"):
        desk.mark(UNIT, Q, ADA, [save(answer, 1000)])
    with pytest.raises(WrongUsage, match="no kind"):
        desk.mark(UNIT, Q, ADA, [], "steal")
    with pytest.raises(WrongUsage, match="a mark is"):
        desk.mark(UNIT, Q, ADA, [{**save(answer), "state": {"score": "three"}}])
    with pytest.raises(WrongUsage, match="no such output"):
        desk.output(UNIT, Q, answer["token"], 99, 0)


def test_evidence_checks_and_the_output_behind_a_number(desk):
    answer = by_name(shown(desk))["student000"]
    found = desk.evidence(UNIT, Q, answer["token"])
    by_text = {each["text"]: each for each in found["named"]}
    assert by_text["117.2"]["places"][0]["words"] == "the table of 1.8 (scaled axes, Fréchet)"
    assert by_text["19.2"]["status"] == NOWHERE and found["checks"] == [] and found["guesses"] == []
    place = by_text["117.2"]["places"][0]
    assert "117.2" in desk.output(UNIT, Q, answer["token"], place["cell"], place["output"])


def test_an_answer_of_very_many_numbers_is_looked_through_in_no_time():
    """It was looked through from its beginning for each number, while every mark of every marker waited."""
    answer = " ".join(f"It is {place / 7:.3f} here." for place in range(20_000))
    start = time.process_time()
    named = evidence(answer, _outputs(), "Why 0.143?")
    assert len(named) == MOST_NUMBERS and named[0].text == "0.000" and named[1].status == GIVEN
    assert time.process_time() - start < 5
    assert names_too_many(answer) and not names_too_many("It is 1.5 " * MOST_NUMBERS)


def test_an_answer_that_grading_keeps_as_text_is_read_as_it_was_written(tmp_path):
    """With 120,000 words, and with what cannot be rendered: neither its marks nor its signs are escaped twice."""
    long, odd = 'It\'s "3 < 5" & 117.2.\n' * 1500, "It's ![x](attachment:gone.png) & <b"
    stored = new_markdown_cell(long)
    sanitise(stored)
    assert stored.source.startswith("<pre") and as_written(stored.source) == long and as_written(long) is None
    tree = make_class(tmp_path / "course", [stored.source, as_text(odd), stored.source + " "])
    desk = Desk(tree)
    answers = by_name(shown(desk))
    assert answers["student000"]["words"] == 9000 and "&amp;amp;" not in answers["student000"]["html"]
    assert "<pre" in answers["student001"]["html"] and "attachment:gone.png" in answers["student001"]["html"]
    assert "&amp;amp;" not in answers["student001"]["html"]
    token = answers["student000"]["token"]
    whole = re.sub("<[^>]*>", "", desk.answer(UNIT, Q, token))
    assert html.unescape(whole) == long
    assert desk.evidence(UNIT, Q, token)["most"] == MOST_NUMBERS
    desk.close()


def test_long_answers_that_begin_alike_are_no_group(tmp_path):
    """Of a long answer only its beginning was compared."""
    begins = "The codes of all images lie near the origin. " * 500
    tree = make_class(tmp_path / "course", [begins + "They do.", begins + "They do not: 5 of 9 lie far out."])
    desk = Desk(tree)
    assert len({answer["group"] for answer in shown(desk)["answers"]}) == 2
    desk.close()


def test_the_command_says_what_waits_and_opens_the_page(tree, desk, tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(opening, "serve", lambda of, options: opened.append((of, options)) or 0)
    assert opening.open_marking(tree, UNIT, Q, "ada", 3, browser=False, port=8890) == 0
    assert "6 answers, 5 to mark" in capsys.readouterr().out
    of, options = opened[0]
    assert of == tree and f"--LabApp.default_url=/course-mark?unit={UNIT}&question={Q}&marker=ada&of=3" in options
    for wrong, words in (
        ({"question": "q_x"}, "no written question"),
        ({"of": 0}, "--of is how many"),
        ({"marker": " "}, "--marker is your name"),
        ({"unit": "02_other"}, "Run `course grade 02`"),
    ):
        asked = {"unit": UNIT, "question": None, "marker": None, "of": 1} | wrong
        with pytest.raises(CourseError, match=words):
            opening.open_marking(tree, **asked)
    empty = tmp_path / "empty"
    (empty / "notebooks").mkdir(parents=True)
    (empty / "nbgrader_config.py").write_bytes((tree.root / "nbgrader_config.py").read_bytes())
    with pytest.raises(CourseError, match="no written answers"):
        opening.open_marking(Tree(empty), None, None, None, 1)
    assert not (empty / "gradebook.db").exists()
    desk.close()
    tree.root.rename(empty / "demo")
    assert opening.open_marking(Tree(empty), None, None, None, 1) == 0
    assert opened[-1][0].root.name == "demo" and "course demo" in capsys.readouterr().out


def test_shares_cover_the_class_and_a_sample_is_marked_twice_blind(tmp_path):
    texts = [f"Answer number {number} is about something else, as {number} says." for number in range(60)]
    desk = Desk(make_class(tmp_path / "course", texts))
    pages = [shown(desk, Marker(name, 2)) for name in ("ada", "bob")]
    own = [{a["name"] for a in page["answers"] if a["own"]} for page in pages]
    assert own[0] | own[1] == {a["name"] for a in pages[0]["answers"]} and not own[0] & own[1]
    assert min(map(len, own)) >= 10
    with pytest.raises(WrongUsage, match="all 2 shares"):
        shown(desk, Marker("eve", 2))
    first = {a["token"]: a for a in pages[0]["answers"] if a["own"]}
    desk.mark(UNIT, Q, Marker("ada", 2), [save(answer, 2) for answer in first.values()])
    second = [a for a in shown(desk, Marker("bob", 2))["answers"] if a["second"]]
    assert second and {a["token"] for a in second} == {token for token in first if is_marked_twice(token)}
    assert all(a["state"]["score"] is None and not a["by"] and not a["settled"] for a in second)
    for answer in second:
        assert desk.mark(UNIT, Q, Marker("bob", 2), [save(answer, 3)], "second")["saved"]
    assert all(gradebook_row(desk.tree, a["name"])[0] == 2 for a in second), "the first mark counts"
    found = desk.statistics(UNIT, Q)
    assert found["agreement"]["pairs"] == len(second) == len(found["pairs"])
    assert found["scores"] == [{"score": 2, "answers": len(first)}]
    desk.close()


def test_agreement_and_drift_say_what_can_be_told():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(3)
    one = rng.integers(0, 7, 80) / 2
    two = np.clip(one + rng.choice([0, 0, 0, 0.5, -0.5], 80), 0, 3)
    found = agreement(one.tolist(), two.tolist())
    expected = cohen_kappa_score((2 * one).astype(int), (2 * two).astype(int), weights="quadratic")
    assert found.kappa == pytest.approx(expected) and found.low < expected < found.high
    assert agreement([1] * 5, [1] * 5).kappa is None and "too few" in agreement([1] * 5, [1] * 5).words
    assert agreement([2] * 20, [2] * 20).kappa is None and "not defined" in agreement([2] * 20, [2] * 20).words
    assert abs(agreement(one.tolist(), rng.permutation(one).tolist()).kappa) < 0.35
    assert "no drift" in drift([1.0, 2.0] * 30)["words"]
    assert "the marks drift" in drift([1.0, 1.5] * 20 + [2.5, 3.0] * 20)["words"]
    assert "too few" in drift([1.0] * 5)["words"] and len(drift([1.0] * 45)["blocks"]) == 3


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
