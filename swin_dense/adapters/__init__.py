"""Other libraries: their backbones under our heads."""
