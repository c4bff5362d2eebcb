"""A backbone for transformers' `AutoBackbone`, under the model type "swin_dense"."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from swin_dense.adapters.extras import missing_extra

try:
    from transformers import AutoBackbone, AutoConfig, PreTrainedConfig, PreTrainedModel
    from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin
    from transformers.modeling_outputs import BackboneOutput
except ModuleNotFoundError as error:
    raise missing_extra(
        error, what="swin_dense.adapters.transformers_models", extra="transformers"
    ) from error

from swin_dense.adapters.stage_outputs import STEM, stage_outputs
from swin_dense.backbone import SwinTransformer
from swin_dense.configs import SWIN_VARIANTS, SwinConfig
from swin_dense.windowing.window_attention import WindowAttention


class SwinDenseConfig(BackboneConfigMixin, PreTrainedConfig):
    """Config of a backbone in transformers' words.

    Args:
        variant: a name in `SWIN_VARIANTS`, whose sizes hold where none are given.
        embed_dim: see `SwinConfig`, as all that has a name in it.
        depths: see there.
        num_heads: see there.
        window_size: see there.
        patch_size: see there.
        num_channels: channels of the image.
        mlp_ratio: see there.
        qkv_bias: see there.
        hidden_act: activation of the MLP, `SwinConfig.activation`.
        drop_path_rate: see there.
        initializer_range: deviation of initial weights.
        out_features: of "stem", "stage1" to "stage4", those whose maps are given; None: all stages.
        out_indices: the same by number, the stem being 0.

    Raises:
        ValueError: unknown variant or feature, or sizes that cannot be built.
    """

    model_type = "swin_dense"

    def __init__(
        self,
        variant: str = "swin_t",
        *,
        embed_dim: int | None = None,
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] | None = None,
        window_size: int | None = None,
        patch_size: int = 4,
        num_channels: int = 3,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        hidden_act: str = "gelu",
        drop_path_rate: float = 0.0,
        initializer_range: float = 0.02,
        out_features: list[str] | None = None,
        out_indices: Sequence[int] | None = None,
        **others: Any,
    ) -> None:
        if variant not in SWIN_VARIANTS:
            choices = ", ".join(SWIN_VARIANTS)
            raise ValueError(f"unknown variant {variant!r}; choose one of {choices}")
        sizes = SWIN_VARIANTS[variant]
        self.embed_dim = sizes.embed_dim if embed_dim is None else embed_dim
        self.depths = list(sizes.depths if depths is None else depths)
        self.num_heads = list(sizes.num_heads if num_heads is None else num_heads)
        self.window_size = sizes.window_size if window_size is None else window_size
        self.patch_size = patch_size
        self.num_channels = num_channels
        self.mlp_ratio = mlp_ratio
        self.qkv_bias = qkv_bias
        self.hidden_act = hidden_act
        self.drop_path_rate = drop_path_rate
        self.initializer_range = initializer_range
        self.hidden_size = self.embed_dim * 2 ** (len(self.depths) - 1)
        others.pop("stage_names", None)  # follow from the depths
        super().__init__(**others)
        stages = [f"stage{i + 1}" for i in range(len(self.depths))]
        self.stage_names = ["stem", *stages]
        if out_features is None and out_indices is None:
            out_features = stages
        indices = None if out_indices is None else list(out_indices)
        self.set_output_features_output_indices(out_features=out_features, out_indices=indices)

    @property
    def swin(self) -> SwinConfig:
        """The same in our words."""
        stages = tuple(index % len(self.stage_names) - 1 for index in self.out_indices)
        return SwinConfig(
            embed_dim=self.embed_dim,
            depths=tuple(self.depths),
            num_heads=tuple(self.num_heads),
            window_size=self.window_size,
            patch_size=self.patch_size,
            in_channels=self.num_channels,
            mlp_ratio=self.mlp_ratio,
            qkv_bias=self.qkv_bias,
            activation=self.hidden_act,
            drop_path_rate=self.drop_path_rate,
            out_indices=tuple(stage for stage in stages if stage != STEM) or (0,),
        )


class SwinDenseBackbone(BackboneMixin, PreTrainedModel):
    """Our backbone as transformers' models call one; images of any size.

    Attributes:
        swin: the backbone; `load_weights(model.swin, FILE)` loads any published file.
        num_features: channels of the stem and of each stage.
    """

    config_class = SwinDenseConfig
    base_model_prefix = "swin"
    main_input_name = "pixel_values"
    input_modalities = "image"
    supports_gradient_checkpointing = True
    has_attentions = False
    _no_split_modules = ["SwinStage"]  # noqa: RUF012 (transformers' own)
    _supports_sdpa = True

    def __init__(self, config: SwinDenseConfig) -> None:
        super().__init__(config)
        self.swin = SwinTransformer(config.swin)
        self.num_features = [config.embed_dim, *config.swin.stage_channels]
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> BackboneOutput | tuple[Any, ...]:
        """Compute the feature maps.

        Args:
            pixel_values: `(B, 3, H, W)` float, normalised; any H and W from 1.
            output_hidden_states: give the stem and every stage as well, before their norms.
            output_attentions: must not be asked for.
            return_dict: False: give a tuple.
            others: what transformers' models pass on to every backbone.

        Returns:
            `feature_maps`, a `(B, C_i, ceil(H/s_i), ceil(W/s_i))` for each of the config's
            `out_features`, and `hidden_states`, of the same kind.

        Raises:
            ValueError: see `SwinTransformer.forward`; or attentions are asked for; or, since the
                model was made, a stage was added to `out_features`, which has no norm.
        """
        if output_attentions:
            raise ValueError("output_attentions must be False: windows' attentions are not kept")
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        chosen = [self.stage_names.index(name) - 1 for name in self.out_features]
        feature_maps: Any  # transformers' annotation says one map
        hidden_states = None
        if output_hidden_states or chosen != list(self.swin.config.out_indices):
            everything = range(STEM, len(self.config.depths))
            stages = everything if output_hidden_states else chosen
            outputs = stage_outputs(self.swin, pixel_values, stages)
            feature_maps = tuple(self._map(stage, outputs[stage]) for stage in chosen)
            if output_hidden_states:
                hidden_states = tuple(_channels_first(outputs[stage]) for stage in everything)
        else:
            feature_maps = tuple(self.swin(pixel_values))
        output = BackboneOutput(feature_maps=feature_maps, hidden_states=hidden_states)
        if return_dict is None:
            return_dict = self.config.return_dict
        return output if return_dict else output.to_tuple()

    def _map(self, stage: int, tokens: Tensor) -> Tensor:
        if stage == STEM:
            return _channels_first(tokens)
        norm = getattr(self.swin, f"norm{stage}", None)
        if norm is None:
            raise ValueError(
                "out_features must be of those that the model was made with, got "
                f"stage{stage + 1}, which has no norm; give it to the config"
            )
        return norm(tokens)  # (B, C_i, H_i, W_i)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw what a file has not: as `SwinTransformer.reset_parameters`, module by module."""
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, WindowAttention):
            nn.init.trunc_normal_(module.relative_position_bias_table, std=std)


def register_with_transformers() -> None:
    """Let `AutoConfig` and `AutoBackbone` know the model type "swin_dense"; again does no harm.

    Every model of transformers that asks `AutoBackbone` for its backbone takes ours then:

        config = AutoConfig.for_model("swin_dense", variant="swin_s")
        UperNetForSemanticSegmentation(UperNetConfig(backbone_config=config))
    """
    AutoConfig.register(SwinDenseConfig.model_type, SwinDenseConfig, exist_ok=True)
    AutoBackbone.register(SwinDenseConfig, SwinDenseBackbone, exist_ok=True)


def _channels_first(tokens: Tensor) -> Tensor:
    return tokens.permute(0, 3, 1, 2).contiguous()  # (B, C, H, W)
