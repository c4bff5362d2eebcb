"""Mask R-CNN (He et al. 2017) on a pyramid of features."""

from swin_dense.heads.detection.config import MaskRCNNConfig
from swin_dense.heads.detection.roi_heads.standard import StandardRoIHeads
from swin_dense.heads.detection.two_stage import TwoStageDetector


class MaskRCNN(TwoStageDetector):
    """Mask R-CNN as released with Swin.

    Arguments as `TwoStageDetector`'s.
    """

    config: MaskRCNNConfig

    def build_roi_head(self) -> StandardRoIHeads:
        """See `TwoStageDetector`."""
        return StandardRoIHeads(self.config, strides=self.strides)
