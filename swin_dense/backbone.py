"""Swin Transformer and Swin-MLP as backbones: images of any size in, four feature maps out.

Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows". Results
are those of the published detection and segmentation backbones, whose weights load as they are.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.utils.checkpoint import checkpoint

from swin_dense.blocks import (
    OutputNorm,
    PatchEmbed,
    PatchMerging,
    SwinBlock,
    SwinMLPBlock,
    WindowBlock,
    chunk_tokens,
    permute,
)
from swin_dense.configs import ShiftedWindowConfig, SwinConfig, SwinMLPConfig
from swin_dense.hub_methods import HubMethods
from swin_dense.padding import ImageBatch
from swin_dense.pyramids import Pyramids
from swin_dense.tracing import one_node
from swin_dense.windowing.token_maps import TokenMaps
from swin_dense.windowing.window_mlp import WindowMLP
from swin_dense.windowing.window_plans import plan_blocks


class SwinTransformer(HubMethods, nn.Module):
    """Swin Transformer with a norm after each stage that is given out.

    Attributes:
        config: what it is made of.
        channels: of each map that is given.
        strides: of each map that is given, px.
    """

    config: ShiftedWindowConfig

    def __init__(self, config: ShiftedWindowConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = tuple(config.stage_channels[i] for i in config.out_indices)
        self.strides = tuple(config.patch_size * 2**i for i in config.out_indices)
        self.patch_embed = PatchEmbed(
            in_channels=config.in_channels,
            embed_dim=config.embed_dim,
            patch_size=config.patch_size,
            patch_norm=config.patch_norm,
        )
        self.layers = nn.ModuleList(SwinStage(config, i) for i in range(len(config.depths)))
        for i in config.out_indices:
            self.add_module(f"norm{i}", OutputNorm(config.stage_channels[i]))
        self.reset_parameters()
        self._freeze()

    def reset_parameters(self) -> None:
        """Draw the initial values: normal with deviation 0.02, cut at 2, for weights and tables."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d | nn.LayerNorm | WindowMLP):
                module.reset_parameters()
        for name, parameter in self.named_parameters():
            if name.endswith("relative_position_bias_table"):
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, images: Tensor | ImageBatch) -> list[Tensor]:
        """Compute the feature maps.

        Args:
            images: `(B, 3, H, W)` float, normalised; any H and W from 1. Or a batch of images of
                any sizes: each image's part of the maps is what the image gives alone, padded by
                itself to a multiple of the batch's `size_divisor`; beyond it they are zero.

        Returns:
            One contiguous `(B, C_i, ceil(H/s_i), ceil(W/s_i))` for each of `out_indices`, fine to
            coarse.

        Raises:
            ValueError: the pixels have another shape, or are not floating point.
        """
        if isinstance(images, ImageBatch):
            pyramids = Pyramids(images.size_groups, tuple(self.group_pyramids(images)))
            return pyramids.padded(images, self.strides)
        self.check_pixels(images)
        (pyramid,) = self._pyramids([images])
        return pyramid

    def group_pyramids(self, batch: ImageBatch) -> list[list[Tensor]]:
        """Compute the feature maps of images of any sizes, all images in one pass.

        Args:
            batch: images, each padded by itself to a multiple of `size_divisor`.

        Returns:
            For each of `batch.size_groups` its maps, as of `forward`.

        Raises:
            ValueError: as of `forward`.
        """
        self.check_pixels(batch.pixels)
        return self._pyramids([batch.group_pixels(group) for group in batch.size_groups])

    def _pyramids(self, groups: Sequence[Tensor]) -> list[list[Tensor]]:
        """The figure of the paper, for groups of images `(B_g, 3, H_g, W_g)`."""
        maps: TokenMaps = self.patch_embed(*groups)  # (B_g, H_g/4, W_g/4, C)
        pyramids: list[list[Tensor]] = [[] for _ in groups]
        for i, stage in enumerate(cast(Iterable[SwinStage], self.layers)):
            maps = stage(maps)  # (B_g, H_i, W_i, C_i)
            if i in self.config.out_indices:
                levels = maps.unpack()
                for g, pyramid in enumerate(pyramids):
                    pyramid.append(getattr(self, f"norm{i}")(levels[g]))  # (B_g, C_i, H_i, W_i)
            if stage.downsample is not None:
                maps = stage.downsample(maps)  # (B_g, H_i/2, W_i/2, 2*C_i)
        return pyramids

    def no_weight_decay(self) -> set[str]:
        """Names of norms and position tables (Liu et al. 2021, released `paramwise_cfg`); biases of
        linear layers and convolutions are decayed."""
        undecayed = ("relative_position_bias_table", "norm")
        return {
            name for name, _ in self.named_parameters() if any(part in name for part in undecayed)
        }

    def blocks(self) -> list[nn.Module]:
        """Blocks of all stages, fine to coarse."""
        return [module for module in self.modules() if isinstance(module, WindowBlock)]

    def check_pixels(self, pixels: Tensor) -> None:
        """Refuse pixels of another shape, or that are not floating point, with a ValueError."""
        if isinstance(pixels, Proxy):  # of a symbolic trace, without a shape
            return
        channels = self.config.in_channels
        if pixels.ndim != 4 or pixels.shape[1] != channels or 0 in pixels.shape:
            raise ValueError(
                f"pixels must be (B, {channels}, H, W) with every side at least 1, "
                f"got {tuple(pixels.shape)}"
            )
        if not pixels.is_floating_point():
            raise ValueError(
                f"pixels must be floating point and normalised, got {pixels.dtype}; "
                "batch_images makes them from uint8 images"
            )

    def _freeze(self) -> None:
        if self.config.frozen_stages >= 0:
            self.patch_embed.requires_grad_(False)
        for i in range(self.config.frozen_stages):
            self.layers[i].requires_grad_(False)
            if i in self.config.out_indices:
                getattr(self, f"norm{i}").requires_grad_(False)


class SwinMLP(SwinTransformer):
    """Swin-MLP: the hierarchy of the Swin Transformer, whose windows have a linear map over their
    tokens in place of attention, and are shifted by padding.

    Liu et al. 2021, table 10 ("Swin-Mixer"), and the released `swin_mlp.py`, whose images are of
    one size; of others the maps are padded to whole windows, as the Swin Transformer's.
    """

    config: SwinMLPConfig


class SwinStage(nn.Module):
    """The blocks of one resolution, and the patch merging that leads to the next."""

    def __init__(self, config: ShiftedWindowConfig, index: int) -> None:
        super().__init__()
        channels = config.stage_channels[index]
        first = sum(config.depths[:index])
        rate_step = config.drop_path_rate / max(1, sum(config.depths) - 1)
        self.window_size = config.window_size
        self.shift_narrow_maps = config.shift_narrow_maps
        self.gradient_checkpointing = config.gradient_checkpointing
        self.has_drop_path = config.drop_path_rate > 0
        self.blocks = nn.ModuleList(
            _make_block(
                config,
                index,
                shifted=j % 2 == 1 and config.window_size > 1,
                drop_path=rate_step * (first + j),
            )
            for j in range(config.depths[index])
        )
        is_last = index == len(config.depths) - 1
        self.downsample = None if is_last else PatchMerging(channels)

    @one_node
    def forward(self, maps: TokenMaps) -> TokenMaps:
        """`(B_g, H_g, W_g, C)` to the same, not yet downsampled."""
        tokens, sizes = maps
        plans, back = plan_blocks(
            sizes,
            [block.order for block in cast(Iterable[WindowBlock], self.blocks)],
            window=self.window_size,
            device=tokens.device,
            shift_narrow_maps=self.shift_narrow_maps,
            max_tokens=chunk_tokens(tokens),
            with_image_indices=self.training and self.has_drop_path,
        )
        for block, plan in zip(self.blocks, plans, strict=True):
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, plan, use_reentrant=False)
            else:
                tokens = block(tokens, plan)
        return TokenMaps(permute(tokens, back), sizes)


def _make_block(
    config: ShiftedWindowConfig, stage: int, *, shifted: bool, drop_path: float
) -> WindowBlock:
    """A block of the config's kind."""
    sizes: dict[str, Any] = {
        "num_heads": config.num_heads[stage],
        "window_size": config.window_size,
        "mlp_ratio": config.mlp_ratio,
        "activation": config.activation,
    }
    channels = config.stage_channels[stage]
    if isinstance(config, SwinMLPConfig):
        return SwinMLPBlock(channels, shifted=shifted, drop_path=drop_path, **sizes)
    assert isinstance(config, SwinConfig)
    qkv_bias = config.qkv_bias
    return SwinBlock(channels, shifted=shifted, drop_path=drop_path, qkv_bias=qkv_bias, **sizes)
