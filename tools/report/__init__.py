"""The pages: of a run, of two runs beside each other, of training samples."""
