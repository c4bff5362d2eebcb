"""Kinds of data folders, each in a file of its own."""
