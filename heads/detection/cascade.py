"""Cascade R-CNN and Cascade Mask R-CNN (Cai and Vasconcelos 2018, 2019) as released with Swin."""

from typing import ClassVar

from swin_dense.heads.detection.config import CascadeMaskRCNNConfig, CascadeRCNNConfig
from swin_dense.heads.detection.roi_heads.cascade import CascadeRoIHeads
from swin_dense.heads.detection.two_stage import BOX_CLASS_LAYERS, MASK_HEAD, TwoStageDetector


class CascadeRCNN(TwoStageDetector):
    """Cascade R-CNN: the released Cascade Mask R-CNN without its mask heads.

    Arguments as `TwoStageDetector`'s.
    """

    optional_parts: ClassVar[tuple[str, ...]] = (MASK_HEAD,)

    config: CascadeRCNNConfig

    def build_roi_head(self) -> CascadeRoIHeads:
        """See `TwoStageDetector`."""
        return CascadeRoIHeads(self.config, strides=self.strides)


class CascadeMaskRCNN(TwoStageDetector):
    """Cascade Mask R-CNN as released with Swin.

    Arguments as `TwoStageDetector`'s.
    """

    class_layers: ClassVar[tuple[str, ...]] = (*BOX_CLASS_LAYERS, "conv_logits")
    gives_masks: ClassVar[bool] = True

    config: CascadeMaskRCNNConfig

    def build_roi_head(self) -> CascadeRoIHeads:
        """See `TwoStageDetector`."""
        return CascadeRoIHeads(self.config, strides=self.strides)
