"""Layouts of segmentation data: images and their label maps."""
