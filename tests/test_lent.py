"""What the examiner lends is worthless to whoever keeps it, takes it apart or sends it on; honest work notices nothing."""

from __future__ import annotations

import sys

import pytest
from test_checks_bad_input import LENDING

from autograder.examiner.exam import Session
from autograder.examiner.proxy import RemoteCandidate
from autograder.sandbox.limits import Limits
from course_utils.checks import CHECKS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
IMPORTS = "import base64, gc, marshal, sys, types, torch\nimport torch.nn.functional as F\n"
STUB = "def {0}(*args):\n    raise NotImplementedError('{0}')\n"
EARLIER = {"vae_loss": "kl_divergence", "slerp": "interpolate", "mmd_vae_loss": "mmd_squared",
           "train_step": "reconstruction_loss", "critic_step": "critic_loss"}  # fmt: skip
# What a later exercise may do with the function that it is lent, each before it answers rightly.
KEEPING = {
    "a_global": "torch.kept = {lent}",
    "its_parts": "torch.kept = types.FunctionType({lent}.__code__, {lent}.__globals__, '', {lent}.__defaults__,"
    " {lent}.__closure__)",
    "a_closure": "torch.kept = (lambda f: lambda *args: f(*args))({lent})",
    "a_file": "open('kept', 'wb').write(marshal.dumps({lent}.__code__))",
    "a_thread": """
if not hasattr(torch, 'kept'):
    import queue, threading
    asked, answered = queue.Queue(), queue.Queue()
    def _serve(f):
        while True:
            args = asked.get()
            try: answered.put(f(*args))
            except BaseException as error: answered.put(error)
    threading.Thread(target=_serve, args=({lent},), daemon=True).start()
    torch.kept = lambda *args: (asked.put(args), answered.get())[1]""",
}
USING = """
def {lent}(*args):
    if hasattr(torch, 'kept'):
        return torch.kept(*args)
    code = marshal.loads(open('kept', 'rb').read())
    return types.FunctionType(code, {{'torch': torch, 'F': F, 'nn': torch.nn}})(*args)
"""
# What could be carried home, or to somebody else, by whatever way.
TELLING = {
    "its_bytecode": "torch.told = [marshal.dumps({lent}.__code__)]",
    "a_text_in_memory": """
for thing in [*gc.get_objects(), *[v for f in sys._current_frames().values() for v in _within(f)]]:
    for text in (thing if isinstance(thing, (list, tuple)) else thing.values() if type(thing) is dict else ()):
        if type(text) is str and 'def {lent}(' in text and 'torch.' in text and '_within' not in text:
            torch.told = [text.encode()]""",
}
WITHIN = """
def _within(frame):
    while frame is not None:
        yield dict(frame.f_locals)
        for value in list(frame.f_locals.values()):
            if isinstance(value, dict): yield value; yield from (v for v in value.values() if isinstance(v, list))
        frame = frame.f_back
"""


@pytest.fixture(scope="module")
def session(open_folder):
    """Makes sandboxes, with this code run in them."""
    from autograder.sandbox.client import WarmProcess

    warm, opened = WarmProcess(), []

    def make(*cells: str) -> Session:
        made = Session(warm.address, Limits(), {}, {}, 1)
        opened.append(made)
        for cell in (IMPORTS, *cells):
            result = made.run_cell(cell, 60)
            assert not result["failed"], result["outputs"]
        return made

    yield make
    for one in opened:
        one.close()
    warm.close()


def judged(session: Session, exercise: str):
    candidate = RemoteCandidate(session, exercise)
    try:
        return CHECKS[exercise].judge(candidate, 4, seed=1)
    finally:
        candidate.close()


def with_a_line(exercise: str, line: str) -> str:
    """A right solution, which does something else first."""
    head, _, body = LENDING[exercise].partition("\n")
    return "\n".join([head, *("    " + part for part in line.format(lent=EARLIER[exercise]).splitlines()), body])


@pytest.mark.parametrize("exercise", EARLIER)
def test_who_calls_what_is_lent_gets_full_marks_with_gradients(session, exercise):
    inside = session(LENDING[exercise])
    score = judged(inside, exercise)
    assert score.earned == 4, score


@pytest.mark.parametrize("keeping", KEEPING)
@pytest.mark.parametrize("exercise", ["vae_loss", "slerp"])
def test_what_was_kept_answers_no_earlier_exercise(session, exercise, keeping):
    """In one and the same process, closer than grading ever lets the two come."""
    inside = session(with_a_line(exercise, KEEPING[keeping]), USING.format(lent=EARLIER[exercise]))
    assert judged(inside, exercise).earned == 4
    assert judged(inside, EARLIER[exercise]).earned == 0


@pytest.mark.parametrize("telling", TELLING)
@pytest.mark.parametrize("exercise", ["vae_loss", "slerp"])
def test_nothing_that_could_be_handed_in_later_is_there_to_be_told(session, exercise, telling):
    inside = session(WITHIN, with_a_line(exercise, TELLING[telling]))
    assert judged(inside, exercise).earned == 4
    shown = inside.run_cell("print(base64.b64encode(getattr(torch, 'told', [b''])[0]).decode())", 60)["outputs"]
    told = shown[0]["text"].strip()
    if telling == "a_text_in_memory":
        assert not told, "the solution was there as text"
        return
    later = session(
        f"code = marshal.loads(base64.b64decode({told!r}))\n"
        "space = {'torch': torch, 'F': F, 'nn': torch.nn}\n"
        f"def {EARLIER[exercise]}(*args):\n    return types.FunctionType(code, space)(*args)\n"
    )
    assert judged(later, EARLIER[exercise]).earned == 0


# Inside, the socket to the examiner: an earlier exercise asks for the function itself, by a message or by the agent.
ASKING = {
    "by_a_message": """
def interpolate(a, b, n):
    from grading_agent.protocol import Channel
    channel = next(thing for thing in gc.get_objects() if type(thing) is Channel)
    agent = next(thing for thing in gc.get_objects() if type(thing).__name__ == 'Agent')
    for number in range(1, 200):
        channel.send({'lend': 'interpolate', 'seed': 1, 'args': [], 'named': [], 'wanted': [], 'tensors': [],
                      'id': number})
""",
    "by_the_agent": """
def interpolate(a, b, n):
    lender = next(thing for thing in gc.get_objects() if type(thing).__name__ == 'Lender')
    with lender.during(3, 1):
        return lender.function('interpolate', [])(a, b, n)
""",
}


@pytest.mark.parametrize("asking", ASKING)
def test_nothing_is_lent_to_the_earlier_exercise_itself(session, asking):
    assert judged(session(ASKING[asking]), "interpolate").earned == 0


@pytest.mark.parametrize(("seconds", "calls"), [(0.3, 10**9), (60.0, 50)], ids=["time", "calls"])
def test_an_endless_loop_over_what_is_lent_is_too_slow_and_nothing_worse(session, seconds, calls):
    inside = session("def slerp(a, b, n):\n    while True:\n        interpolate(a, b, n)\n")
    candidate = RemoteCandidate(inside, "slerp", limits={"call": seconds, "check": 60.0, "after_a_timeout": 0.1})
    candidate._allowance.calls = calls
    try:
        assert CHECKS["slerp"].judge(candidate, 4, seed=1).earned == 0
    finally:
        candidate.close()
    assert candidate.trouble and candidate.trouble[0] == "timed_out", candidate.trouble
    assert "endless loop" in candidate.trouble[1], candidate.trouble


WRONG = {
    "too_much": ("interpolate(torch.zeros(4), torch.ones(4), 10**9)", "ValueError"),
    "too_many_points": ("interpolate(torch.zeros(1, 1), torch.ones(1, 1), 1 << 40)", "ValueError"),
    "too_much_by_a_tensor": ("interpolate(torch.zeros(4), torch.ones(4), torch.tensor(10**8))", "ValueError"),
    "tensors_for_all": ("interpolate(torch.tensor(1 << 30), torch.tensor(1), torch.tensor(1 << 30))", "ValueError"),
    "a_tensor_of_one": ("interpolate(torch.zeros(4), torch.ones(4), torch.tensor([10**8]))", "TypeError"),
    "one_argument": ("interpolate(torch.zeros(4))", "TypeError"),
    "a_text": ("interpolate('a', 'b', 3)", "AttributeError"),
    "a_set": ("interpolate({1}, torch.ones(4), 3)", "TypeError"),
    "a_module": ("interpolate(torch.nn.Linear(1, 1), torch.ones(4), 3)", "TypeError"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_computed_is_an_ordinary_error(session, wrong):
    call, kind = WRONG[wrong]
    caught = f"    try:\n        {call}\n    except {kind}:\n        caught = True\n    assert caught\n"
    right = LENDING["slerp"].partition("\n")
    assert judged(session("\n".join([right[0], caught, right[2]])), "slerp").earned == 4
