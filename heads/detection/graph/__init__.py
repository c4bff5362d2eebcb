"""Two-stage detectors as fixed graphs of tensors, which other runtimes run at any image size."""
