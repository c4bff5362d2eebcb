"""Mask2Former: a class and a mask for each of a few learned queries (Cheng et al. 2022)."""
