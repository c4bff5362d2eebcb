"""Recipes: model, data, optimiser and schedule under one name."""
