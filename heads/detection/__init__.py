"""Two-stage detectors: boxes, FPN, RPN, RoI heads, Mask R-CNN and Cascade Mask R-CNN."""
