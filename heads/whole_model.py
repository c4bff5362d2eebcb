"""A whole model: a backbone of any kind and its heads, with two doors, losses and results."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from swin_dense.heads.model_config import ModelConfig
from swin_dense.hub_methods import HubMethods
from swin_dense.padding import ImageBatch
from swin_dense.protocol import Backbone


class Model(HubMethods, nn.Module):
    """Whole model; a subclass adds the heads and fills in the two doors.

    Args:
        config: what the model is made of.
        backbone: stands in for the one that the config describes.
        class_names: one for each class, or None.
        category_ids: the id of each class in the data set's annotations, or None.

    Attributes:
        config: what the model is made of.
        class_names: name of each label, if known.
        category_ids: id that each label is written with, if the data set has its own.
        backbone: gives the pyramid.
        task: name of the task that it is trained and evaluated for.
        class_layers: last names of the layers whose rows are the classes; they start anew where a
            file has other classes.
        optional_parts: beginnings of the names of parts that this model does not have and related
            ones do; a training that starts from such a file leaves them out.
        is_resized_by_pillow: whether images were resized by Pillow's filter for the published
            scores of such models; else by OpenCV's.

    Raises:
        ValueError: there is another number of names or ids than of classes.
    """

    hub_module = "swin_dense.heads.pretrained"
    task: ClassVar[str]
    class_layers: ClassVar[tuple[str, ...]]
    optional_parts: ClassVar[tuple[str, ...]] = ()
    is_resized_by_pillow: ClassVar[bool] = False

    config: ModelConfig

    def __init__(
        self,
        config: ModelConfig,
        *,
        backbone: nn.Module | None = None,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        for name, values in (("class_names", class_names), ("category_ids", category_ids)):
            if values is not None and len(values) != config.num_classes:
                raise ValueError(
                    f"{name} must have one entry for each of {config.num_classes} classes, "
                    f"got {len(values)}"
                )
        self.config = config
        self.class_names = None if class_names is None else tuple(class_names)
        self.category_ids = None if category_ids is None else tuple(category_ids)
        self.backbone = config.backbone.build() if backbone is None else backbone

    @property
    def pyramid(self) -> Backbone:
        """The backbone by its protocol: channels, strides, and what training asks of it."""
        return cast(Backbone, self.backbone)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that the optimiser does not decay.

        The backbone says which of its own; of the heads, as in the released configurations
        (`paramwise_cfg`), those whose name contains "norm". Biases, and BatchNorm, which is called
        "bn", are decayed.
        """
        heads = {name for name, _ in self.named_parameters() if not name.startswith("backbone.")}
        return self._undecayed_backbone() | {name for name in heads if "norm" in name}

    def _undecayed_backbone(self) -> set[str]:
        return {f"backbone.{name}" for name in self.pyramid.no_weight_decay()}

    def adapt_weights(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of a file that a training starts from, as this model takes them over; these are
        taken as they are. `state` is under our names."""
        return state

    def forward(
        self, images: Sequence[Tensor] | ImageBatch, targets: Sequence[Any]
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            targets: one an image, of the task's kind.

        Returns:
            Scalars, already weighted: their sum is what to minimise.
        """
        raise NotImplementedError

    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[Any]:
        """Give the results, as in eval mode whatever the mode of the model.

        Args:
            images: `(3, H, W)` uint8 RGB each, or a batch of them.
            original_sizes: (height, width) of each image before it was resized; results are then in
                that frame. None: results are in the frame of the images given.

        Returns:
            One an image, of the task's kind.
        """
        raise NotImplementedError


def result_sizes(
    batch: ImageBatch, original_sizes: Sequence[tuple[int, int]] | None
) -> list[tuple[int, int]]:
    """The (height, width) that the result of each image shall have: the image's own, or as asked.

    Raises:
        ValueError: there is another number of sizes than of images, or one is below 1 px.
    """
    if original_sizes is None:
        return list(batch.sizes)
    if len(original_sizes) != len(batch):
        raise ValueError(
            f"original_sizes must be one an image, got {len(original_sizes)} for {len(batch)} "
            "images"
        )
    sizes = [(int(height), int(width)) for height, width in original_sizes]
    if any(min(size) < 1 for size in sizes):
        raise ValueError(f"original_sizes must be at least 1 px, got {sizes}")
    return sizes
