"""A training from its options to its last checkpoint."""
