"""Importing this registers swin_dense_t, _s, _b, _l, _b_w12 and _l_w12 with timm.

Whatever makes its models with timm then knows them: timm itself, the `tu-` encoders of
segmentation_models_pytorch, transformers' `TimmBackbone`, anomalib.

    timm.create_model("swin_dense_t", features_only=True, out_indices=(1, 2, 3))

Images may have any size. `pretrained=True` loads Microsoft's classification weights, downloaded
when they are first used; the tag chooses which, as in "swin_dense_b.ms_in22k". Any other published
file: `pretrained_cfg_overlay={"file": NAME_OR_PATH}`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from swin_dense.adapters.extras import missing_extra

try:
    from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
except ModuleNotFoundError as error:
    raise missing_extra(error, what="swin_dense.adapters.timm_models", extra="timm") from error

from swin_dense.adapters.timm_swin import (
    FeatureMaps,
    TimmSwin,
    TimmSwinBackbone,
    TimmSwinClassifier,
)
from swin_dense.adapters.timm_weights import translate
from swin_dense.checkpoints.published import PUBLISHED, PublishedFile
from swin_dense.configs import SWIN_VARIANTS
from swin_dense.padding import PIXEL_MEAN, PIXEL_STD

__all__ = []  # timm adds the names of the models

# Of timm's own Swin; the model takes any size, so that they change nothing.
_ANY_SIZE = ("img_size", "strict_img_size", "dynamic_img_size")
_SOURCES = ("url", "hf_hub_id", "state_dict")
_FIELDS = {"in_chans": "in_channels"}  # timm's names of fields of `SwinConfig`
_NO_SEQUENCE = ("list", "dict")  # timm's wrappers of models that are a sequence of modules


def _timm_name(variant: str) -> str:
    return f"swin_dense_{variant.removeprefix('swin_')}"


def _read_tag(file: PublishedFile) -> str:
    """timm's word for what a model was trained on."""
    if file.num_classes != 1000:
        return "ms_in22k"
    return "ms_in22k_ft_in1k" if "22kto1k" in file.name else "ms_in1k"


def _describe_weights(file: PublishedFile) -> dict[str, Any]:
    """timm's words about a published classifier."""
    side = 384 if "384" in file.name else 224
    return {
        "file": file.name,
        "custom_load": True,
        "origin_url": file.url,
        "license": "mit",
        "num_classes": file.num_classes,
        "input_size": (3, side, side),
        "pool_size": (side // 32, side // 32),
        "crop_pct": 1.0 if side == 384 else 0.9,
        "interpolation": "bicubic",
        "mean": tuple(value / 255 for value in PIXEL_MEAN),
        "std": tuple(value / 255 for value in PIXEL_STD),
        "first_conv": "patch_embed.proj",
        "classifier": "head.fc",
    }


def _default_first(file: PublishedFile) -> float:
    """Sorts the file that `pretrained=True` means, with the best score, before the others."""
    return -file.scores.get("top-1", 0.0)


def _registered_name(file: PublishedFile) -> str:
    """Name of a published classifier with its tag: `swin_dense_t.ms_in1k`."""
    return f"{file.model.replace('classifier_swin', 'swin_dense')}.{_read_tag(file)}"


default_cfgs = generate_default_cfgs(
    {
        _registered_name(file): _describe_weights(file)
        for file in sorted(PUBLISHED.values(), key=_default_first)
        if file.task == "classification" and file.layout == "microsoft"
    }
)


@register_model
def swin_dense_t(pretrained: bool = False, **options: Any) -> Any:
    """Swin-T (Liu et al. 2021)."""
    return _create("swin_t", pretrained, options)


@register_model
def swin_dense_s(pretrained: bool = False, **options: Any) -> Any:
    """Swin-S (Liu et al. 2021)."""
    return _create("swin_s", pretrained, options)


@register_model
def swin_dense_b(pretrained: bool = False, **options: Any) -> Any:
    """Swin-B (Liu et al. 2021)."""
    return _create("swin_b", pretrained, options)


@register_model
def swin_dense_l(pretrained: bool = False, **options: Any) -> Any:
    """Swin-L (Liu et al. 2021)."""
    return _create("swin_l", pretrained, options)


@register_model
def swin_dense_b_w12(pretrained: bool = False, **options: Any) -> Any:
    """Swin-B with windows of 12 x 12 tokens (Liu et al. 2021)."""
    return _create("swin_b_w12", pretrained, options)


@register_model
def swin_dense_l_w12(pretrained: bool = False, **options: Any) -> Any:
    """Swin-L with windows of 12 x 12 tokens (Liu et al. 2021)."""
    return _create("swin_l_w12", pretrained, options)


def _create(variant: str, pretrained: bool, options: dict[str, Any]) -> Any:
    """Build a classifier, or a backbone where `features_only` asks for one.

    Args:
        variant: a name in `SWIN_VARIANTS`.
        pretrained: load weights.
        options: of `timm.create_model`; besides timm's own, any field of `SwinConfig`.

    Raises:
        ValueError: an option is out of range, or the weights do not fit.
        TypeError: an option is not known.
    """
    options = {name: value for name, value in options.items() if name not in _ANY_SIZE}
    output_stride = options.pop("output_stride", 32)
    if output_stride != 32:
        raise ValueError(
            f"output_stride must be 32 for swin_dense, which has no dilated stages, got "
            f"{output_stride}"
        )
    feature_cls = options.get("feature_cls", FeatureMaps)
    if feature_cls in _NO_SEQUENCE:
        raise ValueError(
            f"feature_cls must be getter, hook or fx for swin_dense, got {feature_cls!r}"
        )
    features_only = options.get("features_only", False)
    num_stages = len(options.get("depths", SWIN_VARIANTS[variant].depths))

    def build(**arguments: Any) -> TimmSwin:
        return _build(variant, features_only, arguments)

    return build_model_with_cfg(
        build,
        _timm_name(variant),
        pretrained,
        pretrained_filter_fn=_translate,
        feature_cfg={"out_indices": tuple(range(num_stages)), "feature_cls": feature_cls},
        **options | _choose_source(options),
    )


def _build(variant: str, features_only: bool, arguments: dict[str, Any]) -> TimmSwin:
    """The model of timm's arguments; those that are none of timm's are fields of the config."""
    head = {
        name: arguments.pop(name)
        for name in ("num_classes", "global_pool", "drop_rate")
        if name in arguments
    }
    place = {name: arguments.pop(name) for name in ("device", "dtype") if name in arguments}
    fields = {
        ("in_channels" if name == "in_chans" else name): arguments[name] for name in arguments
    }
    fields = {name: _tuple(value) for name, value in fields.items()}
    if not features_only:  # as in timm's own and all published classifiers
        fields.setdefault("shift_narrow_maps", False)
    config = dataclasses.replace(SWIN_VARIANTS[variant], **fields)
    if features_only:
        config = dataclasses.replace(config, out_indices=tuple(range(len(config.depths))))
        return TimmSwinBackbone(config, **place)
    return TimmSwinClassifier(config, **head, **place)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _choose_source(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that let our own reader load a file that is named, and timm whatever else is."""
    changed: dict[str, Any] = {}
    overlay = dict(options.get("pretrained_cfg_overlay") or {})
    if overlay.get("file"):
        overlay["custom_load"] = True
    elif any(overlay.get(source) for source in _SOURCES):
        overlay["file"] = None  # else the registered one
    if overlay:
        changed["pretrained_cfg_overlay"] = overlay
    chosen = options.get("pretrained_cfg")
    if isinstance(chosen, dict) and chosen.get("file"):
        changed["pretrained_cfg"] = chosen | {"custom_load": True}
    return changed


def _translate(state_dict: dict[str, Any], model: TimmSwin) -> dict[str, Tensor]:
    """A state dict that timm has read, under the model's names."""
    for entry in ("model", "state_dict"):
        state_dict = state_dict.get(entry, state_dict)
    return translate(model, state_dict)
