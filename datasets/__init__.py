"""Data sets, their transforms, samplers and metrics; no model is known here."""

import os

# albumentations asks the network for a newer version when it is imported, unless told not to.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
