"""(Shifted) windows: their geometry, what is kept of it, and the attention within them."""
