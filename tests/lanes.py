"""Which tests are slow, in which way, and in what order the workers take them.

`MARKS` is the one table: a test file, or one test of it, with its mark and the processor seconds that it takes. What is
not listed is quick and runs in every lane. `course test --quick` leaves out whatever bears a mark. pyproject.toml
says what the marks mean; conftest.py gives them.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from autograder.run_tests import THOROUGH


class Slow(NamedTuple):
    """The mark of a file or test, if any, and its processor seconds, which only have to be right in order of size."""

    mark: str
    seconds: float


MARKS = {
    "tests/test_against_nbgrader.py": Slow("grading", 60),
    "tests/test_border.py": Slow("slow", 14),
    "tests/test_browser.py": Slow("browser", 90),
    "tests/test_checks_bank.py": Slow("", 10),  # for each exercise; the file itself marks all but the first of each
    "tests/test_cli.py::test_a_full_disk_is_one_line_and_loses_nothing": Slow("grading", 4),
    "tests/test_checks_bad_input.py::test_html_of_a_right_answer_is_the_same_every_time": Slow("slow", 14),
    "tests/test_cluster.py": Slow("grading", 18),
    "tests/test_cockpit.py": Slow("browser", 4),
    "tests/test_contracts.py": Slow("slow", 17),
    "tests/test_database.py": Slow("grading", 19),
    "tests/test_demo.py": Slow("grading", 14),
    "tests/test_elsewhere.py::test_a_unit_runs_in_a_foreign_kernel": Slow("slow", 1),
    "tests/test_elsewhere.py::test_notebooks_import_nothing_that_a_foreign_kernel_lacks": Slow("slow", 4),
    "tests/test_ending.py": Slow("grading", 3),
    "tests/test_environment.py::test_both_lists_can_be_installed_on_every_platform_with_every_python": Slow("slow", 15),
    "tests/test_exchange.py": Slow("slow", 6),
    "tests/test_exports.py": Slow("slow", 30),
    "tests/test_from_colab.py": Slow("slow", 6),
    "tests/test_grading.py": Slow("grading", 36),
    "tests/test_guess_control.py": Slow("browser", 2),
    "tests/test_honest_class.py": Slow("grading", 35),
    "tests/test_handin.py::test_every_key_may_be_missing_or_of_a_wrong_type_and_both_decide_alike": Slow("grading", 2),
    "tests/test_download.py::test_without_a_torchvision_that_fits_torch_everything_is_read_and_downloaded": Slow(
        "slow", 5
    ),
    "tests/test_explore.py::test_an_executed_notebook_keeps_the_widget_beside_a_still_picture_with_its_text": Slow(
        "slow", 4
    ),
    "tests/test_habits.py::test_types_are_clean": Slow("slow", 21),
    "tests/test_hostile.py": Slow("grading", 100),
    "tests/test_hub.py": Slow("grading", 60),
    "tests/test_install.py::test_install_start_move_copy_and_mend": Slow("slow", 17),
    "tests/test_install.py::test_two_kits_share_packages_and_each_uses_its_own_course_utils": Slow("slow", 5),
    "tests/test_install.py::test_without_a_network_it_says_so_in_one_line_and_goes_on_later": Slow("slow", 16),
    "tests/test_install_stopped.py": Slow("slow", 19),
    "tests/test_interrupted.py": Slow("grading", 30),
    "tests/test_isolation.py": Slow("grading", 40),
    "tests/test_kit.py": Slow("slow", 6),
    "tests/test_lab_start.py": Slow("slow", 9),
    "tests/test_desk.py": Slow("slow", 9),
    "tests/test_marking.py": Slow("slow", 9),
    "tests/test_marking_page.py": Slow("browser", 45),
    "tests/test_configuration.py": Slow("grading", 12),
    "tests/test_mid_term.py": Slow("grading", 15),
    "tests/test_own_course.py::test_the_page_is_true_command_by_command_and_a_class_is_taught_by_it": Slow(
        "browser", 40
    ),
    "tests/test_own_course.py": Slow("grading", 8),
    "tests/test_taught_on_own_pictures.py": Slow("slow", 40),
    "tests/test_terms_and_machines.py": Slow("slow", 5),
    "tests/test_live.py": Slow("slow", 12),
    "tests/test_scoreboard.py": Slow("slow", 17),
    "tests/test_new_exercise.py::test_the_skeletons_are_checked_as_they_stand": Slow("slow", 5),
    "tests/test_counts_anywhere.py": Slow("grading", 30),
    "tests/test_nothing_is_lost.py": Slow("grading", 45),
    "tests/test_lent.py": Slow("grading", 20),
    "tests/test_liars.py": Slow("grading", 12),
    "tests/test_pages.py": Slow("browser", 40),
    "tests/test_pages_cannot_act.py": Slow("browser", 38),
    "tests/test_platforms.py::test_canvas_takes_the_table_with_its_numbers": Slow("grading", 2),
    "tests/test_platforms.py::test_from_the_export_to_the_worksheet_and_the_packed_feedback": Slow("grading", 9),
    "tests/test_platforms.py::test_moodle_takes_the_worksheet_with_marks_and_penalties": Slow("grading", 3),
    "tests/test_predict.py::test_a_notebook_keeps_guess_and_truth_and_what_was_locked_shows_no_control": Slow(
        "slow", 4
    ),
    "tests/test_provisioner.py": Slow("grading", 20),
    "tests/test_publish.py": Slow("slow", 40),
    "tests/test_plain_tests.py": Slow("grading", 30),
    "tests/test_quickstart.py": Slow("grading", 45),
    "tests/test_real_grading.py": Slow("grading", 20),  # for each unit
    "tests/test_reference_pages.py": Slow("slow", 8),
    "tests/test_replay.py::test_course_check_repeats_a_broken_law_of_grades_json": Slow("grading", 4),
    "tests/test_replay.py::test_grades_json_holds_id_outcome_and_seed_of_every_law": Slow("grading", 7),
    "tests/test_replay.py::test_the_same_code_gets_the_same_points_for_everybody_and_every_time": Slow("grading", 11),
    "tests/test_release.py::test_removing_a_graded_cell_after_submissions_is_refused_with_the_reason": Slow(
        "grading", 8
    ),
    "tests/test_replay.py::test_what_cannot_be_replayed_is_said_with_what_there_is": Slow("grading", 9),
    "tests/test_replay.py::test_without_a_seed_the_class_is_repeated_and_nothing_of_its_seed_travels": Slow(
        "grading", 3
    ),
    "tests/test_sealed.py": Slow("grading", 12),
    "tests/test_solutions.py": Slow("slow", 16),
    "tests/test_stage.py": Slow("slow", 40),
    "tests/test_start_scripts.py::test_start_bat_under_wine": Slow("slow", 27),
    "tests/test_text.py::test_a_diff_of_a_notebook_shows_the_edited_line_and_nothing_else": Slow("slow", 5),
    "tests/test_hostile_folder.py": Slow("grading", 14),
    "tests/test_points.py::test_release_refuses_and_leaves_the_old_release": Slow("grading", 2),
    "tests/test_variants.py": Slow("grading", 40),
    "tests/test_whole_class.py": Slow("grading", 60),
    "tests/test_train_options.py::test_a_dask_scheduler_trains_the_same_models_also_with_several_threads": Slow(
        "slow", 6
    ),
    "tests/test_train_options.py::test_one_seed_that_fails_stops_no_other_and_is_named": Slow("slow", 6),
    "tests/test_train_options.py::test_seeds_in_parallel_are_the_models_of_single_runs_with_mean_and_interval": Slow(
        "slow", 12
    ),
    "tests/test_unit_04.py::test_autopsy_measures_what_it_expects_within_three_standard_errors": Slow("slow", 12),
    "tests/test_unit_07.py::test_grading_all_leaves_it_out": Slow("grading", 7),
    "tests/test_unit_07.py::test_only_units_with_graded_cells_are_graded": Slow("grading", 5),
    "tests/test_train_disturbed.py": Slow("slow", 40),
    "solutions/02_variational_autoencoders/02_variational_autoencoders.ipynb": Slow("", 64),
    "tests/test_using.py": Slow("slow", 10),
    "tests/test_train_command.py": Slow("", 15),
    "tests/test_estimator.py": Slow("", 4),
    "tests/test_released.py": Slow("", 18),
    "tests/test_way_back.py": Slow("", 16),
    "tests/test_replayed_answers.py": Slow("", 6),
    "tests/test_welcome.py": Slow("", 7),
    "tests/test_training.py": Slow("", 6),
    "tests/test_recorded_runs.py": Slow("", 6),
    "tests/test_mmd.py": Slow("", 8),
}
NOTEBOOK_SECONDS = 40.0  # of an executed notebook in solutions/ that is not listed


def amount(usual: int, thorough: int) -> int:
    """How many generated cases a test tries: the first of them in every run, all with `course test --thorough`."""
    return thorough if os.environ.get(THOROUGH) else usual


# Files of which a worker need not take the whole: what is costly to make is shared by the tests whose parameters begin
# with the same word, up to a hyphen (an exercise, a unit).
SPLIT = ("tests/test_checks_bank.py", "tests/test_real_grading.py")
PARTS = r"[-\[\]]"


def mark_of(node: str) -> str | None:
    """The mark of a test, given as pytest names it; None where it is quick."""
    found = MARKS.get(node.partition("[")[0]) or MARKS.get(node.partition("::")[0])
    return found.mark or None if found else None


def group_of(node: str) -> str:
    """What one worker runs in one go: a file, as most costly fixtures are made once for a file, or a part of one."""
    file, _, test = node.partition("::")
    return f"{file}[{re.split(PARTS, test + '[')[1]}" if file in SPLIT else file


def turn_of(node: str) -> float:
    """Sort key of a test's group: the longest first, so that no worker is left with one at the end."""
    file = node.partition("::")[0]
    if file.endswith(".ipynb"):
        return -MARKS.get(file, Slow("", NOTEBOOK_SECONDS)).seconds
    return -sum(slow.seconds for name, slow in MARKS.items() if name.partition("::")[0] == file)
