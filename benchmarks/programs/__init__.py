"""Whole commands: what they cost from their start to their end."""
