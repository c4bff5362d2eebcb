"""Models as files that other runtimes run at any image size."""
