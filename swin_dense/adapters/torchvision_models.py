"""A backbone with a feature pyramid under torchvision's detectors."""

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import (
    ExtraFPNBlock,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
)

from swin_dense.checkpoints.containers import read_checkpoint
from swin_dense.checkpoints.conversion import (
    ConvertedState,
    convert_checkpoint,
    convert_state_dict,
)
from swin_dense.checkpoints.loading import check_values, load_converted
from swin_dense.configs import BackboneConfig
from swin_dense.creation import Weights, create_backbone
from swin_dense.protocol import Backbone

_FPN_PARTS = {  # of our detectors' names: torchvision's
    "neck.lateral_convs.": "inner_blocks.",
    "neck.fpn_convs.": "layer_blocks.",
}


class TorchvisionBackbone(nn.Module):
    """The pyramid that torchvision's detectors ask of a backbone.

    Lin et al. 2017 (FPN), by torchvision's own operator.

    Args:
        body: gives the maps.
        out_channels: of each level.
        extra_blocks: torchvision's module that adds coarser levels; None: every second cell of the
            coarsest one, named "pool".

    Attributes:
        body: the backbone.
        fpn: the pyramid.
        out_channels: of each level.
    """

    def __init__(
        self, body: nn.Module, *, out_channels: int, extra_blocks: ExtraFPNBlock | None
    ) -> None:
        super().__init__()
        self.body = body
        self.out_channels = out_channels
        self.fpn = FeaturePyramidNetwork(
            list(cast(Backbone, body).channels), out_channels, extra_blocks or LastLevelMaxPool()
        )

    def forward(self, pixels: Tensor) -> OrderedDict[str, Tensor]:
        """Compute the pyramid.

        Args:
            pixels: `(B, 3, H, W)` float, normalised as torchvision's detectors do; any H and W.

        Returns:
            `(B, out_channels, ceil(H/s_i), ceil(W/s_i))` a level, fine to coarse, named "0", "1",
            ... and what `extra_blocks` adds.
        """
        maps = self.body(pixels)
        return self.fpn(OrderedDict((str(i), level) for i, level in enumerate(maps)))


def torchvision_backbone(
    variant: str | BackboneConfig,
    *,
    weights: Weights = None,
    out_channels: int = 256,
    extra_blocks: ExtraFPNBlock | None = None,
) -> TorchvisionBackbone:
    """Build a backbone with a pyramid for torchvision's MaskRCNN, FasterRCNN, RetinaNet and FCOS.

    For the levels 3 to 7 of RetinaNet and FCOS: a config with `out_indices=(1, 2, 3)`, and
    torchvision's `LastLevelP6P7(256, 256)` as `extra_blocks`.

    Args:
        variant: a name in `BACKBONE_VARIANTS`, or a backbone's config of any kind.
        weights: a published file or a state dict, see `load_weights`: of a classifier or a
            backbone; or of a whole detector, whose FPN is loaded as well. None for random values.
        out_channels: of each level.
        extra_blocks: see `TorchvisionBackbone`.

    Returns:
        The module in training mode.

    Raises:
        ValueError: unknown variant, or the weights do not fit.
        FileNotFoundError: there is no such file.
    """
    if weights is not None and not isinstance(variant, str):
        variant = variant.without_pretrained()
    backbone = TorchvisionBackbone(
        create_backbone(variant), out_channels=out_channels, extra_blocks=extra_blocks
    )
    if weights is not None:
        source, converted = _read(weights, backbone.body)
        fpn_state = _fit_fpn(backbone.fpn, converted, source=source)
        load_converted(backbone.body, converted, source=source)
        backbone.fpn.load_state_dict(fpn_state, strict=False)
    return backbone


def _read(
    weights: str | os.PathLike[str] | Mapping[str, Tensor], body: nn.Module
) -> tuple[str, ConvertedState]:
    if isinstance(weights, Mapping):
        return "the state dict", convert_state_dict(weights)
    checkpoint = read_checkpoint(weights)
    return checkpoint.source, convert_checkpoint(checkpoint)


def _fit_fpn(
    fpn: FeaturePyramidNetwork, converted: ConvertedState, *, source: str
) -> dict[str, Tensor]:
    """A detector's FPN under torchvision's names; empty where the file has none."""
    state = {}
    for key, value in converted.state.items():
        for ours, theirs in _FPN_PARTS.items():
            if key.startswith(ours):
                state[key.replace(ours, theirs).replace(".conv.", ".0.")] = value
    if not state:
        return state
    targets = {
        key: value for key, value in fpn.state_dict().items() if not key.startswith("extra_blocks")
    }
    stored, wanted = (_shapes(part) for part in (state, targets))
    if stored != wanted:
        differing = min(key for key, _ in stored.items() ^ wanted.items())
        raise ValueError(
            f"{source} does not fit the FPN of {len(fpn.inner_blocks)} levels and "
            f"{targets['layer_blocks.0.0.bias'].numel()} channels: {differing} is "
            f"{stored.get(differing, 'absent')} instead of "
            f"{wanted.get(differing, 'absent')}; or load the backbone alone, with "
            "load_weights(module.body, FILE)"
        )
    check_values(state, source=source)
    return state


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}
