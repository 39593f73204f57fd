"""Laws of `find_bug_3`."""

from .find_bug_1 import FIND_BUG_3 as CHECK

__all__ = ["CHECK"]
