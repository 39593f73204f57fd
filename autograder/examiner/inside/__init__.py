"""The part of the examiner that runs inside the sandbox, in the company of the student's code: it decides nothing.

`wire` (both sides speak it), `things` (modules and optimisers as data), `shell` runs cells, `room` answers requests.
It is copied into the sandbox as the package `examination`; nothing in it is trusted by the other side.
"""
