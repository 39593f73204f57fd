"""Say why student code did not return, with the student's own lines and never a traceback through ours."""

from __future__ import annotations

import linecache
import os
import sysconfig
import traceback
from types import FrameType, TracebackType

from .verdict import CallFailed
from .worker import TimeIsUp

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the checks
_LIBRARIES = tuple(
    {os.path.abspath(path) for path in sysconfig.get_paths().values() if path}
    - {os.path.abspath(sysconfig.get_paths()["data"]), os.path.abspath(sysconfig.get_paths()["scripts"])}
)
_EXAMINER = "autograder"  # the package whose code calls the student's when it is graded
_MOST_FRAMES, _MOST_CHARACTERS = 3, 400


def failure_of(error: BaseException) -> CallFailed | None:
    """What to tell the student about `error`; None for our own interruption, which must travel on."""
    if isinstance(error, TimeIsUp):
        return None
    if isinstance(error, CallFailed):
        return error
    frames = _student_frames(error.__traceback__)
    stub = isinstance(error, NotImplementedError) and frames and frames[-1][2]
    message = _message(error)
    lines = [_line(frame, number) for frame, number, _ in frames[-_MOST_FRAMES:]]
    return CallFailed("stub" if stub else "raised", "\n".join([message, *lines]))


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException:
        text = "(its message cannot be shown)"
    if len(text) > _MOST_CHARACTERS:
        text = text[:_MOST_CHARACTERS] + " ..."
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _student_frames(tb: TracebackType | None) -> list[tuple[FrameType, int, bool]]:
    """(frame, line number, is it where the error was raised?) of the frames that are the student's own."""
    frames = list(traceback.walk_tb(tb))
    return [
        (frame, number, place == len(frames)) for place, (frame, number) in enumerate(frames, 1) if _is_students(frame)
    ]


def _is_students(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    if str(frame.f_globals.get("__name__")).partition(".")[0] == _EXAMINER:
        return False
    if filename.startswith("<") and not filename.startswith(("<ipython", "<stdin", "<string", "<student")):
        return False
    path = os.path.abspath(filename)
    return not path.startswith(_OURS) and not path.startswith(_LIBRARIES)


def _line(frame: FrameType, number: int) -> str:
    source = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
    place = f"in {frame.f_code.co_name}, line {number}"
    return f"{place}: {source[:160]}" if source else place
