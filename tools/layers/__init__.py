"""A look inside a model: its modules with their shapes, parameters and multiply-adds at a size."""
