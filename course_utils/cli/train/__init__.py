"""`course train`: models trained from the command line, and kept in runs/train/."""
