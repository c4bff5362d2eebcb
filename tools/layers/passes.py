"""Forward passes of a model's prediction, for tensors that have shapes and no values.

Boxes and masks that are chosen by their scores have no number without values; of these the largest
number is taken that the model's config allows, as publishers do.
"""

from torch import Tensor, nn

from swin_dense.configs import ShiftedWindowConfig
from swin_dense.heads.classification.classifier import Classifier
from swin_dense.heads.detection.config import CascadeMaskRCNNConfig, MaskRCNNConfig
from swin_dense.heads.detection.two_stage import TwoStageDetector
from swin_dense.heads.mask2former.decoders.query_decoder import mask_logits
from swin_dense.heads.mask2former.model import Mask2Former
from swin_dense.heads.segmentation.segmentor import Segmentor
from swin_dense.heads.segmentation.uper.uper_head import UPerHead
from swin_dense.heads.whole_model import Model

# (height, width) in px by the task of the model: as published where there is one.
DEFAULT_SIZES = {
    "detection": (800, 1216),
    "panoptic": (800, 1216),
    "segmentation": (512, 512),
}
BACKBONE_SIZE = (224, 224)


def default_size(module: nn.Module) -> tuple[int, int]:
    """The (height, width) that a model is looked at where none is given, px: a classifier's crop,
    800 x 1216 for objects, 512 x 512 for label maps; of a backbone alone that whose last map is one
    window, such as 224 x 224."""
    if isinstance(module, Classifier):
        return module.config.view.crop, module.config.view.crop
    if isinstance(module, Model):
        return DEFAULT_SIZES.get(module.task, BACKBONE_SIZE)
    config = getattr(module, "config", None)
    if isinstance(config, ShiftedWindowConfig):
        side = config.window_size * config.patch_size * 2 ** (len(config.depths) - 1)
        return side, side
    return BACKBONE_SIZE


def padded_size(module: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """The size up to which a model pads a single image."""
    divisor = int(getattr(getattr(module, "config", None), "size_divisor", 1))
    height, width = (-(-side // divisor) * divisor for side in size)
    return height, width


def run_network(module: nn.Module, pixels: Tensor) -> str:
    """Run the layers that a prediction runs, as the papers' figures have them.

    Gradients must be recorded: without, some layers are joined, or computed with fewer products.

    Args:
        module: a whole model or a backbone, in eval mode.
        pixels: `(1, 3, H, W)`, without values or with.

    Returns:
        What is assumed or left out, a sentence; empty where nothing is.
    """
    if not isinstance(module, Model):
        module(pixels)
        return ""
    levels = module.backbone(pixels)
    if isinstance(module, Classifier):
        module.head(levels[-1].mean((2, 3)))
    elif isinstance(module, Segmentor):
        if isinstance(module.decode_head, UPerHead):
            module.decode_head.fast = False
        module.decode_head(levels)
    elif isinstance(module, Mask2Former):
        decoded = module.pixel_decoder(levels)
        (state,) = module.query_decoder(decoded, last_only=True)
        mask_logits(state.mask_embeddings, decoded.mask_features)
    elif isinstance(module, TwoStageDetector):
        return _run_detector(module, levels)
    else:
        return "The heads are of a kind whose forward is not known here; they are not counted."
    return ""


def _run_detector(module: TwoStageDetector, levels: list[Tensor]) -> str:
    """FPN, RPN and RoI heads."""
    config = module.config
    pyramid = module.neck(levels)
    module.rpn_head(pyramid)
    num_proposals = config.rpn.test_max_proposals
    side, channels = config.box.roi_size, config.fpn_channels
    box_heads = module.roi_head.get_submodule("bbox_head")
    for head in box_heads if isinstance(box_heads, nn.ModuleList) else [box_heads]:
        head(levels[0].new_empty(num_proposals, channels, side, side))
    if not isinstance(config, MaskRCNNConfig | CascadeMaskRCNNConfig):
        return f"Box heads: {num_proposals} proposals."
    side = config.mask.roi_size
    for head in module.roi_head.mask_heads:
        head(levels[0].new_empty(config.box.max_detections, channels, side, side))
    return f"Box heads: {num_proposals} proposals; mask heads: {config.box.max_detections} objects."
