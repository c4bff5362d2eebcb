"""Variants of a recipe compared: their trainings at the same seeds, and one page of them."""
