"""What all checks share: laws and how they are run, the seam to the student's code, scores and their causes."""
