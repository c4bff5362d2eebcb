"""The Swin Transformer as timm's models are (Wightman 2019, PyTorch Image Models).

A classifier, and the backbone that `features_only` gives, which is ours with its output norms. Both
take images of any size, give their maps channels first, and load files in every layout that
`load_weights` knows.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from timm.layers import ClassifierHead
from timm.models._features import FeatureGetterNet, feature_take_indices
from torch import Tensor, nn

from swin_dense.adapters.stage_outputs import stage_outputs
from swin_dense.adapters.timm_weights import fit_timm_weights
from swin_dense.backbone import SwinStage, SwinTransformer
from swin_dense.blocks import OutputNorm
from swin_dense.checkpoints.containers import read_checkpoint
from swin_dense.checkpoints.conversion import convert_checkpoint, convert_state_dict
from swin_dense.configs import SwinConfig


class TimmSwin(SwinTransformer):
    """Methods that timm asks of the classifier and of the backbone alike.

    Args:
        config: what it is made of.
        device: where the parameters are made; None: where torch makes them.
        dtype: of the parameters; None: as torch has it.

    Attributes:
        in_chans: channels of the image.
        num_features: channels of the last map.
        feature_info: of each map: channels, stride (px), and the module whose output it is.
    """

    output_fmt = "NCHW"

    def __init__(
        self,
        config: SwinConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        with torch.device(device or torch.get_default_device()):
            super().__init__(config)
        self.to(dtype=dtype)
        self.in_chans = config.in_channels
        self.num_features = config.stage_channels[-1]
        self.feature_info = [
            {"num_chs": width, "reduction": config.patch_size * 2**i, "module": self.level_name(i)}
            for i, width in enumerate(config.stage_channels)
        ]

    def level_name(self, stage: int) -> str:
        """Module whose output is a stage's map."""
        raise NotImplementedError

    def level(self, stage: int, tokens: Tensor, *, norm: bool) -> Tensor:
        """`(B, H_i, W_i, C_i)` tokens of a stage to its `(B, C_i, H_i, W_i)` map."""
        raise NotImplementedError

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Groups of parameters by depth, for learning rates that fall with it.

        A patch merging and the norm of a map belong to the block before them.
        """
        with_block_before = (99999,)  # timm's word for it
        fine = [
            (r"^layers\.(\d+)\.blocks\.(\d+)", None),
            (r"^layers\.(\d+)\.downsample", with_block_before),
            (r"^norm(\d+)", with_block_before),
            (r"^norm\.", with_block_before),
        ]
        return {"stem": r"^patch_embed", "blocks": r"^(?:layers\.|norm)(\d+)" if coarse else fine}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute each block again in the backward pass, to save memory."""
        for stage in cast(Iterable[SwinStage], self.layers):
            stage.gradient_checkpointing = enable

    def set_input_size(self, img_size: int | tuple[int, int] | None = None) -> None:
        """Nothing: any size is taken as it is, where timm's own Swin is made for one."""

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Compute the maps of chosen stages.

        Args:
            x: `(B, 3, H, W)` float, normalised.
            indices: of stages, negative ones from the end; a number: so many last ones; None: all.
            norm: apply the final norm to the last stage's map. Maps of the backbone always have
                their own.
            stop_early: compute nothing beyond the last chosen stage.
            output_fmt: "NCHW".
            intermediates_only: give the maps alone.

        Returns:
            The `(B, C_i, H_i, W_i)` maps; behind the features as `forward_features` gives them
            unless `intermediates_only`.

        Raises:
            ValueError: another `output_fmt`.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be NCHW, got {output_fmt!r}")
        chosen, last_chosen = feature_take_indices(len(self.layers), indices)
        last = last_chosen if stop_early or intermediates_only else len(self.layers) - 1
        tokens = stage_outputs(self, x, {*chosen, last})
        maps = [self.level(i, tokens[i], norm=norm) for i in sorted(set(chosen))]
        return maps if intermediates_only else (self.level(last, tokens[last], norm=True), maps)

    def load_pretrained(self, source: str) -> None:
        """Load a published file, by name or path, as timm's `pretrained` loads its own.

        The first convolution is adapted to `in_chans`; a head of another number of classes, and
        what the file has not, keep their values.

        Args:
            source: see `load_weights`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file does not fit, see `load_weights`.
        """
        checkpoint = read_checkpoint(source)
        converted = convert_checkpoint(checkpoint)
        fitted = fit_timm_weights(self, converted, source=checkpoint.source, adapt=True)
        super().load_state_dict(fitted, strict=False)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load a state dict under this model's names, or in any layout that `load_weights` knows.

        Raises:
            RuntimeError: it does not fit, under this model's names.
            ValueError: it does not fit, in another layout.
        """
        names = self.state_dict().keys()
        if not set(state_dict) <= names:
            converted = convert_state_dict(state_dict)
            state_dict = fit_timm_weights(self, converted, source="the state dict", adapt=False)
            strict = False
        return super().load_state_dict(state_dict, strict=strict, assign=assign)


class TimmSwinBackbone(TimmSwin):
    """The backbone with its output norms, as `features_only` runs it."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Compute all maps, for hooks and tracers, and give the last: `(B, C, H/32, W/32)`."""
        return super().forward(x)[-1]

    def level_name(self, stage: int) -> str:
        """See `TimmSwin`; the norm gives the map channels first."""
        return f"norm{stage}"

    def level(self, stage: int, tokens: Tensor, *, norm: bool) -> Tensor:
        """See `TimmSwin`."""
        return self.get_submodule(f"norm{stage}")(tokens)  # (B, C_i, H_i, W_i)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop what the maps of chosen stages do not need; the stages from 0 that are left."""
        chosen, last = feature_take_indices(len(self.layers), indices)
        _cut_layers(self, last)
        for i in set(self.config.out_indices) - set(chosen):
            delattr(self, f"norm{i}")
        self.config = dataclasses.replace(self.config, out_indices=tuple(sorted(set(chosen))))
        self.channels = tuple(self.config.stage_channels[i] for i in self.config.out_indices)
        self.strides = tuple(self.config.patch_size * 2**i for i in self.config.out_indices)
        return chosen


class TimmSwinClassifier(TimmSwin):
    """Image classifier: the mean of the last map after a norm, and one linear layer.

    Liu et al. 2021, section 3.1 and the released `SwinTransformer`.

    Args:
        config: of its backbone; no map has a norm but the last.
        num_classes: classes; 0: the pooled features are given.
        global_pool: "avg", "max" or another of timm's; "": the map is given.
        drop_rate: dropout before the linear layer, 0..1.
        device: see `TimmSwin`.
        dtype: see `TimmSwin`.

    Attributes:
        num_classes: classes.
        head_hidden_size: channels that the linear layer takes.
    """

    norm: nn.Module
    head: ClassifierHead

    def __init__(
        self,
        config: SwinConfig,
        *,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        last = len(config.depths) - 1
        config = dataclasses.replace(config, out_indices=(last,))
        super().__init__(config, device=device, dtype=dtype)
        # under the name that classifiers give it
        self.norm = cast(nn.Module, self._modules.pop(f"norm{last}"))
        parameter = next(self.parameters())
        self.num_classes = num_classes
        self.head = ClassifierHead(
            self.num_features,
            num_classes,
            pool_type=global_pool,
            drop_rate=drop_rate,
            device=parameter.device,
            dtype=parameter.dtype,
        )
        if num_classes > 0:
            nn.init.trunc_normal_(self.head.fc.weight, std=0.02)
            nn.init.zeros_(self.head.fc.bias)
        self.head_hidden_size = self.head.num_features

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """`(B, 3, H, W)` normalised pixels to `(B, num_classes)` logits."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """`(B, 3, H, W)` normalised pixels to the normed last map, `(B, C, H/32, W/32)`."""
        last = len(self.layers) - 1
        return self.level(last, stage_outputs(self, x, {last})[last], norm=True)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """`(B, C, H/32, W/32)` features to logits; to the pooled features with `pre_logits`."""
        return self.head(x, pre_logits=pre_logits)

    def level_name(self, stage: int) -> str:
        """See `TimmSwin`."""
        return f"layers.{stage}"

    def level(self, stage: int, tokens: Tensor, *, norm: bool) -> Tensor:
        """See `TimmSwin`."""
        if norm and stage == len(self.config.depths) - 1 and isinstance(self.norm, OutputNorm):
            return self.norm(tokens)  # (B, C, H_i, W_i)
        return tokens.permute(0, 3, 1, 2).contiguous()  # (B, C_i, H_i, W_i)

    def get_classifier(self) -> nn.Module:
        """The linear layer."""
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Start the head anew.

        Args:
            num_classes: classes; 0: none.
            global_pool: see the class; None: as it is.
        """
        parameter = next(self.parameters())
        self.num_classes = num_classes
        self.head.reset(
            num_classes,
            pool_type=global_pool,
            in_features=self.num_features,
            device=parameter.device,
            dtype=parameter.dtype,
        )
        self.head_hidden_size = self.head.num_features

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop what the maps of chosen stages do not need.

        Args:
            indices: see `forward_intermediates`.
            prune_norm: drop the final norm.
            prune_head: drop the head; it goes with the last stage in any case.

        Returns:
            The stages, from 0, that are left.
        """
        chosen, last = feature_take_indices(len(self.layers), indices)
        is_cut = last < len(self.layers) - 1
        _cut_layers(self, last)
        if prune_norm or is_cut:
            self.norm = nn.Identity()
        if is_cut:
            self.num_features = self.config.stage_channels[last]
        if prune_head or is_cut:
            self.reset_classifier(0, "")
        return chosen


class FeatureMaps(FeatureGetterNet):
    """timm's wrapper of a backbone that gives its maps, which also checkpoints and loads files."""

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """See `TimmSwin`."""
        cast(TimmSwin, self.model).set_grad_checkpointing(enable)

    def no_weight_decay(self) -> set[str]:
        """See `TimmSwin`."""
        return {f"model.{name}" for name in cast(TimmSwin, self.model).no_weight_decay()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """See `TimmSwin`."""
        if any(key.startswith("model.") for key in state_dict):
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        return self.model.load_state_dict(state_dict, strict=strict, assign=assign)


def _cut_layers(model: TimmSwin, last: int) -> None:
    """Drop the stages behind the last one that is needed, and the way that leads to them."""
    model.layers = model.layers[: last + 1]
    cast(SwinStage, model.layers[last]).downsample = None
