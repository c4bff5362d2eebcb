"""The table of whole models, and the one function that builds them.

To add a model from outside: `add_model(ModelSpec(...))`. Everything else (building by name, files,
`inspect`, `--new-classes`, recipes) goes through this table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from swin_dense.checkpoints.containers import Checkpoint
from swin_dense.configs import BackboneConfig
from swin_dense.heads.classification.architecture import (
    is_classifier,
    read_classifier_config,
    released_class_names,
)
from swin_dense.heads.classification.classifier import Classifier
from swin_dense.heads.classification.config import ClassifierConfig, released_classifier
from swin_dense.heads.detection.architecture import (
    is_cascade_mask_rcnn,
    is_cascade_rcnn,
    is_faster_rcnn,
    is_mask_rcnn,
    read_detector_config,
)
from swin_dense.heads.detection.cascade import CascadeMaskRCNN, CascadeRCNN
from swin_dense.heads.detection.config import (
    CascadeMaskRCNNConfig,
    CascadeRCNNConfig,
    FasterRCNNConfig,
    MaskRCNNConfig,
    TwoStageDetectorConfig,
)
from swin_dense.heads.detection.graph.detector_graph import DetectorGraph
from swin_dense.heads.detection.mask_rcnn import FasterRCNN, MaskRCNN
from swin_dense.heads.graphs import Graph
from swin_dense.heads.mask2former.architecture import is_mask2former, read_mask2former_config
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.hub_config import complete_config
from swin_dense.heads.mask2former.model import Mask2Former
from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.segmentation.unet.architecture import is_unet, read_unet_config
from swin_dense.heads.segmentation.unet.config import UNetConfig
from swin_dense.heads.segmentation.unet.unet import UNet
from swin_dense.heads.segmentation.uper.architecture import is_upernet, read_upernet_config
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.heads.segmentation.uper.graph import UPerNetGraph
from swin_dense.heads.segmentation.uper.upernet import UPerNet
from swin_dense.heads.variants import MODEL_VARIANTS, variants_of
from swin_dense.heads.whole_model import Model
from swin_dense.ranges import check_ranges


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One kind of whole model.

    Attributes:
        name: of the kind, in files and in the names of its variants.
        config: class of its configs.
        model: class of its models.
        variants: configs by name.
        fits: whether weights under our names are of this kind; at most one kind says so.
        read_config: weights under our names, and a config that gives what they do not tell, to the
            config of what the weights hold; raises ValueError where they are of parts that are not
            known.
        complete_config: adds to what `read_config` gave what else a file that is not ours holds;
            None: nothing. Raises ValueError as `read_config`.
        graph: makes of a model of this kind the graph that is exported; None: it has none.
        released: config for a backbone's and the name of a layout, before weights are looked at;
            None: the defaults of `config`.
        released_names: names of the classes of a file that is not ours, from their number and the
            names that it stores, if any; None: those that it stores.
    """

    name: str
    config: type[ModelConfig]
    model: type[Model]
    variants: Mapping[str, ModelConfig]
    fits: Callable[[Mapping[str, Tensor]], bool]
    read_config: Callable[[Mapping[str, Tensor], Any], ModelConfig]
    complete_config: Callable[[Any, Checkpoint], ModelConfig] | None = None
    graph: Callable[[Any], Graph] | None = None
    released: Callable[[BackboneConfig, str], ModelConfig] | None = None
    released_names: Callable[[int, Sequence[str] | None], tuple[str, ...] | None] | None = None

    @property
    def class_layers(self) -> tuple[str, ...]:
        """Last names of the layers whose rows are the classes."""
        return self.model.class_layers

    @property
    def task(self) -> str:
        """Name of the task that it is trained and evaluated for."""
        return self.model.task


MODEL_SPECS: dict[str, ModelSpec] = {}


def add_model(spec: ModelSpec) -> None:
    """Put a kind of models into the table.

    Raises:
        ValueError: its name, or that of a variant, is taken.
    """
    taken = {spec.name} & MODEL_SPECS.keys()
    taken |= {
        name
        for name, config in spec.variants.items()
        if MODEL_VARIANTS.get(name, config) is not config  # ours are there from the start
    }
    if taken:
        raise ValueError(f"a model's name must be new, got {', '.join(sorted(taken))}")
    MODEL_SPECS[spec.name] = spec
    MODEL_VARIANTS.update(spec.variants)


_Fits = Callable[[Mapping[str, Tensor]], bool]
_DETECTORS: tuple[tuple[str, type[TwoStageDetectorConfig], type[Model], _Fits], ...] = (
    ("mask_rcnn", MaskRCNNConfig, MaskRCNN, is_mask_rcnn),
    ("cascade_mask_rcnn", CascadeMaskRCNNConfig, CascadeMaskRCNN, is_cascade_mask_rcnn),
    ("faster_rcnn", FasterRCNNConfig, FasterRCNN, is_faster_rcnn),
    ("cascade_rcnn", CascadeRCNNConfig, CascadeRCNN, is_cascade_rcnn),
)
for _name, _config, _model, _fits in _DETECTORS:
    add_model(
        ModelSpec(
            name=_name,
            config=_config,
            model=_model,
            variants=variants_of(_config),
            fits=_fits,
            read_config=read_detector_config,
            graph=DetectorGraph,
        )
    )
add_model(
    ModelSpec(
        name="upernet",
        config=UPerNetConfig,
        model=UPerNet,
        variants=variants_of(UPerNetConfig),
        fits=is_upernet,
        read_config=read_upernet_config,
        graph=UPerNetGraph,
    )
)
add_model(
    ModelSpec(
        name="unet",
        config=UNetConfig,
        model=UNet,
        variants=variants_of(UNetConfig),
        fits=is_unet,
        read_config=read_unet_config,
    )
)
add_model(
    ModelSpec(
        name="mask2former",
        config=Mask2FormerConfig,
        model=Mask2Former,
        variants=variants_of(Mask2FormerConfig),
        fits=is_mask2former,
        read_config=read_mask2former_config,
        complete_config=complete_config,
    )
)
add_model(
    ModelSpec(
        name="classifier",
        config=ClassifierConfig,
        model=Classifier,
        variants=variants_of(ClassifierConfig),
        fits=is_classifier,
        read_config=read_classifier_config,
        released=released_classifier,
        released_names=released_class_names,
    )
)


def find_spec(config: ModelConfig) -> ModelSpec:
    """The kind of models that a config is of.

    Raises:
        ValueError: no kind in the table has this class of configs.
    """
    for spec in MODEL_SPECS.values():
        if spec.config is type(config):
            return spec
    choices = ", ".join(spec.config.__name__ for spec in MODEL_SPECS.values())
    raise ValueError(f"config must be one of {choices}, got {type(config).__name__}")


def create_model(
    name_or_config: str | ModelConfig,
    *,
    backbone: BackboneConfig | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    category_ids: Sequence[int] | None = None,
) -> Model:
    """Build a whole model with random values; weights are loaded separately.

    Args:
        name_or_config: a name in `MODEL_VARIANTS`, or a config.
        backbone: a backbone's config of any kind, in place of the model's own.
        num_classes: classes K without background; None: one per class name, else the config's.
        class_names: their names, or None.
        category_ids: their ids in the data set's annotations, or None.

    Returns:
        The model in training mode.

    Raises:
        ValueError: unknown name, the numbers of classes, names and ids differ, or the backbone
            cannot be built or does not fit the heads.
    """
    if isinstance(name_or_config, str):
        if name_or_config not in MODEL_VARIANTS:
            choices = ", ".join(MODEL_VARIANTS)
            raise ValueError(f"unknown model {name_or_config!r}; choose one of {choices}")
        config = MODEL_VARIANTS[name_or_config]
    else:
        config = name_or_config
    spec = find_spec(config)
    check_ranges(config)
    if backbone is not None:
        config = replace(config, backbone=backbone)
    if num_classes is None and class_names is not None:
        num_classes = len(class_names)
    if num_classes is not None:
        config = replace(config, num_classes=num_classes)
    return spec.model(config, class_names=class_names, category_ids=category_ids)
