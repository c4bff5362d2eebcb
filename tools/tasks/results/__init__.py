"""Detections on the way from a model to files: without bitmaps, in tiles, written as they come."""
