"""Config of image classifiers, and how the published ones are given their images."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, get_args

from swin_dense.configs import BackboneConfig, ShiftedWindowConfig
from swin_dense.heads.model_config import ModelConfig
from swin_dense.ranges import LENGTHS, Ranges

Publisher = Literal["microsoft", "timm", "torchvision", "huggingface"]
PUBLISHERS: tuple[Publisher, ...] = get_args(Publisher)

IMAGENET_1K, IMAGENET_22K = 1000, 21841  # classes

# Whose images a layout's files were evaluated on; files in any other were made from Microsoft's.
_PUBLISHERS: Mapping[str, Publisher] = {
    "timm": "timm",
    "torchvision": "torchvision",
    "huggingface": "huggingface",
    "huggingface_v4": "huggingface",
}
_STRIDE = 32  # px of a cell of the last stage, of which there is one window
# torchvision chose these after its training (its Swin_T_Weights, Swin_S_Weights, Swin_B_Weights).
_TORCHVISION_RESIZES = {"swin_t": 232, "swin_s": 246, "swin_b": 238}


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """The part of an image that a classifier is shown in evaluation; bicubic, as Pillow resizes.

    Attributes:
        resize: the short side is resized to this, px; without `keep_ratio` both sides are.
        crop: side of the square that is then cut from the centre, px.
        keep_ratio: keep the ratio of the sides.
    """

    ranges: ClassVar[Ranges] = {"resize": LENGTHS, "crop": LENGTHS}

    resize: int = 256
    crop: int = 224
    keep_ratio: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ValueError(
                f"a view's crop must be in 1..resize, got {self.crop} and a resize to {self.resize}"
            )


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(ModelConfig):
    """Everything that fixes a classifier (Liu et al. 2021, section 3.1 and appendix A1).

    Attributes:
        backbone: Swin Transformer, or a backbone of another kind (`--model.backbone NAME`). Of a
            Swin Transformer or a Swin-MLP the last stage alone is given out, with the final norm as
            its output norm, and maps no wider than a window are not shifted, as in the published
            classifiers.
        num_classes: classes K.
        label_smoothing: share of a label that is spread over all classes in training, 0..1.
        view: of the images that it is evaluated on, and predicts.
    """

    ranges: ClassVar[Ranges] = {"num_classes": (1, 100_000), "label_smoothing": (0, 1)}

    num_classes: int = IMAGENET_1K
    label_smoothing: float = 0.1
    view: ViewConfig = field(default_factory=ViewConfig)

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {self.num_classes}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        object.__setattr__(self, "backbone", _as_published(self.backbone))


def _as_published(backbone: BackboneConfig) -> BackboneConfig:
    """The config of a backbone as published classifiers have it: it gives no level which they do
    not look at, and does not shift a map that is a single row or column of windows.
    """
    if not isinstance(backbone, ShiftedWindowConfig):
        return backbone
    return replace(backbone, out_indices=(len(backbone.depths) - 1,), shift_narrow_maps=False)


def released_classifier(backbone: BackboneConfig, layout: str) -> ClassifierConfig:
    """The config of a published file, but for its number of classes.

    Args:
        backbone: as read off its weights.
        layout: name of its layout.
    """
    view = published_view(_PUBLISHERS.get(layout, "microsoft"), backbone)
    return ClassifierConfig(backbone=backbone, view=view)


def published_view(publisher: Publisher, backbone: BackboneConfig) -> ViewConfig:
    """Resize and crop of the images that a publisher evaluated a model on.

    A published Swin Transformer was trained on images of 32 times its window: 224, 256 or 384 px.
    Microsoft resizes to 8/7 of that and crops, from 384 px on it resizes to a square as it is
    (`build_transform` of its `data/build.py`, and its configs). timm crops 90 %, from 384 px on
    all (`crop_pct`). torchvision has a resize for each size, transformers a square.

    Args:
        publisher: whose.
        backbone: of the model; one without windows is taken for one of 224 px.
    """
    side = _STRIDE * backbone.window_size if isinstance(backbone, ShiftedWindowConfig) else 224
    if publisher == "huggingface":
        return ViewConfig(resize=side, crop=side, keep_ratio=False)
    if publisher == "timm":
        return ViewConfig(resize=side if side >= 384 else int(side / 0.9), crop=side)
    if publisher == "torchvision" and backbone.title in _TORCHVISION_RESIZES:
        return ViewConfig(resize=_TORCHVISION_RESIZES[backbone.title], crop=side)
    if side >= 384:
        return ViewConfig(resize=side, crop=side, keep_ratio=False)
    return ViewConfig(resize=256 * side // 224, crop=side)
