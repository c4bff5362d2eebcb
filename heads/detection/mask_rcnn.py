"""Faster R-CNN (Ren et al. 2015) and Mask R-CNN (He et al. 2017) on a pyramid of features."""

from typing import ClassVar

from swin_dense.heads.detection.config import FasterRCNNConfig, MaskRCNNConfig
from swin_dense.heads.detection.roi_heads.standard import StandardRoIHeads
from swin_dense.heads.detection.two_stage import BOX_CLASS_LAYERS, MASK_HEAD, TwoStageDetector


class FasterRCNN(TwoStageDetector):
    """Faster R-CNN: the released Mask R-CNN without its mask head.

    Arguments as `TwoStageDetector`'s.
    """

    optional_parts: ClassVar[tuple[str, ...]] = (MASK_HEAD,)

    config: FasterRCNNConfig

    def build_roi_head(self) -> StandardRoIHeads:
        """See `TwoStageDetector`."""
        return StandardRoIHeads(self.config, strides=self.strides)


class MaskRCNN(TwoStageDetector):
    """Mask R-CNN as released with Swin.

    Arguments as `TwoStageDetector`'s.
    """

    class_layers: ClassVar[tuple[str, ...]] = (*BOX_CLASS_LAYERS, "conv_logits")
    gives_masks: ClassVar[bool] = True

    config: MaskRCNNConfig

    def build_roi_head(self) -> StandardRoIHeads:
        """See `TwoStageDetector`."""
        return StandardRoIHeads(self.config, strides=self.strides)
