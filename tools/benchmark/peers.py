"""Other libraries' models of the same sizes, with random weights: for time and memory alone."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.config import FasterRCNNConfig, MaskRCNNConfig
from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.padding import PIXEL_MEAN, PIXEL_STD

_NUM_LEVELS = 4


def make_peer(name: str, config: ModelConfig, device: torch.device) -> Callable[[Tensor], Any]:
    """A peer as a function of an image `(3, H, W)` uint8.

    Args:
        name: "torchvision" or "transformers".
        config: of our model.
        device: where it runs.

    Raises:
        ValueError: it has no model of these sizes.
    """
    swin = config.backbone
    if not isinstance(swin, SwinConfig) or len(swin.out_indices) != _NUM_LEVELS:
        raise ValueError(f"{name} has no such backbone")
    torch.manual_seed(0)
    if name == "torchvision":
        assert isinstance(config, FasterRCNNConfig)
        return _torchvision_detector(config, swin, device)
    assert isinstance(config, UPerNetConfig)
    return _transformers_segmentor(config, swin, device)


def _torchvision_detector(
    config: FasterRCNNConfig, swin: SwinConfig, device: torch.device
) -> Callable[[Tensor], Any]:
    from torchvision.models.detection import FasterRCNN, MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import TwoMLPHead

    sides = tuple((int(config.rpn.anchor_scale * 2**level),) for level in range(2, 7))
    channels, box = config.fpn_channels, config.box
    kind = MaskRCNN if isinstance(config, MaskRCNNConfig) else FasterRCNN
    model = kind(
        _TorchvisionPyramid(swin, channels),
        num_classes=config.num_classes + 1,
        rpn_anchor_generator=AnchorGenerator(sides, (config.rpn.anchor_ratios,) * len(sides)),
        rpn_pre_nms_top_n_test=config.rpn.test_nms_pre,
        rpn_post_nms_top_n_test=config.rpn.test_max_proposals,
        box_head=TwoMLPHead(channels * box.roi_size**2, 1024),
        box_score_thresh=box.score_threshold,
        box_nms_thresh=box.nms_iou,
        box_detections_per_img=box.max_detections,
    )
    # Images come in the size that they are to be run at.
    model.transform.resize = lambda image, target=None: (image, target)
    model = model.eval().requires_grad_(False).to(device)
    return lambda image: model([image.to(device) / 255])[0]


class _TorchvisionPyramid(nn.Module):
    """torchvision's Swin Transformer and FPN."""

    def __init__(self, swin: SwinConfig, channels: int) -> None:
        super().__init__()
        from torchvision.models.swin_transformer import SwinTransformer
        from torchvision.ops.feature_pyramid_network import (
            FeaturePyramidNetwork,
            LastLevelMaxPool,
        )

        self.out_channels = channels
        self.features = SwinTransformer(
            patch_size=[swin.patch_size] * 2,
            embed_dim=swin.embed_dim,
            depths=list(swin.depths),
            num_heads=list(swin.num_heads),
            window_size=[swin.window_size] * 2,
            num_classes=1,
        ).features
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in swin.stage_channels)
        self.fpn = FeaturePyramidNetwork(
            list(swin.stage_channels), channels, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, pixels: Tensor) -> "OrderedDict[str, Tensor]":
        maps: OrderedDict[str, Tensor] = OrderedDict()
        tokens = pixels
        for place, part in enumerate(self.features):
            tokens = part(tokens)  # (B, H, W, C) from the first on
            if place % 2:  # behind the blocks of a stage
                normed = self.norms[place // 2](tokens)
                maps[str(place // 2)] = normed.permute(0, 3, 1, 2).contiguous()
        return self.fpn(maps)


def _transformers_segmentor(
    config: UPerNetConfig, swin: SwinConfig, device: torch.device
) -> Callable[[Tensor], Any]:
    import transformers

    swin_config: Any = transformers.SwinConfig  # whose fields its types do not know
    upernet_config: Any = transformers.UperNetConfig
    backbone = swin_config(
        embed_dim=swin.embed_dim,
        depths=list(swin.depths),
        num_heads=list(swin.num_heads),
        window_size=swin.window_size,
        out_features=[f"stage{i + 1}" for i in range(_NUM_LEVELS)],
    )
    model = transformers.UperNetForSemanticSegmentation(
        upernet_config(
            backbone_config=backbone,
            hidden_size=config.decoder_channels,
            num_labels=config.num_classes,
            use_auxiliary_head=False,
        )
    )
    model = model.eval().requires_grad_(False).to(device)
    mean, std = torch.tensor([PIXEL_MEAN, PIXEL_STD], device=device)[..., None, None]

    def predict(image: Tensor) -> Tensor:
        pixels = (image.to(device) - mean) / std
        return model(pixels[None]).logits[0].argmax(dim=0)

    return predict
