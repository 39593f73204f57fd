"""What the laws and causes of several exercises have in common."""
