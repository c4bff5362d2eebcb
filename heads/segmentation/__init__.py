"""Semantic segmentors: what they share, resizing, inference; UPerNet and U-Net in their rooms."""
