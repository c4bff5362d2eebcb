"""Time Swin-T's feature pyramid beside torchvision, timm and transformers.

    python benchmarks/backbone.py [--device cuda] [--rounds 15]

One process, all candidates in turn within each round, medians. Peers that are not installed are
left out. `products` is the limit: the linear layers' matrix products alone, on the same shapes,
with a buffer of their own each, timed in the same rounds. On a GPU each candidate also runs
compiled.
"""

import argparse
import warnings
from collections.abc import Callable
from functools import partial

import torch
from measuring.machine import describe_machine
from measuring.timing import time_in_turn
from peers.backbones import SWIN_T_PEERS
from torch import Tensor, nn

import swin_dense as sd

CPU_SHAPES = ((8, 224, 224), (1, 512, 512), (1, 800, 1216))
GPU_SHAPES = ((32, 224, 224), (1, 512, 512), (8, 800, 1216))


def main() -> None:
    """Print one row per type and shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    device = torch.device(arguments.device)
    print(f"Swin-T, eval, {describe_machine(device)}; milliseconds, medians")
    header: list[str] = []
    for dtype in (torch.float32, torch.bfloat16) if device.type == "cpu" else (torch.bfloat16,):
        for batch, height, width in CPU_SHAPES if device.type == "cpu" else GPU_SHAPES:
            pixels = torch.randn(batch, 3, height, width, dtype=dtype, device=device)
            candidates = make_candidates((height, width), pixels)
            runs = {name: partial(run, pixels) for name, run in candidates.items()}
            with torch.no_grad():
                seconds = time_in_turn(runs, rounds=arguments.rounds, warmups=2, device=device)
            medians = {name: 1000 * value for name, value in seconds.items()}
            if list(medians) != header:
                header = list(medians)
                print(
                    f"{'':>26}", *(f"{name:>14}" for name in header), "   peer/ours  products/ours"
                )
            peers = [ms for name, ms in medians.items() if name not in ("swin_dense", "products")]
            ours = medians["swin_dense"]
            row = f"{str(dtype)[6:]:>8} {f'{batch}x{height}x{width}':>17}"
            fastest = min(peers, default=float("nan"))
            ratios = f"{fastest / ours:12.2f} {medians['products'] / ours:14.2f}"
            print(row, *(f"{ms:14.1f}" for ms in medians.values()), ratios, flush=True)


def make_candidates(size: tuple[int, int], pixels: Tensor) -> dict[str, Callable[[Tensor], object]]:
    """Name to what computes the four maps; `products` ignores its input."""
    dtype, device = pixels.dtype, pixels.device
    modules: dict[str, nn.Module] = {"swin_dense": sd.create_backbone("swin_t")}
    for name, make in SWIN_T_PEERS.items():
        try:
            modules[name] = make(size)
        except ImportError:
            print(f"{name} is not installed")
    candidates: dict[str, Callable[[Tensor], object]] = {}
    for name, module in modules.items():
        module.eval().to(device, dtype)
        candidates[name] = module
        if device.type == "cuda":
            candidates[f"{name}+compile"] = torch.compile(module)
    candidates["products"] = Products(modules["swin_dense"], pixels)
    return candidates


class Products:
    """The matrix products of every linear layer and of the patch embedding, and nothing else."""

    def __init__(self, backbone: nn.Module, pixels: Tensor) -> None:
        shapes: list[tuple[int, int, int]] = []

        def note(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
            tokens = inputs[0].numel() // inputs[0].shape[-1]
            shapes.append((tokens, layer.in_features, layer.out_features))

        linears = [m for m in backbone.modules() if isinstance(m, nn.Linear)]
        hooks = [layer.register_forward_hook(note) for layer in linears]
        with torch.enable_grad():  # one chunk: the whole shapes
            backbone(pixels)
        for hook in hooks:
            hook.remove()
        embedding = backbone.patch_embed.proj.weight
        patches = pixels.shape[0] * -(-pixels.shape[2] // 4) * -(-pixels.shape[3] // 4)
        shapes.append((patches, embedding[0].numel(), len(embedding)))
        make = {"dtype": pixels.dtype, "device": pixels.device}
        self._operands = [
            (torch.randn(n, k, **make), torch.randn(k, m, **make), torch.empty(n, m, **make))
            for n, k, m in shapes
        ]

    def __call__(self, _: Tensor) -> None:
        for left, right, out in self._operands:
            torch.mm(left, right, out=out)


if __name__ == "__main__":
    main()
