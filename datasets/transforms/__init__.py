"""Albumentations pipelines, a file for each task, and the geometry that they share."""
