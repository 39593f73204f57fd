"""Laws of `find_bug_2`."""

from .find_bug_1 import FIND_BUG_2 as CHECK

__all__ = ["CHECK"]
