"""swin_dense.tools."""
