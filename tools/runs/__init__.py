"""The folder of a run: checkpoints, log, and records of evaluations."""
