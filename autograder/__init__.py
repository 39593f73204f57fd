"""What only instructors run: release, grading, feedback."""
