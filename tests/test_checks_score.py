"""Score: points that nbgrader cannot misread, and reports that are safe and stable."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from course_utils.checks.engine.demand import well_behaved
from course_utils.checks.engine.law import Check
from course_utils.checks.engine.render import as_html
from course_utils.checks.engine.score import Cause, LawResult, Score, validate_points
from course_utils.checks.engine.verdict import Broken, counted


def score(points, kept, total, **kwargs):
    laws = [LawResult(f"law {i}", 1, i < kept, "" if i < kept else "1", "" if i < kept else "2") for i in range(total)]
    return Score("exercise", points, tuple(laws), **kwargs)


def nbgraders_reading(shown, max_points):
    """What nbgrader 0.9.6 makes of the text of a result."""
    from nbgrader.utils import get_partial_grade

    return get_partial_grade({"data": {"text/plain": shown}}, max_points)


@pytest.mark.parametrize(
    "points", [0, 0.005, 0.01, 0.5, 1, 1 / 3, 2.5, 3, 3.0, 4, 10, 99.99, 1e6, 1e22, np.float64(3), np.int64(4)]
)
@pytest.mark.parametrize("total", [1, 3, 7, 30])
def test_text_is_a_number_that_nbgrader_reads_as_the_points_earned(points, total):
    for kept in range(total + 1):
        result = score(points, kept, total)
        assert re.fullmatch(r"\d+(\.\d+)?", repr(result)), f"repr {result!r} is not a bare number"
        read = nbgraders_reading(repr(result), float(points))
        assert read == result.earned, f"nbgrader reads {read}, earned {result.earned}"
        if kept == total:
            assert result.earned == points
        else:
            assert 0 <= result.earned <= max(0.0, points - 0.01) + 1e-12
            assert result.earned < points or points == 0
            assert round(result.earned, 2) == result.earned


def test_whole_points_are_shown_without_decimals():
    assert [repr(score(p, 1, 1)) for p in (3, 3.0, 2.25, 10, 100)] == ["3", "3", "2.25", "10", "100"]


def test_more_laws_kept_never_means_fewer_points():
    earned = [score(3, kept, 11).earned for kept in range(12)]
    assert earned == sorted(earned)


@pytest.mark.parametrize(
    "points",
    [-1, -0.0001, math.nan, math.inf, -math.inf, "3", None, True, 1j, [3], 10**400],
    ids=lambda points: repr(points)[:12],
)
def test_unusable_points_are_refused_with_what_was_given(points):
    with pytest.raises(ValueError, match="points"):
        validate_points(points)


def test_score_without_laws_earns_nothing_above_zero():
    assert Score("exercise", 3, ()).earned == 0


def test_weights_share_the_points():
    laws = (LawResult("a", 3, True), LawResult("b", 1, False, "x", "y"))
    assert Score("exercise", 4, laws).earned == 3


def test_result_cannot_be_changed_afterwards():
    result = score(3, 1, 2)
    with pytest.raises(AttributeError):
        result.earned = 3
    with pytest.raises(AttributeError):
        result.extra = 3


def test_html_escapes_everything_that_comes_from_the_student():
    evil = "<script>alert(1)</script>"
    laws = (LawResult("law", 1, False, "1", evil, Cause("id", evil, evil)),)
    html = as_html(Score("exercise", 3, laws, printed=evil))
    assert "<script" not in html and html.count("&lt;script&gt;") == 4


def test_html_says_in_words_and_signs_what_holds_and_text_keeps_the_colour_of_the_theme():
    html = as_html(score(3, 1, 2))
    assert "✓ 1 law holds" in html and "✗ broken: " in html and "✗ exercise: " in html
    assert not re.search(r"[;\"]color:(?!inherit)", html)


def test_the_box_names_first_the_cause_of_most_and_the_laws_follow_it():
    small, large = Cause("small", "A sign is wrong."), Cause("large", "The half is missing.", "the card")
    laws = (
        LawResult("first", 1, False, "1", "2", small),
        LawResult("second", 1, False, "3", "4"),
        LawResult("third", 2, False, "5", "6", large),
        LawResult("fourth", 1, True),
    )
    html = as_html(Score("exercise", 3, laws))
    box, table = re.sub(r"</?button[^>]*>", "", html).split("<table", 1)
    assert "Likely cause.</strong> The half is missing. Look at the card." in box
    assert "And.</strong> A sign is wrong." in box and box.index("half") < box.index("sign")
    assert re.findall(r"first|second|third|fourth", table) == ["third", "first", "second", "fourth"]
    assert table.index("<details") < table.index("fourth") and html.count("The half is missing") == 1


def test_a_remark_stands_in_both_reports_and_is_no_part_of_the_result():
    plain = score(3, 1, 2)
    remarked = plain.remarked("This is an older version.")
    assert "This is an older version." in str(remarked) and "This is an older version." in as_html(remarked)
    assert (remarked.to_dict(), remarked.earned) == (plain.to_dict(), plain.earned)


def test_html_of_a_complete_score_shows_no_number_but_the_points():
    assert as_html(score(3, 4, 4)) == as_html(score(3, 4, 4))
    text = re.sub(r"<[^>]*>", " ", as_html(Score("exercise", 3, (LawResult("some law", 1, True, "77", "88"),))))
    assert "77" not in text and "88" not in text and "expected" not in text


def test_report_in_plain_text_names_every_law_and_the_cause():
    laws = (
        LawResult("first law", 1, True),
        LawResult("second law", 1, False, "0.5", "1", Cause("id", "The half is missing.", "the card")),
    )
    text = str(Score("exercise", 3, laws))
    for part in (
        "first law",
        "second law",
        "expected: 0.5",
        "came:     1",
        "The half is missing. Look at the card.",
        "1.5 of 3",
    ):
        assert part in text


def test_dictionary_holds_what_the_class_report_needs():
    laws = (LawResult("law", 2, False, "0.5", "1", Cause("no_half", "The half is missing.")),)
    assert Score("exercise", 3, laws).to_dict() == {
        "exercise": "exercise",
        "points": 3,
        "earned": 0.0,
        "note": "",
        "printed": "",
        "laws": [
            {
                "id": "",
                "seed": None,
                "name": "law",
                "weight": 2,
                "passed": False,
                "expected": "0.5",
                "got": "1",
                "cause": "The half is missing.",
                "cause_id": "no_half",
            }
        ],
    }


def test_all_laws_run_after_the_first_is_broken():
    check, ran = Check("exercise", "exercise()"), []
    for number in range(3):

        def law(candidate, draw, number=number):
            ran.append(number)
            raise Broken("a", "b")

        law.__name__ = f"law_{number}"
        check.law(f"law {number}")(law)

    assert check.judge(lambda: None, 3).earned == 0
    assert sorted(ran) == [0, 1, 2]


def test_the_seed_decides_the_order_of_the_laws_and_manners_come_last():
    check, ran = Check("exercise", "exercise()"), []
    for number in range(6):

        def law(candidate, draw, number=number):
            ran.append(number)

        law.__name__ = f"law_{number}"
        check.law(f"law {number}", manners=number == 2)(law)

    orders = []
    for seed in (1, 1, 2, 3):
        assert [law.id for law in check.judge(lambda: None, 3, seed=seed).laws] == [f"law_{n}" for n in range(6)]
        orders.append(tuple(ran))
        ran.clear()
    assert orders[0] == orders[1] and len(set(orders)) == 3 and {order[-1] for order in orders} == {2}


def test_two_laws_about_manners_do_not_take_each_other_s_calls_for_reseeding():
    check = Check("exercise", "exercise()")
    check.law("returns")(lambda candidate, draw: None)
    for number in range(2):

        def law(candidate, draw):
            candidate()
            well_behaved(candidate)

        law.__name__ = f"law_{number}"
        check.law(f"law {number}", manners=True)(law)
    for seed in range(4):
        assert check.judge(lambda: 1.0, 3, seed=seed).complete


def test_a_law_about_manners_earns_nothing_on_its_own():
    check = Check("exercise", "exercise()")

    @check.law("result")
    def _result(candidate, draw):
        raise Broken("a", "b")

    @check.law("manners", manners=True)
    def _manners(candidate, draw):
        pass

    assert check.judge(lambda: None, 3).earned == 0


def test_weight_of_a_law_is_a_positive_integer():
    for weight in (0, -1, 1.5):
        with pytest.raises(ValueError, match="weight"):
            Check("exercise", "exercise()").law("law", weight=weight)


@pytest.mark.parametrize(
    "gradient, values, earned", [(True, True, 4), (False, True, 2), (True, False, 1), (False, False, 0)]
)
def test_without_what_an_exercise_is_for_the_rest_earns_at_most_half(gradient, values, earned):
    laws = (LawResult("gradient", 1, gradient, essential=True), LawResult("values", 3, values))
    result = Score("exercise", 4, laws)
    assert (result.earned, result.capped) == (earned, not gradient and values)
    assert ("at most half" in str(result)) == ("at most half" in as_html(result)) == (not gradient)


def test_the_place_that_a_cause_names_is_a_button_and_reads_the_same_without_it():
    def place(where):
        box = as_html(Score("double", 3, (LawResult("law", 1, False, "1", "2", Cause("id", "No half.", where)),)))
        return re.findall(r'data-exercise="(\w+)" data-hint="(\w*)"', box), re.sub(r"<[^>]*>", "", box)

    for where, target in {
        "the maths hint under the card of triple: three": [("triple", "yes")],
        "'Shapes' on the exercise card": [("double", "")],
        "the line that makes eps": [],
    }.items():
        found, text = place(where)
        assert found == target and f"No half. Look at {where.replace(chr(39), '&#x27;')}." in text


def test_counted_things_agree_with_their_number():
    assert (counted(1, "code"), counted(0, "code"), counted(7, "dimension")) == ("1 code", "0 codes", "7 dimensions")
