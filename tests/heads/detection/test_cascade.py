"""Cascade Mask R-CNN: published names, assembly."""

import pytest
import torch

from swin_dense.heads.detection.cascade import CascadeMaskRCNN
from swin_dense.heads.detection.config import CascadeMaskRCNNConfig
from swin_dense.heads.variants import MODEL_VARIANTS


def test_defaults_are_the_released_models() -> None:
    config = MODEL_VARIANTS["cascade_mask_rcnn_swin_t"]
    assert isinstance(config, CascadeMaskRCNNConfig)
    assert config.rpn.allowed_border == 0
    assert config.rpn.train_max_proposals == 2000
    assert config.rpn.smooth_l1_beta == pytest.approx(1 / 9)
    with torch.device("meta"):
        model = CascadeMaskRCNN(config)
    shapes = {name: tuple(value.shape) for name, value in model.roi_head.state_dict().items()}
    assert shapes == released_roi_head_shapes()


def released_roi_head_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the RoI heads in the published COCO files."""
    shapes: dict[str, tuple[int, ...]] = {}
    for stage in range(3):
        box, mask = f"bbox_head.{stage}", f"mask_head.{stage}"
        layers: dict[str, tuple[int, ...]] = {
            f"{box}.shared_fcs.0": (1024, 256 * 49),
            f"{box}.fc_cls": (81, 1024),
            f"{box}.fc_reg": (320, 1024),
            f"{mask}.upsample": (256, 256, 2, 2),
            f"{mask}.conv_logits": (80, 256, 1, 1),
        }
        layers |= {f"{mask}.convs.{i}.conv": (256, 256, 3, 3) for i in range(4)}
        shapes |= {f"{name}.weight": shape for name, shape in layers.items()}
        shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()}
        for i in range(4):
            conv = f"{box}.shared_convs.{i}"
            shapes[f"{conv}.conv.weight"] = (256, 256, 3, 3)
            for name in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{conv}.bn.{name}"] = (256,)
            shapes[f"{conv}.bn.num_batches_tracked"] = ()
    return shapes
