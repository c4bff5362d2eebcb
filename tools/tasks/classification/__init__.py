"""Image classification as the commands see it."""
