"""A model timed in every way that it can run on this machine, beside installed peers."""
