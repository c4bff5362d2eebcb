"""Extraction of features into a store: model, plan, the engines that run it, and a page to look."""
