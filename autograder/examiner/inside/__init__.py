"""The part of the examiner that runs inside the sandbox, in the company of the student's code: it decides nothing.

`protocol` (both sides speak it), `serialisation` (modules and optimisers as data), `interpreter` runs cells, `agent`
answers requests. It is copied into the sandbox as the package `grading_agent`; nothing in it is trusted by the other
side.
"""
