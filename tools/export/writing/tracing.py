"""A graph traced for any image size."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any, cast

import torch
import torch.fx.experimental._config
import torchvision  # noqa: F401  (its operators)
from torch import Tensor
from torch.export import Dim, ExportedProgram

from swin_dense.heads.graphs import Graph
from swin_dense.ranges import LARGEST_SIDE, SMALLEST_SIDE
from swin_dense.windowing.window_attention import WindowAttention

# Neither square nor even: what holds of such numbers by chance must not become part of the graph.
TRACED_SIZE = (101, 142)
_TRACED_BATCH = 2
_LARGEST_BATCH = 1024


def trace(graph: Graph, device: torch.device, *, any_batch: bool = False) -> ExportedProgram:
    """Trace a graph with a symbolic height and width.

    Args:
        graph: in eval mode, on the device.
        device: where it runs.
        any_batch: whether the number of images is symbolic too; else it is 1.

    Raises:
        ValueError: it cannot be traced for sizes that vary, as some backbones cannot.
    """
    image = torch.zeros(
        _TRACED_BATCH if any_batch else 1, 3, *TRACED_SIZE, dtype=torch.uint8, device=device
    )
    side = Dim.DYNAMIC(min=SMALLEST_SIDE, max=LARGEST_SIDE)
    shape: dict[int, object] = {2: side, 3: side}
    if any_batch:
        shape[0] = Dim.DYNAMIC(min=1, max=_LARGEST_BATCH)
    _allow_few_boxes()
    try:
        with (
            torch.no_grad(),
            warnings.catch_warnings(),
            _sides_of_one(),
            _constant_biases(graph),
        ):
            warnings.simplefilter("ignore")
            return torch.export.export(
                graph,
                (image,),
                dynamic_shapes={"image": shape},
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except Exception as error:  # whatever a backbone of others does while it is traced
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"the model cannot be traced for images of any size: {reason}") from error


@contextmanager
def _constant_biases(graph: Graph) -> Iterator[None]:
    """Trace with the position biases of all blocks as constants."""
    with ExitStack() as stack:
        for module in graph.modules():
            if isinstance(module, WindowAttention):
                stack.enter_context(module.constant_bias())
        yield


@lru_cache(maxsize=1)
def _allow_few_boxes() -> None:
    """Tell tracers that suppression may keep one box, or none; torchvision says at least two."""

    @torch.library.register_fake("torchvision::nms")
    def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        count = torch.library.get_ctx().new_dynamic_size()
        return dets.new_empty(count, dtype=torch.int64)


@contextmanager
def _sides_of_one() -> Iterator[None]:
    """Trace so that a map's side may be 1 as well, which images of 32 px have at stride 32.

    By default a tracer takes it for granted that no size is 1 that is more where it traces.
    """
    with cast(Any, torch.fx.experimental._config).patch(backed_size_oblivious=True):
        yield
