"""Hostile inputs, drawn at random by family: files and the command line that is to read them."""
