"""Folders of data as `inspect` and `convert` see them, one file a kind."""
