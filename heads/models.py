"""Every whole model by name, and the one function that builds them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from swin_dense.backbone import SWIN_VARIANTS
from swin_dense.heads.detection.cascade import CascadeMaskRCNN, CascadeMaskRCNNConfig
from swin_dense.heads.detection.mask_rcnn import MaskRCNN, MaskRCNNConfig
from swin_dense.heads.segmentation.upernet import UPerNet, UPerNetConfig

ModelConfig = MaskRCNNConfig | CascadeMaskRCNNConfig | UPerNetConfig
Model = MaskRCNN | CascadeMaskRCNN | UPerNet

# Liu et al. 2021, Section 4.2; numbers of the heads are the defaults of their configs.
MODEL_VARIANTS: dict[str, ModelConfig] = {
    **{
        f"mask_rcnn_swin_{size}": MaskRCNNConfig(backbone=SWIN_VARIANTS[f"swin_{size}"])
        for size in "tsbl"
    },
    **{
        f"cascade_mask_rcnn_swin_{size}": CascadeMaskRCNNConfig(
            backbone=SWIN_VARIANTS[f"swin_{size}"]
        )
        for size in "tsbl"
    },
    **{
        f"upernet_{name}": UPerNetConfig(backbone=backbone)
        for name, backbone in SWIN_VARIANTS.items()
    },
}

_MODELS: dict[type, Callable[..., Model]] = {
    MaskRCNNConfig: MaskRCNN,
    CascadeMaskRCNNConfig: CascadeMaskRCNN,
    UPerNetConfig: UPerNet,
}


def create_model(
    name_or_config: str | ModelConfig,
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    category_ids: Sequence[int] | None = None,
) -> Model:
    """Build a whole model with random values; weights are loaded separately.

    Args:
        name_or_config: a name in `MODEL_VARIANTS`, or a config.
        num_classes: classes K without background; None: one per class name, else the config's.
        class_names: their names, or None.
        category_ids: their ids in the data set's annotations, or None.

    Returns:
        The model in training mode.

    Raises:
        ValueError: unknown name, or the numbers of classes, names and ids differ.
    """
    if isinstance(name_or_config, str):
        if name_or_config not in MODEL_VARIANTS:
            choices = ", ".join(MODEL_VARIANTS)
            raise ValueError(f"unknown model {name_or_config!r}; choose one of {choices}")
        config = MODEL_VARIANTS[name_or_config]
    else:
        config = name_or_config
    if type(config) not in _MODELS:
        choices = ", ".join(kind.__name__ for kind in _MODELS)
        raise ValueError(f"config must be one of {choices}, got {type(config).__name__}")
    if num_classes is None and class_names is not None:
        num_classes = len(class_names)
    if num_classes is not None:
        config = replace(config, num_classes=num_classes)
    return _MODELS[type(config)](config, class_names=class_names, category_ids=category_ids)
