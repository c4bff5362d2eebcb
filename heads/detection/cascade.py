"""Cascade Mask R-CNN (Cai and Vasconcelos 2018, 2019) as released with Swin."""

from swin_dense.heads.detection.config import CascadeMaskRCNNConfig
from swin_dense.heads.detection.roi_heads.cascade import CascadeRoIHeads
from swin_dense.heads.detection.two_stage import TwoStageDetector


class CascadeMaskRCNN(TwoStageDetector):
    """Cascade Mask R-CNN as released with Swin.

    Arguments as `TwoStageDetector`'s.
    """

    config: CascadeMaskRCNNConfig

    def build_roi_head(self) -> CascadeRoIHeads:
        """See `TwoStageDetector`."""
        return CascadeRoIHeads(self.config, strides=self.strides)
