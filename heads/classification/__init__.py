"""Image classification: mean of the coarsest level, and a linear layer."""
