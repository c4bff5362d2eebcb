"""Drawn data sets besides the one of `shapes.py`."""
