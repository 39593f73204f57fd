"""Laws of `slerp`."""

from .interpolate import SLERP as CHECK

__all__ = ["CHECK"]
