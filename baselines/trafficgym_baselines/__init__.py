"""Training and evaluation scripts, one a file, to be read from top to bottom."""
