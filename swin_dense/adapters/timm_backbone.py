"""Any timm model with a feature pyramid as a backbone (Wightman 2019, PyTorch Image Models).

timm's `features_only` gives the maps; here they are brought under the contract of `protocol`: the
levels of strides 4 to 32, any size of image, channels first.
"""

import difflib
import importlib
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.configs import TimmConfig
from swin_dense.hub_methods import HubMethods
from swin_dense.padding import ImageBatch
from swin_dense.pyramids import Pyramids

_STRIDES = (4, 8, 16, 32)
_POSITIONS = ("relative_position_bias_table", "pos_embed")


class TimmBackbone(HubMethods, nn.Module):
    """The levels of strides 4, 8, 16 and 32 of a timm model.

    Attributes:
        config: what it is made of.
        channels: of each map.
        strides: of each map, px.

    Raises:
        ValueError: timm is not installed, does not know the model, cannot fetch its weights or
            build it with these options; or the model has no such levels.
    """

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        self.config = config
        self.net = _create_net(config)
        info = self.net.feature_info
        reductions = info.reduction()
        if not set(_STRIDES) <= set(reductions):
            raise ValueError(
                f"a backbone must have maps of strides 4, 8, 16 and 32, got {reductions} in timm's "
                f"{config.name}; choose a model with a pyramid"
            )
        self._levels = [len(reductions) - 1 - reductions[::-1].index(s) for s in _STRIDES]
        self.channels = tuple(info.channels()[level] for level in self._levels)
        self.strides = _STRIDES
        self._is_channels_last = str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC")
        self._frozen = self._freeze([info.module_name()[level] for level in self._levels])

    def forward(self, images: Tensor | ImageBatch) -> list[Tensor]:
        """Compute the feature maps.

        The image is padded with zeros to a multiple of 32, which every model of timm takes, and
        each map is cut to the part that the image has.

        Args:
            images: `(B, 3, H, W)` float, normalised; any H and W from 1. Or a batch of images of
                any sizes, on which the net runs as `Pyramids.of` says.

        Returns:
            One contiguous `(B, C_i, ceil(H/s_i), ceil(W/s_i))` a level, fine to coarse.

        Raises:
            ValueError: the pixels have another shape, or are not floating point.
        """
        if isinstance(images, ImageBatch):
            return Pyramids.of(self, images).padded(images, self.strides)
        pixels = images
        if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
            raise ValueError(
                f"pixels must be (B, 3, H, W) with every side at least 1, got {tuple(pixels.shape)}"
            )
        if not pixels.is_floating_point():
            raise ValueError(f"pixels must be floating point and normalised, got {pixels.dtype}")
        height, width = pixels.shape[-2:]
        padded = F.pad(pixels, (0, -width % _STRIDES[-1], 0, -height % _STRIDES[-1]))
        maps = self.net(padded)
        features = []
        for level, stride in zip(self._levels, self.strides, strict=True):
            feature = maps[level]
            if self._is_channels_last:
                feature = feature.permute(0, 3, 1, 2)  # (B, C_i, H_i, W_i)
            cropped = feature[:, :, : -(-height // stride), : -(-width // stride)]
            features.append(cropped.contiguous())
        return features

    def train(self, mode: bool = True) -> "TimmBackbone":
        """Switch the mode; BatchNorm of frozen stages stays in eval mode, as in mmdetection."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def no_weight_decay(self) -> set[str]:
        """Names of norms, biases and position tables, as timm's own optimisers leave them out."""
        return {
            name
            for name, parameter in self.named_parameters()
            if parameter.ndim <= 1 or any(part in name for part in _POSITIONS)
        }

    def blocks(self) -> list[nn.Module]:
        """Outermost modules with children that stand in a sequence: stages, or their blocks."""
        return _find_blocks(self.net)

    def _freeze(self, level_modules: Sequence[str]) -> list[nn.Module]:
        """Freeze what `config.frozen_stages` says; the BatchNorms in it."""
        stages = self.config.frozen_stages
        if stages < 0:
            return []
        if not 1 <= stages <= len(level_modules):
            raise ValueError(
                f"frozen_stages must be -1 or in 1..{len(level_modules)} for a backbone of timm, "
                f"got {stages}"
            )
        last = level_modules[stages - 1].replace(".", "_")
        names = [name for name, _ in self.net.named_parameters()]
        ends = [
            i for i, name in enumerate(names) if f"{name.replace('.', '_')}_".startswith(f"{last}_")
        ]
        if not ends:
            raise ValueError(
                f"frozen_stages must be -1 for timm's {self.config.name}, whose stages cannot be "
                f"told apart, got {stages}"
            )
        frozen = set(names[: ends[-1] + 1])
        for name in frozen:
            self.net.get_parameter(name).requires_grad_(False)
        norms: list[nn.Module] = []
        for name, module in self.net.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and f"{name}.weight" in frozen:
                norms.append(module.eval())
        return norms


def _create_net(config: TimmConfig) -> Any:
    """timm's model; what goes wrong there becomes one line."""
    try:
        timm = importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"backbone timm:{config.name} needs timm, which is not installed; pip install timm"
        ) from error
    if not timm.is_model(config.name):
        near = difflib.get_close_matches(config.name, timm.list_models(), n=5)
        hint = f"; near are {', '.join(near)}" if near else ""
        raise ValueError(f"timm {timm.__version__} has no model {config.name!r}{hint}")
    options: dict[str, Any] = {"pretrained": config.pretrained, "features_only": True}
    if config.drop_path_rate:
        options["drop_path_rate"] = config.drop_path_rate
    try:
        try:  # timm's Swin has a fixed size without this option
            net = timm.create_model(config.name, strict_img_size=False, **options)
        except TypeError:
            net = timm.create_model(config.name, **options)
        if config.gradient_checkpointing:
            net.set_grad_checkpointing(True)
    except Exception as error:  # timm's models, and its downloads, raise what they please
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"timm cannot make {config.name} with {options} and gradient_checkpointing "
            f"{config.gradient_checkpointing}: {type(error).__name__}: {reason}"
        ) from error
    return net


def _find_blocks(module: nn.Module) -> list[nn.Module]:
    found = []
    for child in module.children():
        stands_in_sequence = isinstance(module, nn.Sequential | nn.ModuleList)
        has_parts = any(True for _ in child.children())
        if (
            stands_in_sequence
            and has_parts
            and not isinstance(child, nn.Sequential | nn.ModuleList)
        ):
            found.append(child)
        else:
            found += _find_blocks(child)
    return found
