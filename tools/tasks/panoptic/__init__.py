"""Panoptic segmentation as the commands see it."""
