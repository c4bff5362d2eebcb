"""The way of a model into a file: its graph, traced, written and proved."""
