"""Mask R-CNN on Swin-T, ours and torchvision's: the same parts, sizes and random weights.

torchvision has the parts and no such model. Both here have FPN with 256 channels, the same anchors
and numbers of proposals, 81 classes with background, and no drop path. torchvision pads a batch to
its largest image; it neither resizes nor pads otherwise. What remains different is each one's own:
torchvision pools with 2 x 2 samples a bin, ours with as many as a bin has cells.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

import swin_dense as sd
from peers.backbones import TorchvisionStages
from swin_dense.heads import MODEL_VARIANTS, create_model
from swin_dense.heads.detection.config import MaskRCNNConfig

NAMES = ("swin_dense", "torchvision")
Images = Sequence[Tensor]
Targets = Sequence[dict[str, Tensor]]
Batch = tuple[Images, Targets]

# Module in ours: in torchvision's, and the rows of a layer of the classes that are not ours. Both
# have background as one class more, ours last and not at all in boxes and masks.
_SAME = {
    "rpn_head.rpn_conv": "rpn.head.conv.0.0",
    "rpn_head.rpn_cls": "rpn.head.cls_logits",
    "rpn_head.rpn_reg": "rpn.head.bbox_pred",
    "roi_head.bbox_head.shared_fcs.0": "roi_heads.box_head.fc6",
    "roi_head.bbox_head.shared_fcs.1": "roi_heads.box_head.fc7",
    "roi_head.mask_head.upsample": "roi_heads.mask_predictor.conv5_mask",
    **{f"backbone.norm{i}": f"backbone.body.norms.{i}" for i in range(4)},
    **{f"neck.lateral_convs.{i}.conv": f"backbone.fpn.inner_blocks.{i}.0" for i in range(4)},
    **{f"neck.fpn_convs.{i}.conv": f"backbone.fpn.layer_blocks.{i}.0" for i in range(4)},
    **{f"roi_head.mask_head.convs.{i}.conv": f"roi_heads.mask_head.{i}.0" for i in range(4)},
}
_DEVIATION = 2.0  # of a class's logits over the regions, in `spread_scores`
_CLASSIFIERS = ("roi_head.bbox_head.fc_cls", "roi_heads.box_predictor.cls_score")
_WITHOUT_BACKGROUND = {
    "roi_head.bbox_head.fc_reg": ("roi_heads.box_predictor.bbox_pred", 4),
    "roi_head.mask_head.conv_logits": ("roi_heads.mask_predictor.mask_fcn_logits", 1),
}


@dataclass(frozen=True)
class Detector:
    """A whole model as a benchmark calls it.

    Attributes:
        module: the model, in eval mode until it is trained.
        predict: `(3, H, W)` uint8 images of any sizes to results.
        losses: images and targets as our models take them to a dict of losses; after `.train()`.
        num_classes: without background.
    """

    module: nn.Module
    predict: Callable[[Images], Any]
    losses: Callable[[Images, Targets], dict[str, Tensor]]
    num_classes: int


def default_config() -> MaskRCNNConfig:
    """Mask R-CNN Swin-T without drop path."""
    config = MODEL_VARIANTS["mask_rcnn_swin_t"]
    assert isinstance(config, MaskRCNNConfig)
    return replace(config, backbone=replace(config.backbone, drop_path_rate=0.0))


def make_detector(
    name: str, device: torch.device, config: MaskRCNNConfig | None = None
) -> Detector:
    """One of `NAMES` with random weights of its own."""
    torch.manual_seed(0)
    make = _make_ours if name == "swin_dense" else _make_theirs
    return make(config or default_config(), device)


def make_detectors(
    device: torch.device, config: MaskRCNNConfig | None = None
) -> dict[str, Detector]:
    """Both, with the same random weights."""
    detectors = {name: make_detector(name, device, config) for name in NAMES}
    copy_weights(*(detectors[name].module for name in NAMES))
    return detectors


def training_step(detector: Detector) -> Callable[[Sequence[Batch]], None]:
    """A function that trains one step: losses, gradients and AdamW.

    It takes batches, whose gradients are added up before the weights change. The detector is set to
    training mode.
    """
    module = detector.module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-5, weight_decay=0.05)
    device = next(module.parameters()).device

    def step(batches: Sequence[Batch]) -> None:
        for images, targets in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                total = sum(detector.losses(images, targets).values())
            total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


@torch.no_grad()
def copy_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Give our model the weights of torchvision's."""
    features = theirs.get_submodule("backbone.body.stages").state_dict()
    sd.load_weights(ours.get_submodule("backbone"), dict(features))
    for our_name, their_name in _SAME.items():
        _copy(theirs.get_submodule(their_name), ours.get_submodule(our_name), lambda rows: rows)
    _copy(
        theirs.get_submodule(_CLASSIFIERS[1]),
        ours.get_submodule(_CLASSIFIERS[0]),
        lambda rows: rows.roll(-1, 0),
    )
    for our_name, (their_name, background) in _WITHOUT_BACKGROUND.items():
        _copy(
            theirs.get_submodule(their_name),
            ours.get_submodule(our_name),
            lambda rows, first=background: rows[first:],
        )


@torch.no_grad()
def spread_scores(detectors: dict[str, Detector], images: Images, *, num_candidates: int) -> None:
    """Change both classifiers so that a trained model's number of boxes passes the threshold.

    With random weights every region scores nearly the same for all classes, and either none or all
    pass. The logits of each class are spread around 0 over the regions of these images; then that
    of background is set so that on average `num_candidates` pairs of region and class of an image
    score above the threshold, as they must before the suppression.

    Args:
        detectors: of `make_detectors`.
        images: that ours is run on.
        num_candidates: an image; with 400 of a trained model's 100 and more are left.
    """
    ours, theirs = (detectors[name].module for name in NAMES)
    layers = [m.get_submodule(n) for m, n in zip((ours, theirs), _CLASSIFIERS, strict=True)]
    seen: list[Tensor] = []
    hook = layers[0].register_forward_hook(lambda *call: seen.append(call[2].float()))
    detectors[NAMES[0]].predict(images)
    hook.remove()
    logits = torch.cat(seen)  # (R, K + 1)
    scale = _DEVIATION / logits.std(dim=0)
    spread = (logits - logits.mean(dim=0)) * scale
    bias = (layers[0].bias - logits.mean(dim=0)) * scale
    bias[-1] += _background_shift(
        spread, threshold=ours.config.box.score_threshold, count=num_candidates * len(images)
    )
    layers[0].weight.mul_(scale[:, None])
    layers[0].bias.copy_(bias)
    layers[1].weight.copy_(layers[0].weight.roll(1, 0))
    layers[1].bias.copy_(layers[0].bias.roll(1, 0))


def _background_shift(logits: Tensor, *, threshold: float, count: int) -> float:
    """Addend to the last logit with which `count` scores of the others are above a threshold."""
    low, high = -50.0, 50.0
    for _ in range(50):
        middle = (low + high) / 2
        shifted = torch.cat([logits[:, :-1], logits[:, -1:] + middle], dim=1)
        if int((shifted.softmax(dim=1)[:, :-1] > threshold).sum()) > count:
            low = middle
        else:
            high = middle
    return high


def _make_ours(config: MaskRCNNConfig, device: torch.device) -> Detector:
    model = create_model(config).to(device).eval()
    return Detector(model, model.predict, model, config.num_classes)


def _make_theirs(config: MaskRCNNConfig, device: torch.device) -> Detector:
    """torchvision's takes floats in 0..1 and labels from 1."""
    sides = tuple((int(config.rpn.anchor_scale * 2**level),) for level in range(2, 7))
    model = MaskRCNN(
        SwinPyramid(config),
        num_classes=config.num_classes + 1,
        rpn_anchor_generator=AnchorGenerator(sides, (config.rpn.anchor_ratios,) * 5),
        rpn_pre_nms_top_n_train=config.rpn.train_nms_pre,
        rpn_post_nms_top_n_train=config.rpn.train_max_proposals,
        rpn_pre_nms_top_n_test=config.rpn.test_nms_pre,
        rpn_post_nms_top_n_test=config.rpn.test_max_proposals,
        box_score_thresh=config.box.score_threshold,
        box_detections_per_img=config.box.max_detections,
        box_batch_size_per_image=config.box.num_samples,
    )
    old = model.transform
    model.transform = PaddingTransform(
        old.min_size,
        old.max_size,
        old.image_mean,
        old.image_std,
        size_divisible=config.size_divisor,
    )
    model = model.to(device).eval()

    def scaled(images: Images) -> list[Tensor]:
        return [image.to(device) / 255 for image in images]

    @torch.no_grad()
    def predict(images: Images) -> Any:
        return model(scaled(images))

    def losses(images: Images, targets: Targets) -> dict[str, Tensor]:
        theirs = [
            {
                "boxes": target["boxes"],
                "labels": target["labels"] + 1,
                "masks": target["masks"].byte(),
            }
            for target in targets
        ]
        return model(scaled(images), theirs)

    return Detector(model, predict, losses, config.num_classes)


class PaddingTransform(GeneralizedRCNNTransform):
    """torchvision's preparation of a batch for images that have been resized already."""

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Leave the image as it is."""
        return image, target


class SwinPyramid(nn.Module):
    """torchvision's Swin Transformer with its FPN and a fifth, pooled level.

    Attributes:
        out_channels: of every level.
    """

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.out_channels = config.fpn_channels
        swin = config.backbone
        assert isinstance(swin, sd.SwinConfig)
        model = SwinTransformer(
            patch_size=[swin.patch_size] * 2,
            embed_dim=swin.embed_dim,
            depths=list(swin.depths),
            num_heads=list(swin.num_heads),
            window_size=[swin.window_size] * 2,
            stochastic_depth_prob=swin.drop_path_rate,
        )
        self.body = NormedStages(model.features, swin.stage_channels)
        self.fpn = FeaturePyramidNetwork(
            list(swin.stage_channels), config.fpn_channels, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, pixels: Tensor) -> "OrderedDict[str, Tensor]":
        """Five maps of `(B, 3, H, W)`, fine to coarse."""
        return self.fpn(self.body(pixels))


class NormedStages(nn.Module):
    """torchvision's stages with a norm after each, channels first."""

    def __init__(self, features: nn.Sequential, channels: Sequence[int]) -> None:
        super().__init__()
        self.stages = TorchvisionStages(features)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in channels)

    def forward(self, pixels: Tensor) -> "OrderedDict[str, Tensor]":
        """Four maps `(B, C_i, H_i, W_i)` of `(B, 3, H, W)`, fine to coarse."""
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for level, (norm, tokens) in enumerate(zip(self.norms, self.stages(pixels), strict=True)):
            maps[str(level)] = norm(tokens).permute(0, 3, 1, 2).contiguous()
        return maps


def _copy(source: nn.Module, target: nn.Module, choose: Callable[[Tensor], Tensor]) -> None:
    for name, value in source.named_parameters():
        target.get_parameter(name).copy_(choose(value))
