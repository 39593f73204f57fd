"""What workers import, once, in the process that they are forked from. Imported there and nowhere else.

Not torch._dynamo, which takes as long as all the rest: a worker imports it when a check first takes a step with an
optimiser, which few do.
"""

import gc

gc.disable()  # looking through what imports have made takes a fifth of their time

import course_utils.check  # noqa: E402, F401
from autograder.examiner import exam, job  # noqa: E402, F401

gc.freeze()
gc.enable()
