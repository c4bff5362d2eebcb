"""swin_dense.heads."""
