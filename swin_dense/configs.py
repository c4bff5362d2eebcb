"""Configs of backbones: numbers and strings, by which recipes, flags and files know a backbone.

Nothing of torch is imported here: a config imports the module that it describes when it builds it.
To add a kind: a subclass of `BackboneConfig`, and an entry in `BACKBONE_KINDS`, by which files that
hold such a backbone are read.
"""

import dataclasses
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swin_dense.ranges import Ranges, check_ranges

if TYPE_CHECKING:
    from torch import nn

ACTIVATION_NAMES = ("gelu", "gelu_tanh", "relu", "silu")  # of `blocks.ACTIVATIONS`


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(ABC):
    """Numbers and strings that fix a backbone, and what a recipe sets in any of them.

    Attributes:
        kind: how files name this class of configs; see `BACKBONE_KINDS`.
        drop_path_rate: stochastic depth of the last block, 0..1; rises linearly from 0.
        frozen_stages: -1 trains all; 0 freezes what stands before the first stage, n also stages 1
            to n with their output norms (as in mmdetection; Microsoft's code freezes one stage
            fewer).
        gradient_checkpointing: compute each block again in the backward pass to save memory.
    """

    kind: ClassVar[str]

    drop_path_rate: float = 0.0
    frozen_stages: int = -1
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.drop_path_rate < 1.0:
            raise ValueError(f"drop_path_rate must be in [0, 1), got {self.drop_path_rate}")

    @property
    @abstractmethod
    def title(self) -> str:
        """Name of the variant, or its sizes, for messages and tables."""

    @abstractmethod
    def build(self) -> "nn.Module":
        """Make the backbone, a `protocol.Backbone`, in training mode."""

    def without_pretrained(self) -> "BackboneConfig":
        """The config whose `build` reads no weights, for a model whose weights come from a file."""
        return self


@dataclass(frozen=True, kw_only=True)
class ShiftedWindowConfig(BackboneConfig):
    """Sizes and options of a hierarchy of blocks that work in (shifted) windows.

    Attributes:
        embed_dim: channels of stage 1; each further stage has twice as many.
        depths: blocks per stage.
        num_heads: heads per stage.
        window_size: side of a window, in tokens.
        patch_size: side of a patch, px.
        in_channels: channels of the image.
        mlp_ratio: width of the MLP's hidden layer over the stage's.
        activation: of the MLP, a name in `ACTIVATION_NAMES`.
        patch_norm: end the patch embedding in a norm; with `no-` it has none.
        shift_narrow_maps: shift the windows of maps whose short side is no longer than a window,
            too, as in the published detectors and segmentors; published classifiers do not.
        out_indices: stages, from 0, whose maps are given.
    """

    ranges: ClassVar[Ranges] = {
        "embed_dim": (1, 2**14),
        "depths": (1, 1000),
        "num_heads": (1, 2**14),
        "window_size": (1, 64),  # each pair of a window's tokens has numbers: window_size**4
        "patch_size": (1, 256),
        "in_channels": (1, 2**14),
        "mlp_ratio": (0, 64),
    }

    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 7
    patch_size: int = 4
    in_channels: int = 3
    mlp_ratio: float = 4.0
    activation: str = "gelu"
    patch_norm: bool = True
    shift_narrow_maps: bool = True
    out_indices: tuple[int, ...] = (0, 1, 2, 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("embed_dim", "window_size", "patch_size", "in_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.depths or min(self.depths) < 1:
            raise ValueError(f"depths must hold at least one block a stage, got {self.depths}")
        if len(self.num_heads) != len(self.depths):
            raise ValueError(
                "num_heads must have one number a stage like depths, "
                f"got {self.num_heads} and {self.depths}"
            )
        for channels, heads in zip(self.stage_channels, self.num_heads, strict=True):
            if heads < 1 or channels % heads:
                raise ValueError(
                    f"channels of a stage must be divisible by its num_heads, "
                    f"got {channels} and {heads}"
                )
        if not 0 < self.mlp_ratio < float("inf"):
            raise ValueError(f"mlp_ratio must be positive and finite, got {self.mlp_ratio}")
        if self.activation not in ACTIVATION_NAMES:
            choices = ", ".join(ACTIVATION_NAMES)
            raise ValueError(f"unknown activation {self.activation!r}; choose one of {choices}")
        stages = range(len(self.depths))
        indices = self.out_indices
        if not indices or list(indices) != sorted(set(indices)) or not set(indices) <= set(stages):
            raise ValueError(
                f"out_indices must be increasing stages of 0..{stages[-1]}, got {indices}"
            )
        if not -1 <= self.frozen_stages <= len(self.depths):
            raise ValueError(
                f"frozen_stages must be in -1..{len(self.depths)}, got {self.frozen_stages}"
            )
        check_ranges(self)

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.embed_dim * 2**stage for stage in range(len(self.depths)))

    def find_title(self, family: str, variants: "Mapping[str, ShiftedWindowConfig]") -> str:
        """Name of the variant of these sizes, or the family and the sizes."""
        sizes = ("embed_dim", "depths", "num_heads", "window_size")
        for name, variant in variants.items():
            if all(getattr(self, size) == getattr(variant, size) for size in sizes):
                return name
        return f"{family} ({', '.join(f'{size} {getattr(self, size)}' for size in sizes)})"


@dataclass(frozen=True, kw_only=True)
class SwinConfig(ShiftedWindowConfig):
    """A Swin Transformer: attention within windows, shifted by rolling the map.

    Attributes:
        qkv_bias: give query, key and value a bias; with `no-` they have none.
    """

    kind: ClassVar[str] = "swin"

    qkv_bias: bool = True

    @property
    def title(self) -> str:
        """Name of the variant of these sizes, or the sizes."""
        return self.find_title("Swin", SWIN_VARIANTS)

    def build(self) -> "nn.Module":
        """Make the Swin Transformer, with random values."""
        return _build("swin_dense.backbone", "SwinTransformer", self)


@dataclass(frozen=True, kw_only=True)
class SwinMLPConfig(ShiftedWindowConfig):
    """A Swin-MLP: a linear map over the tokens of a window, shifted by padding the map.

    The Swin-Mixer of Liu et al. 2021, table 10. Its weights are for one window; narrow maps are not
    shifted, as published.
    """

    kind: ClassVar[str] = "swin_mlp"

    shift_narrow_maps: bool = False

    @property
    def title(self) -> str:
        """Name of the variant of these sizes, or the sizes."""
        return self.find_title("Swin-MLP", SWIN_MLP_VARIANTS)

    def build(self) -> "nn.Module":
        """Make the Swin-MLP, with random values."""
        return _build("swin_dense.backbone", "SwinMLP", self)


# Liu et al. 2021, section 3.3; window 12 as in the files that were trained on 384 x 384 px. The
# last, with 24 channels a head, was released beside the SwinMLPs, for 256 x 256 px.
SWIN_VARIANTS: dict[str, SwinConfig] = {
    "swin_t": SwinConfig(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    "swin_s": SwinConfig(embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)),
    "swin_b": SwinConfig(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    "swin_l": SwinConfig(embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48)),
    "swin_b_w12": SwinConfig(
        embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=12
    ),
    "swin_l_w12": SwinConfig(
        embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window_size=12
    ),
    "swin_t_c24": SwinConfig(
        embed_dim=96, depths=(2, 2, 6, 2), num_heads=(4, 8, 16, 32), window_size=8
    ),
}

# Liu et al. 2021, table 10; D is the number of channels of a head. Released as SwinMLP, with C in
# place of D (`configs/swinmlp`); the tiny ones are for 256 x 256 px.
SWIN_MLP_VARIANTS: dict[str, SwinMLPConfig] = {
    "swin_mixer_t_d24": SwinMLPConfig(num_heads=(4, 8, 16, 32), window_size=8),
    "swin_mixer_t_d12": SwinMLPConfig(num_heads=(8, 16, 32, 64), window_size=8),
    "swin_mixer_t_d6": SwinMLPConfig(num_heads=(16, 32, 64, 128), window_size=8),
    "swin_mixer_b_d24": SwinMLPConfig(
        embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)
    ),
}

BACKBONE_VARIANTS: dict[str, ShiftedWindowConfig] = {**SWIN_VARIANTS, **SWIN_MLP_VARIANTS}


@dataclass(frozen=True, kw_only=True)
class TimmConfig(BackboneConfig):
    """A timm model by its name.

    Attributes:
        name: as `timm.create_model` knows it, such as "convnext_tiny" or "resnet50.a1_in1k".
        pretrained: start from timm's published weights, which timm downloads. Files of ours do not
            ask for them again: they hold the trained ones.
    """

    kind: ClassVar[str] = "timm"

    name: str
    pretrained: bool = False

    @property
    def title(self) -> str:
        """`timm` and the model's name."""
        return f"timm {self.name}"

    def build(self) -> "nn.Module":
        """Make the backbone.

        Raises:
            ValueError: see `adapters.timm_backbone.TimmBackbone`.
        """
        return _build("swin_dense.adapters.timm_backbone", "TimmBackbone", self)

    def without_pretrained(self) -> "TimmConfig":
        """The config whose `build` downloads nothing."""
        return TimmConfig(**{**vars(self), "pretrained": False})


BACKBONE_KINDS: dict[str, type[BackboneConfig]] = {
    config.kind: config for config in (SwinConfig, SwinMLPConfig, TimmConfig)
}


def find_backbone(name: str) -> BackboneConfig:
    """Config of a backbone by the name that flags give it.

    Args:
        name: a name in `BACKBONE_VARIANTS`, or `KIND:NAME` for a kind of config whose one required
            field is a name, such as `timm:convnext_tiny`.

    Raises:
        ValueError: there is no such variant or kind.
    """
    if name in BACKBONE_VARIANTS:
        return BACKBONE_VARIANTS[name]
    kind, colon, inner = name.partition(":")
    named = {
        kind: config
        for kind, config in BACKBONE_KINDS.items()
        if any(field.name == "name" for field in dataclasses.fields(config))
    }
    if colon and kind in named:
        return named[kind](name=inner)  # type: ignore[call-arg]
    choices = ", ".join([*BACKBONE_VARIANTS, *(f"{kind}:NAME" for kind in named)])
    raise ValueError(f"unknown backbone {name!r}; choose one of {choices}")


def _build(module: str, name: str, config: BackboneConfig) -> "nn.Module":
    """Module of that name made from the config; it stands above this file, and imports it."""
    backbone: nn.Module = getattr(importlib.import_module(module), name)(config)
    return backbone
