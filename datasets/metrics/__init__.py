"""Scores and confusion matrices: COCO's, and semantic segmentation's."""
