"""One module for each exercise, of the exercise's name."""
