"""The graph of each part that can be exported: a whole model, its backbone, or backbone and FPN."""

from typing import ClassVar, cast

from torch import Tensor, nn

from swin_dense.heads.graphs import Graph, normalise, pad_to_multiple
from swin_dense.heads.models import find_spec
from swin_dense.heads.whole_model import Model
from swin_dense.protocol import Backbone


class BackboneGraph(Graph):
    """A backbone: of normalised images what it gives, no more.

    Args:
        backbone: a `protocol.Backbone`.

    Attributes:
        outputs: `level0`, `level1`, ...: `(B, C_i, ceil(H/s_i), ceil(W/s_i))` float32, fine to
            coarse.
        strides: s_i, px.
    """

    any_batch: ClassVar[bool] = True

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.strides = tuple(cast(Backbone, backbone).strides)
        self.outputs = tuple(f"level{i}" for i in range(len(self.strides)))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See `Graph`."""
        pixels = normalise(image, next(self.backbone.parameters()).dtype)
        return tuple(level.float() for level in self.backbone(pixels))


class PyramidGraph(Graph):
    """Backbone and FPN of a detector, of images padded as the detector pads them.

    Args:
        model: a detector.

    Attributes:
        outputs: as of `BackboneGraph`, without the padding's cells; the last level is the one that
            the RPN alone reads.
        strides: s_i, px.
    """

    any_batch: ClassVar[bool] = True

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone, self.neck = model.backbone, cast(nn.Module, model.neck)
        self.size_divisor = int(getattr(model.config, "size_divisor", 1))
        strides = tuple(model.pyramid.strides)
        self.strides = (*strides, 2 * strides[-1])
        self.outputs = tuple(f"level{i}" for i in range(len(self.strides)))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See `Graph`."""
        height, width = image.shape[-2:]
        pixels = normalise(image, next(self.backbone.parameters()).dtype)
        levels = self.neck(self.backbone(pad_to_multiple(pixels, self.size_divisor)))
        sizes = [((height + s - 1) // s, (width + s - 1) // s) for s in self.strides]
        return tuple(
            level[:, :, :h, :w].float() for level, (h, w) in zip(levels, sizes, strict=True)
        )


def make_graph(module: nn.Module, part: str) -> Graph:
    """Make the graph of a part.

    Args:
        module: a whole model or a backbone, in eval mode.
        part: "model", "backbone" or "pyramid".

    Raises:
        ValueError: the module has no such part, or its kind of models has no graph.
    """
    if part == "backbone":
        return BackboneGraph(module.backbone if isinstance(module, Model) else module)
    if not isinstance(module, Model):
        raise ValueError(f"--part {part} must have weights of a whole model; use --part backbone")
    if part == "pyramid":
        if not hasattr(module, "neck"):
            raise ValueError(
                f"--part pyramid must have weights of a detector with an FPN, got those of a "
                f"{find_spec(module.config).name}; use --part backbone"
            )
        return PyramidGraph(module)
    spec = find_spec(module.config)
    if spec.graph is None:
        raise ValueError(f"a {spec.name} has no graph to export; use --part backbone")
    return spec.graph(module)
