"""Small helper package of the latent space course: what the notebooks import.

Sub-modules load on first use (``from course_utils import check, training``), so that importing the package itself
costs nothing beyond Python.
"""
