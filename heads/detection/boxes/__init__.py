"""Boxes: operations on them, anchors, and their matching with ground truth."""
