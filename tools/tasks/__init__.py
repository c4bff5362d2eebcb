"""Tasks: data, scores and pictures of detection and of segmentation."""
