"""Whoever waits for a cell gets its reply, also where the socket's signal was missed."""

from __future__ import annotations

import asyncio
from queue import Empty

import pytest
from miniature import make_tree
from nbclient import NotebookClient
from nbformat.v4 import new_notebook

from autograder.nbgrader_course import NbGraderCourse
from course_utils.cli.kernel_client import KernelChannel, KernelClient
from course_utils.system.tree import Tree


class MissedSignal:
    """A socket with a message, or none, that wakes nobody: only who looks finds it."""

    def __init__(self, *waiting: str) -> None:
        self.waiting = [*waiting]

    async def poll(self, timeout: float | None) -> bool:
        await asyncio.sleep(3600 if timeout is None else timeout / 1000)
        return bool(self.waiting)


class Channel(KernelChannel):
    def __init__(self, socket: MissedSignal) -> None:
        self.socket = socket

    async def _recv(self, **_: object) -> str:
        return self.socket.waiting.pop()


@pytest.mark.parametrize("limit", [None, 60.0])
def test_a_message_is_found_without_a_signal(limit):
    reply = asyncio.run(asyncio.wait_for(Channel(MissedSignal("a reply")).get_msg(limit), 30))
    assert reply == "a reply"


@pytest.mark.parametrize("limit", [0.0, 0.1, 1.2])
def test_where_there_is_none_the_limit_holds(limit):
    with pytest.raises(Empty):
        asyncio.run(asyncio.wait_for(Channel(MissedSignal()).get_msg(limit), 30))


def test_nbgrader_executes_with_it(tmp_path):
    config = NbGraderCourse(Tree(make_tree(tmp_path / "course"))).app.config
    manager = NotebookClient(new_notebook(), config=config).create_kernel_manager()
    assert manager.client_factory is KernelClient
