"""What is measured about a latent-variable model, its codes and its samples."""

from . import measures
from .measures import *  # noqa: F403 -- its __all__ says what
from .yardstick import Yardstick

__all__ = ["Yardstick"]
__all__ += measures.__all__
