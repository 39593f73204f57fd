"""A liar on the wire costs only its own exercise: whole examinations against an agent whose messages are spoilt.

An honest agent answers in a thread of this process; what it sends is changed on its way. Whatever comes, the examiner
raises nothing, every exercise is decided, and nobody waits longer than the limit.
"""

from __future__ import annotations

import copy
import json
import random
import socket
import threading
import time
from types import SimpleNamespace

import lanes
import nbformat
import pytest
import torch
from bank import load
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_checks_bad_input import LENDING

from autograder.examiner import session as wire
from autograder.examiner.inside.agent import Agent
from autograder.examiner.inside.protocol import _LENGTHS, Channel, Closed, Garbled
from autograder.examiner.proxy import RemoteCandidate
from autograder.examiner.session import Ended, Session
from autograder.sandbox.limits import Limits
from autograder.sanitise import Budget, sanitise
from course_utils.checks import CHECKS
from course_utils.checks.engine.verdict import CallFailed
from course_utils.cli.handin import made_safe

SESSIONS, LEAST = lanes.amount(80, 700), lanes.amount(400, 10_000)  # examinations, and messages in all of them
ODD = [
    None, True, False, -1, 0, 1, 7, 2**31, 2**39, 2**63, 10**400, 1e308, float("inf"), float("-inf"), float("nan"),
    "", "x", "x" * 5000, "\ud800", "\0", [], {}, [[]], [0, 2**39, 2**39], [2**20, 2**20], ["v", float("nan")],
    ["t", 0], ["t", -1], ["output", 0], ["output", 10**9], ["tuple", []], ["tuple", [["output", 0]] * 70],
    ["handle", [1, "x"]], ["handle", [float("inf"), "x"]], ["handle", ["1", None]], ["truth", True], ["truth", 1],
    ["array", 0], ["unusable", []], ["v", "text"], ["v", 10**400], {"value": 0}, ["stub", "x"], ["too slow", None],
]  # fmt: skip
KEYS = [
    "id",
    "tensors",
    "value",
    "failed",
    "effects",
    "grads",
    "there",
    "outputs",
    "count",
    "reseeded",
    "printed",
    "lend",
]
LENDS = {"lend": "interpolate", "seed": 1, "args": [["t", 0]], "named": [], "wanted": [0], "cotangents": [0]}
EXERCISES = ["elbo_beta", "kl_divergence", "slerp", "vae_loss", "build_autoencoder", "train_step", "find_bug_1"]


class Lying(Channel):
    """The agent's end. `rate`: the share of its messages that are spoilt, by `chance`."""

    def __init__(self, connection, chance, rate):
        super().__init__(connection)
        self.chance, self.rate, self.sent = chance, rate, 0

    def send(self, header, body=b"", seconds=None):
        self.sent += 1
        if self.chance.random() >= self.rate:
            return super().send(header, body)
        way = self.chance.choice(["header"] * 8 + ["body"] * 3 + ["twice", "raw", "lengths", "hangs_up"])
        if self.chance.random() < 0.003:
            way = "silent"
        try:
            if way == "header":
                header = copy.deepcopy(header)
                for _ in range(self.chance.randint(1, 3)):
                    self.spoil(header)
                super().send(header, body)
            elif way == "body":
                super().send(header, self.spoilt(body))
            elif way == "twice":
                super().send(header, body), super().send(header, body)
            elif way == "raw":
                text = self.chance.choice([b"[" * 100_000, b"null", b"[1]", b"\xff\xfe", b'{"id":1e999}', b""])
                self._socket.sendall(_LENGTHS.pack(len(text), 0) + text)
            elif way == "lengths":
                self._socket.sendall(_LENGTHS.pack(self.chance.choice([0, 2**32 - 1]), 2**63))
            elif way == "hangs_up":
                self._socket.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError, OverflowError) as error:
            raise Closed(str(error)) from None

    def spoil(self, header):
        """Change something, anywhere in it."""
        places = [(header, key) for key in self.chance.sample(KEYS, 2)]
        waiting = [header]
        while waiting and len(places) < 400:
            node = waiting.pop()
            for key in list(node) if isinstance(node, dict) else range(len(node)):
                places.append((node, key))
                if isinstance(node[key], (dict, list)):
                    waiting.append(node[key])
        node, key = self.chance.choice(places)
        what = self.chance.random()
        if what < 0.1:
            header.update(copy.deepcopy(LENDS))
        elif what < 0.2 and isinstance(node, dict):
            node.pop(key, None)
        elif what < 0.3 and isinstance(node, list):
            node.insert(key, copy.deepcopy(node[key]))
        else:
            node[key] = copy.deepcopy(self.chance.choice(ODD))

    def spoilt(self, body):
        """Other numbers (among them none), fewer or more."""
        data = bytearray(body)
        for _ in range(self.chance.randint(1, 20) if data else 0):
            data[self.chance.randrange(len(data))] = self.chance.choice([0, 0x7F, 0xFF, self.chance.randrange(256)])
        if self.chance.random() < 0.2:
            return bytes(data[: len(data) // 2]) if self.chance.random() < 0.5 else bytes(data) + b"more"
        return bytes(data)


class Sandbox:
    """In place of a sandbox: a thread with an agent that knows right solutions."""

    level = "none"

    def __init__(self, chance, rate, names):
        self.connection, other = socket.socketpair()
        self.channel = Lying(other, chance, rate)
        shown = [
            {"output_type": "stream", "name": "stdout", "text": "a line"},
            {"output_type": "execute_result", "data": {"text/plain": "1"}, "metadata": {}, "execution_count": 1},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
        ]
        answer = {"outputs": shown, "count": 1, "failed": False}
        interpreter = SimpleNamespace(user_ns=names, run=lambda source: copy.deepcopy(answer))
        self._agent, self._other = Agent(self.channel, interpreter), other
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        try:
            self._agent.serve()
        except (Closed, Garbled, OSError, KeyError):
            self._other.close()

    def cause_of_death(self):
        return "it died"

    def close(self):
        for end in (self.connection, self._other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(2)
        self.connection.close(), self._other.close()


def solutions():
    names = {"torch": torch, "F": torch.nn.functional}
    for exercise in EXERCISES:
        if exercise in LENDING:
            exec(LENDING[exercise], names)
        else:
            names[exercise] = load(exercise).right_ones[0].function
    return names


def examine(exercise, chance, rate, monkeypatch, waits, seconds=0.2):
    """One session from the first cell to the verdict; the number of messages."""
    names = solutions()
    opened = []

    def sandbox(*_):
        opened.append(Sandbox(chance, rate, names))
        return opened[-1]

    monkeypatch.setattr(wire, "Sandbox", sandbox)
    try:
        session = Session("", Limits(), {}, {}, 1)
    except Ended:
        return sum(one.channel.sent for one in opened)
    ask = session.ask

    def timed(*args, seconds, **named):
        started = time.monotonic()
        try:
            return ask(*args, seconds=seconds, **named)
        finally:
            waits.append(time.monotonic() - started - seconds)

    session.ask = timed
    candidate = RemoteCandidate(session, exercise, None, 0.1, {"call": seconds, "check": 20 * seconds})
    try:
        cell = nbformat.v4.new_code_cell("1")
        cell.outputs = [nbformat.NotebookNode(output) for output in session.run_cell("1", 1)["outputs"]]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = 1
        cell = made_safe(cell)
        sanitise(cell, trusted_outputs=False, budget=Budget())
        notebook = nbformat.v4.new_notebook(cells=[cell])
        nbformat.validate(notebook)
        nbformat.writes(notebook).encode()
        if session.knows(exercise):
            score = CHECKS[exercise].judge(candidate, 4)
            assert 0 <= score.earned <= 4
            json.dumps(score.to_dict()).encode(), score._repr_html_().encode(), repr(score).encode()
    except (Ended, CallFailed):
        pass
    finally:
        candidate.close()
        session.close()
    return sum(one.channel.sent for one in opened)


def test_whatever_comes_over_the_wire_nothing_is_raised_and_everything_is_decided(monkeypatch):
    counted, waits = [], []

    @settings(max_examples=SESSIONS, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.integers(0, 2**32), st.sampled_from([0.02, 0.1, 0.5]), st.sampled_from(EXERCISES))
    def lie(seed, rate, exercise):
        counted.append(examine(exercise, random.Random(seed), rate, monkeypatch, waits))

    lie()
    assert max(waits) < 10, "beyond the limit, on a machine with other work"
    assert sum(counted) >= LEAST


@pytest.mark.parametrize("exercise", EXERCISES)
def test_who_tells_no_lie_is_heard(exercise, monkeypatch):
    """The same without lies: so the lies above reach every kind of question."""
    assert examine(exercise, random.Random(1), 0.0, monkeypatch, [], seconds=10) > 10


def _in_answers(key, change):
    """A lie wherever an answer has `key`."""
    return lambda header, body: change(header, body) if header.get(key) not in (None, []) else (header, body)


def _says(key, value):
    return _in_answers(key, lambda header, body: ({**header, key: value}, body))


def _table(**entry):
    """Tensors that are described otherwise, each by as many bytes as before."""
    return lambda header, body: ({**header, "tensors": [{**one, **entry} for one in header["tensors"]]}, body)


def _no_numbers(*shape):
    entry = {"kind": "bool", "shape": list(shape), "bytes": 0, "requires_grad": False, "leaf": True, "grad": None}
    return lambda header, body: ({**header, "tensors": [entry]}, b"")


def _deep(levels, value="x"):
    for _ in range(levels):
        value = [value]
    return value


def _flat(header, body):
    flat = [{**one, "shape": [1, *one["shape"]]} for one in header["tensors"]]
    return {**header, "tensors": flat}, body


FAR = 1 << 39
LIES = {
    "a count of infinity": _says("count", float("inf")),
    "a count below zero": _says("count", -5),
    "a count of many digits": _says("count", 10**400),
    "a count that is a word": _says("count", "5"),
    "no numbers, beyond counting": _in_answers("value", _no_numbers(0, FAR, FAR)),
    "no numbers, in another order": _in_answers("value", _no_numbers(FAR, 0, FAR, FAR)),
    "beyond counting, beside a printed text": _in_answers("outputs", _no_numbers(FAR, FAR, FAR, 0)),
    "beyond counting, asked for a name": _in_answers("there", _no_numbers(0, FAR, FAR)),
    "gradients beyond counting": _in_answers("grads", _no_numbers(0, FAR, FAR)),
    "gradients of another kind": _in_answers("grads", _table(kind="int32")),
    "gradients of another shape": _in_answers("grads", _flat),
    "gradients by names": _in_answers("grads", lambda header, body: ({**header, "grads": ["x"] * 9}, body)),
    "results of another kind": _in_answers("value", _table(kind="int32")),
    "results of another shape": _in_answers("value", _flat),
    "parameters that are none": _in_answers("value", _says("value", ["v", None])),
    "many more parameters": _in_answers(
        "value", lambda header, body: ({**header, "value": ["list", [["v", 1]] * 1200]}, body)
    ),
    "a text in brackets": _says("outputs", [{"output_type": "stream", "name": "x", "text": _deep(900)}]),
    "a picture in brackets": _says("outputs", [{"output_type": "display_data", "data": {"image/png": _deep(900)}}]),
    "a traceback of numbers": _says("outputs", [{"output_type": "error", "ename": 1, "evalue": [], "traceback": [0]}]),
    "a reason without words": _says("printed", _deep(900)),
}


@pytest.mark.parametrize("exercise", ["slerp", "vae_loss", "build_autoencoder"])
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_of_this_kind_in_every_answer_costs_its_own_exercise_alone(lie, exercise, monkeypatch):
    send = Channel.send
    monkeypatch.setattr(
        Lying, "send", lambda self, header, body=b"", seconds=None: send(self, *LIES[lie](header, body))
    )
    examine(exercise, random.Random(1), 0.0, monkeypatch, [], seconds=10)


def test_calls_end_with_the_time_of_the_submission(monkeypatch):
    """Whoever answers each call just before it is late has no more time than the submission has."""
    monkeypatch.setattr(wire, "Sandbox", lambda *_: Sandbox(random.Random(1), 0.0, solutions()))
    with Session("", Limits(), {}, {}, 1) as session:
        silent = random.Random(1)
        session._sandbox.channel.send = lambda *_: silent.random()
        started = time.monotonic()
        candidate = RemoteCandidate(session, "slerp", until=started + 1.5)
        with pytest.raises(CallFailed):
            CHECKS["slerp"].judge(candidate, 4)
        assert 1 < time.monotonic() - started < 8
        assert candidate.trouble[0] == "timed_out"
