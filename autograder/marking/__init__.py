"""Marking written answers, one question at a time over all students. `course mark` opens the page.

scheme     the items of a mark scheme, read from the notebook and written back
answers    the answers to a question: text, mark, changes, in an order that is mixed
groups     answers that say the same in nearly the same words
log        who marked what when; marks in nbgrader's gradebook
agreement  two markers on the same answers, and drift
shown      what the page shows of an answer: cleaned HTML, evidence, differences
desk       all of these for one course: what the page can ask for
server     the page and its requests, in the instructor's own Jupyter server
viva       a page of oral questions for each student, from their own numbers
"""
