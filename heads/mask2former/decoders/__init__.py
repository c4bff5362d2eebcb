"""Pixel decoder and query decoder of Mask2Former."""
