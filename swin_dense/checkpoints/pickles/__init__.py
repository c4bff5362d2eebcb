"""Pickles, read without running them: the machine, the names it knows, and the values beside."""
