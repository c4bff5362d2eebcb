"""Modules of a model with the shapes of what they give, their parameters and multiply-adds.

The model is run without values, on torch's `meta` device: so a large one costs no memory and
hardly time. Its products are noted by `torch.utils.flop_counter`, and belong to the innermost
module that runs them. Counted are matrix products (linear layers, attention, Swin-MLP's windows)
and convolutions, as the papers count "FLOPs": a multiplication and an addition are one. Not counted
are norms, activations, softmax, biases, sampling and resizing. The layers are those of the papers'
figures: what prediction saves by joining some is not taken off.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from swin_dense.tools.layers.passes import padded_size, run_network
from swin_dense.windowing.token_maps import TokenMaps

COUNTED = (
    "multiply-adds of matrix products and convolutions; not norms, activations, softmax, biases, "
    "sampling and resizing"
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A module, or a run of modules that are alike.

    Attributes:
        name: within its parent; of a run, from the first to the last.
        kind: name of the class.
        count: how many there are in the run.
        output: shape of what it gives, in words; of a run, the last one's. "" where it is not run.
        parameters: of all modules of the run, with those in them.
        multiply_adds: likewise.
        children: the modules in it; of a run, those of the first.
    """

    name: str
    kind: str
    count: int
    output: str
    parameters: int
    multiply_adds: int
    children: tuple["Layer", ...]


@dataclass(frozen=True)
class Counts:
    """A model at a size.

    Attributes:
        size: of the image, px.
        padded: what the model pads it to.
        note: what is assumed or left out.
        root: the model itself.
        outputs: what each module gave last, by its name within the model.
        totals: multiply-adds of each module with those in it, likewise.
    """

    size: tuple[int, int]
    padded: tuple[int, int]
    note: str
    root: Layer
    outputs: Mapping[str, Any]
    totals: Mapping[str, int]


def count_layers(build: Callable[[], nn.Module], size: tuple[int, int]) -> Counts:
    """Build a model without values, and count what it does with an image.

    Args:
        build: makes the model.
        size: (height, width) of the image, px.
    """
    with torch.device("meta"):
        module = build()
    module.eval()
    padded = padded_size(module, size)
    recorder = _Recorder(module)
    pixels = torch.empty(1, _in_channels(module), *padded, device="meta")
    with torch.enable_grad(), recorder:
        note = run_network(module, pixels)
    names = {child: name for name, child in module.named_modules()}
    outputs = {names[child]: output for child, output in recorder.outputs.items()}
    totals = {
        name: sum(recorder.products.get(inner, 0) for inner in child.modules())
        for child, name in names.items()
    }
    root = _describe("", module, recorder)
    return Counts(size, padded, note, root, outputs, totals)


def _in_channels(module: nn.Module) -> int:
    backbone = getattr(module, "backbone", module)
    return int(getattr(getattr(backbone, "config", None), "in_channels", 3))


class _Recorder:
    """Notes what each module gives, and the multiply-adds that it runs itself, not in a child."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.outputs: dict[nn.Module, Any] = {}
        self.products: dict[nn.Module, int] = {}
        self._counter = FlopCounterMode(display=False)
        self._running = [module]
        self._seen = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> None:
        for module in self.module.modules():
            self._hooks.append(module.register_forward_pre_hook(self._enter))
            self._hooks.append(module.register_forward_hook(self._leave))
        self._counter.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._assign()
        self._counter.__exit__(*error)
        for hook in self._hooks:
            hook.remove()

    def _assign(self) -> None:
        """Give what was counted since the last time to the module that runs."""
        total = self._counter.get_total_flops() // 2  # it counts multiplications and additions
        running = self._running[-1]
        self.products[running] = self.products.get(running, 0) + total - self._seen
        self._seen = total

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self._assign()
        self._running.append(module)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._assign()
        self._running.pop()
        self.outputs[module] = output


# -------------------------------------------------------------------------------------- the tree


def _describe(name: str, module: nn.Module, recorder: _Recorder) -> Layer:
    return Layer(
        name=name,
        kind=type(module).__name__,
        count=1,
        output=describe_output(recorder.outputs.get(module)),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        multiply_adds=sum(recorder.products.get(inner, 0) for inner in module.modules()),
        children=tuple(_fold(list(_children(module, "")), recorder)),
    )


def _children(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules in another, those of a list as if they were its own; none without parameters."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _children(child, f"{prefix}{name} ")
        elif any(True for _ in child.parameters()):
            yield f"{prefix}{name}", child


def _fold(children: list[tuple[str, nn.Module]], recorder: _Recorder) -> Iterator[Layer]:
    """Layers, neighbours in a list as one where they are alike."""
    start = 0
    while start < len(children):
        name, first = children[start]
        layer = _describe(name, first, recorder)
        key = _likeness(name, first, layer)
        stop = start + 1
        run = [layer]
        while stop < len(children):
            other_name, other = children[stop]
            other_layer = _describe(other_name, other, recorder)
            if key is None or _likeness(other_name, other, other_layer) != key:
                break
            run.append(other_layer)
            stop += 1
        yield layer if len(run) == 1 else _join(run)
        start = stop


def _likeness(name: str, module: nn.Module, layer: Layer) -> Any:
    """Properties in which modules of a list that are alike agree; None outside a list."""
    place, _, number = name.rpartition(" ")
    if not number.isdigit():
        return None
    shapes = tuple((key, tuple(value.shape)) for key, value in module.state_dict().items())
    return place, layer.kind, layer.output, shapes


def _join(run: list[Layer]) -> Layer:
    first, last = run[0], run[-1]
    return Layer(
        name=f"{first.name}-{last.name.rpartition(' ')[2]}",
        kind=first.kind,
        count=len(run),
        output=last.output,
        parameters=sum(layer.parameters for layer in run),
        multiply_adds=sum(layer.multiply_adds for layer in run),
        children=first.children,
    )


def describe_output(output: Any) -> str:
    """Shape of what a module gives: `1 x 96 x 56 x 56`; of several, each."""
    if isinstance(output, TokenMaps):
        return describe_output(output.tokens)
    if isinstance(output, Tensor):
        return " x ".join(map(str, output.shape))
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, list | tuple):
        parts = [text for part in output if (text := describe_output(part))]
        return ", ".join(parts[:1] + ([f"... ({len(parts)})"] if len(parts) > 1 else []))
    return ""
