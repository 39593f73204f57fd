"""What surrounds the course: the machine's device, the course folder, whole files, errors for people, the notebook."""
