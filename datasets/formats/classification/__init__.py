"""Images in folders of their classes."""
