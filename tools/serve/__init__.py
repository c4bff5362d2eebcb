"""The page of `swin-dense serve`: what a model finds in images that are dropped on it."""
