"""Mask R-CNN: published names, assembly."""

import torch

from swin_dense.heads.detection.config import MaskRCNNConfig
from swin_dense.heads.detection.mask_rcnn import MaskRCNN
from swin_dense.heads.variants import MODEL_VARIANTS


def test_defaults_are_the_released_models() -> None:
    config = MODEL_VARIANTS["mask_rcnn_swin_t"]
    assert isinstance(config, MaskRCNNConfig)
    with torch.device("meta"):
        model = MaskRCNN(config)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    heads = {name: shape for name, shape in shapes.items() if not name.startswith("backbone.")}
    assert heads == released_head_shapes()


def released_head_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the heads in the published COCO files of Swin-T and S."""
    layers = {f"neck.lateral_convs.{i}.conv": (256, 96 * 2**i, 1, 1) for i in range(4)}
    layers |= {f"neck.fpn_convs.{i}.conv": (256, 256, 3, 3) for i in range(4)}
    layers |= {
        "rpn_head.rpn_conv": (256, 256, 3, 3),
        "rpn_head.rpn_cls": (3, 256, 1, 1),
        "rpn_head.rpn_reg": (12, 256, 1, 1),
        "roi_head.bbox_head.shared_fcs.0": (1024, 256 * 49),
        "roi_head.bbox_head.shared_fcs.1": (1024, 1024),
        "roi_head.bbox_head.fc_cls": (81, 1024),
        "roi_head.bbox_head.fc_reg": (320, 1024),
        "roi_head.mask_head.upsample": (256, 256, 2, 2),
        "roi_head.mask_head.conv_logits": (80, 256, 1, 1),
    }
    layers |= {f"roi_head.mask_head.convs.{i}.conv": (256, 256, 3, 3) for i in range(4)}
    shapes = {f"{name}.weight": shape for name, shape in layers.items()}
    return shapes | {f"{name}.bias": shape[:1] for name, shape in layers.items()}
