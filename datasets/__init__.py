"""swin_dense.datasets."""
