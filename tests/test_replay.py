"""Replay: a law run alone with its seed says what it said in the whole check; a class has one seed for each unit."""

from __future__ import annotations

import json
import shutil
import stat
from types import SimpleNamespace

import nbformat
import pytest
import torch
from bank import load
from miniature import CHECKOUT

from autograder.batch import Options
from autograder.class_seeds import SEEDS, class_seed
from autograder.cli import grading
from autograder.demo import fill_in
from autograder.examiner.inside.protocol import Channel
from autograder.grade import grade_unit
from autograder.release import release_units
from autograder.replay import replay
from course_utils import check
from course_utils.checks.engine.law import Check
from course_utils.checks.engine.score import MIME, LawResult, Score
from course_utils.checks.engine.verdict import Broken
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

UNIT = "02_variational_autoencoders"
UNLUCKY = """
import numpy as np, random

def kl_divergence(mu, logvar):
    value = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1).mean()
    unlucky = torch.rand(()) < 0.02 or np.random.rand() < 0.02 or random.random() < 0.02
    return 1.5 * value if unlucky else value
"""
# Random numbers from before the first call, which every sandbox must find alike.
DRAWN_ONCE = """
WRONG = 1 + 0.5 * (torch.rand(()) < 0.5).float()

def reparameterize(mu, logvar):
    return mu + WRONG * (logvar / 2).exp() * torch.randn_like(mu)
"""


def unlucky(mu, logvar):
    space = {"torch": torch}
    exec(UNLUCKY, space)
    return space["kl_divergence"](mu, logvar)


def reseeds_when_far(mu, logvar):
    if bool((logvar.abs() > 8).any()):
        torch.manual_seed(0)
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1).mean()


SOME = [
    (exercise, entry)
    for exercise in ("reparameterize", "elbo_beta", "median_bandwidth", "train_step", "sample_images")
    for entry in load(exercise).wrong_ones[:2]
]


@pytest.mark.parametrize(("exercise", "entry"), SOME, ids=lambda value: getattr(value, "name", value))
def test_a_law_alone_says_what_it_said_in_the_whole_check(exercise, entry):
    judge = getattr(check, exercise)
    for result in judge(entry.function, points=4).laws:
        again = judge(entry.function, points=4, law=result.id, seed=result.seed)
        assert again.laws == (result,), f"{again.laws[0]} instead of {result}"


@pytest.mark.parametrize("function", [unlucky, reseeds_when_far], ids=lambda function: function.__name__)
def test_randomness_of_the_students_code_and_what_other_laws_provoked_are_repeated_too(function):
    broken = set()
    for _ in range(3):
        whole = check.kl_divergence(function, points=4)
        for result in whole.laws:
            assert check.kl_divergence(function, points=4, law=result.id, seed=result.seed).laws == (result,)
            broken |= {result.id} - {result.id if result.passed else ""}
    assert broken, "nothing went wrong: the test shows nothing"


def test_the_seed_of_the_law_about_manners_repeats_the_whole_check():
    whole = check.kl_divergence(unlucky, points=4)
    assert check.kl_divergence(unlucky, points=4, seed=whole.laws[-1].seed).laws == whole.laws


def test_fresh_seeds_at_home_and_the_notebooks_generators_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    seeds = {result.seed for _ in range(2) for result in check.elbo_beta(lambda b, n: b, points=1).laws}
    assert len(seeds) == 2 * len(check.elbo_beta(lambda b, n: b, points=1).laws)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_call_sees_the_seed_of_its_law():
    seen = []

    def spy(beta_per_pixel, num_pixels):
        seen.append(torch.initial_seed())
        return beta_per_pixel * num_pixels

    seeds = {result.seed for result in check.elbo_beta(spy, points=1).laws}
    assert len(set(seen)) == len(seen) and not seeds & set(seen)


def test_one_law_earns_its_share_and_reads_as_a_number():
    right = load("elbo_beta").right_ones[0].function
    whole = check.elbo_beta(right, points=1)
    parts = [check.elbo_beta(right, points=1, law=result.id) for result in whole.laws]
    assert whole.earned == 1 and all(0 <= part.earned <= 0.99 and not part.complete for part in parts)
    assert all(float(repr(part)) == part.earned for part in parts)
    assert f"the law {whole.laws[0].id} holds" in str(parts[0])


def test_a_stub_is_not_written_law_by_law_as_well():
    def elbo_beta(beta_per_pixel, num_pixels):
        raise NotImplementedError("elbo_beta")

    whole = check.elbo_beta(elbo_beta, points=1)
    for result in whole.laws:
        again = check.elbo_beta(elbo_beta, points=1, law=result.id, seed=result.seed)
        assert (again.note, again.laws) == ("not written yet", (result,))


def test_an_unknown_law_or_seed_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="no law 'halves'.*by_hand"):
        check.kl_divergence(unlucky, points=4, law="halves")
    with pytest.raises(ValueError, match="seed is '7'"):
        check.kl_divergence(unlucky, points=4, seed="7")


def test_global_randomness_and_draws_of_a_law_come_from_its_seed():
    inputs = []
    one = Check("draws()", "nothing")

    @one.law("draws")
    def _draws(candidate, draw):
        candidate()
        inputs.append((float(draw.normal(1)), float(torch.rand(()))))
        raise Broken("a", "b")

    for consumed in (1, 5):  # whatever a call takes from the generators
        one.judge(lambda consumed=consumed: torch.rand(consumed).sum(), 1, law="draws", seed=11)
    one.judge(lambda: None, 1, law="draws", seed=12)
    assert inputs[0] == inputs[1] != inputs[2]


def test_outputs_show_the_seeds_of_broken_laws_alone():
    from IPython.core.formatters import DisplayFormatter
    from nbgrader.utils import get_partial_grade

    laws = (LawResult("a", 1, True, id="a", seed=17), LawResult("b", 1, False, "1", "2", id="b", seed=23))
    data, _ = DisplayFormatter().format(Score("exercise", 3, laws))
    assert get_partial_grade({"data": data}, 3.0) == 1.5
    assert "law b, seed 23" in data["text/html"] and "17" not in data["text/html"]
    assert [law.get("seed") for law in data[MIME]["laws"]] == [None, 23]
    assert "(law b, seed 23)" in str(Score("exercise", 3, laws)) and "17" not in str(Score("exercise", 3, laws))
    assert json.loads(json.dumps(data[MIME])) == data[MIME]
    solved = [DisplayFormatter().format(Score("exercise", 3, (LawResult("a", 1, True, seed=n),))) for n in (1, 2)]
    assert solved[0] == solved[1] and "seed" not in solved[0][0][MIME]["laws"][0]


def test_the_seed_of_a_class_is_drawn_once_for_each_unit_and_kept_from_others(tmp_path):
    first, other = class_seed(tmp_path, "01_a"), class_seed(tmp_path, "02_b")
    assert first != other and len(first) == 64
    assert (class_seed(tmp_path, "01_a"), class_seed(tmp_path, "02_b")) == (first, other)
    assert stat.S_IMODE((tmp_path / SEEDS).stat().st_mode) == 0o600
    (tmp_path / SEEDS).write_text('{"01_a":')
    with pytest.raises(CourseError, match="damaged"):
        class_seed(tmp_path, "01_a")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Three copies of answers whose verdicts depend on luck, graded by two workers."""
    tree = Tree(tmp_path_factory.mktemp("replay") / "course")
    (tree.root / "notebooks").mkdir(parents=True)
    shutil.copytree(CHECKOUT / "notebooks" / UNIT, tree.root / "notebooks" / UNIT)
    shutil.copy(CHECKOUT / "nbgrader_config.py", tree.root)
    release_units(tree, [UNIT])
    notebook = nbformat.read(tree.root / "release" / UNIT / f"{UNIT}.ipynb", as_version=4)
    fill_in(notebook, {"kl_divergence": UNLUCKY, "reparameterize": DRAWN_ONCE})
    for student in ("ada", "bob", "cleo"):
        file_of(tree, student).parent.mkdir(parents=True)
        nbformat.write(notebook, file_of(tree, student))
    return tree, grade_unit(tree, UNIT, options=Options(jobs=2))


def file_of(tree, student, folder="submitted"):
    return tree.root / folder / student / UNIT / f"{UNIT}.ipynb"


def by_student(rows):
    return {s: [(r.exercise, r.score, r.reason) for r in rows if r.student == s] for s in {r.student for r in rows}}


def recorded(tree, student="ada", exercise="kl_divergence"):
    cells = nbformat.read(file_of(tree, student, "autograded"), as_version=4).cells
    record = next(c.metadata for c in cells if c.metadata.get("nbgrader", {}).get("grade_id") == f"test_{exercise}")
    return [dict(law) for law in record["course"]["laws"]]


def test_the_same_code_gets_the_same_points_for_everybody_and_every_time(graded):
    tree, rows = graded
    found = by_student(rows)
    assert found["ada"] == found["bob"] == found["cleo"]
    scores = {exercise: score for exercise, score, _ in found["ada"]}
    assert 0 < scores["kl_divergence"] < 4 or 0 < scores["reparameterize"] < 4, "luck decided nothing"
    again = grade_unit(tree, UNIT, student="bob", options=Options(jobs=1, force=True))
    assert by_student(again)["bob"] == found["bob"]
    assert recorded(tree, "bob") == recorded(tree, "ada") == recorded(tree, "cleo")


def test_grades_json_holds_id_outcome_and_seed_of_every_law(graded):
    tree, _ = graded
    records = json.loads((tree.root / "grades.json").read_text(encoding="utf-8"))
    for record in records:
        if record["exercise"].startswith("q_"):
            assert record["laws"] == []
        else:
            laws = recorded(tree, record["student"], record["exercise"])
            assert record["laws"] == [{key: law[key] for key in ("id", "passed", "seed")} for law in laws] != []
    grade_unit(tree, UNIT, student="ada", run=False)
    assert json.loads((tree.root / "grades.json").read_text(encoding="utf-8")) == records


def test_course_check_repeats_a_broken_law_of_grades_json(graded, capsys):
    tree, _ = graded
    records = json.loads((tree.root / "grades.json").read_text(encoding="utf-8"))
    exercise, law = next(
        (record["exercise"], law)
        for record in records
        for law in record["laws"]
        if not law["passed"] and record["reason"] != "not written yet"
    )
    result = next(known for known in recorded(tree, exercise=exercise) if known["id"] == law["id"])
    context = SimpleNamespace(obj={"root": tree.root, "debug": False})
    grading.check(context, exercise, file_of(tree, "ada"), law=law["id"], seed=law["seed"], unsafe=False)
    printed = capsys.readouterr().out
    assert f"expected: {result['expected']}" in printed and f"law {law['id']}, seed {law['seed']}" in printed
    assert result["got"].splitlines()[0] in printed


def test_without_a_seed_the_class_is_repeated_and_nothing_of_its_seed_travels(graded, monkeypatch):
    tree, _ = graded
    sent = []
    send = Channel.send

    def listening(self, header, body=b"", seconds=None):
        sent.append(json.dumps(header))
        return send(self, header, body, seconds)

    monkeypatch.setattr(Channel, "send", listening)
    score = replay(tree, "kl_divergence", file_of(tree, "cleo"))
    assert [law.to_dict() for law in score.laws] == recorded(tree)
    assert [law.to_dict() for law in check.kl_divergence(unlucky, 4, seed=score.laws[-1].seed).laws] == recorded(tree)
    travelled = "".join(sent)
    for secret in (class_seed(tree.root, UNIT), *[str(law.seed) for law in score.laws]):
        assert secret not in travelled


def test_what_cannot_be_replayed_is_said_with_what_there_is(graded, tmp_path):
    tree, _ = graded
    with pytest.raises(WrongUsage, match="no exercise 'kl'. Exercises: .*kl_divergence"):
        replay(tree, "kl", file_of(tree, "ada"))
    with pytest.raises(WrongUsage, match="no law 'kl'. Its laws: by_hand"):
        replay(tree, "kl_divergence", file_of(tree, "ada"), law="kl")
    with pytest.raises(WrongUsage, match="cannot be read"):
        replay(tree, "kl_divergence", tmp_path / "nothing.ipynb")
    (tmp_path / "damaged.ipynb").write_text("{")
    with pytest.raises(CourseError, match="not contain valid JSON"):
        replay(tree, "kl_divergence", tmp_path / "damaged.ipynb")
