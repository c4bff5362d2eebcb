"""Weights from files: containers, safe reading, every published key layout, and their download."""
