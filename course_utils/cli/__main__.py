"""`python -m course_utils.cli`: the `course` command."""

from . import main

main()
