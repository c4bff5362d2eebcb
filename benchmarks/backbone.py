"""Time Swin-T's feature pyramid beside torchvision, timm and transformers.

    python benchmarks/backbone.py [--device cuda] [--rounds 15]

One process, all candidates in turn within each round, medians. Peers that are not installed are
left
out. `products` is the limit: the linear layers' matrix products alone, on the same shapes, with a
buffer of their own each, timed in the same rounds. On a GPU each candidate also runs compiled.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
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
    print(f"Swin-T, eval, {_describe(device, arguments.threads)}; milliseconds, medians")
    header: list[str] = []
    for dtype in (torch.float32, torch.bfloat16) if device.type == "cpu" else (torch.bfloat16,):
        for batch, height, width in CPU_SHAPES if device.type == "cpu" else GPU_SHAPES:
            pixels = torch.randn(batch, 3, height, width, dtype=dtype, device=device)
            candidates = make_candidates((height, width), pixels)
            medians = time_in_turn(candidates, pixels, rounds=arguments.rounds)
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
    for name, make in (("torchvision", _torchvision), ("timm", _timm), ("transformers", _hf)):
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


def time_in_turn(
    candidates: dict[str, Callable[[Tensor], object]], pixels: Tensor, *, rounds: int
) -> dict[str, float]:
    """Median milliseconds of each candidate over rounds in which all run one after the other."""
    synchronize = torch.cuda.synchronize if pixels.is_cuda else lambda: None
    times: dict[str, list[float]] = {name: [] for name in candidates}
    with torch.no_grad():
        for counted in range(-2, rounds):
            for name, run in candidates.items():
                synchronize()
                start = time.perf_counter()
                run(pixels)
                synchronize()
                if counted >= 0:
                    times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def _torchvision(_: tuple[int, int]) -> nn.Module:
    from torchvision.models import swin_t

    class Stages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = swin_t().features

        def forward(self, pixels: Tensor) -> list[Tensor]:
            maps = []
            for index, layer in enumerate(self.features):
                pixels = layer(pixels)
                if index % 2:
                    maps.append(pixels)
            return maps

    return Stages()


def _timm(size: tuple[int, int]) -> nn.Module:
    import timm

    return timm.create_model(
        "swin_tiny_patch4_window7_224", features_only=True, img_size=size, strict_img_size=False
    )


def _hf(_: tuple[int, int]) -> nn.Module:
    from transformers import SwinBackbone, SwinConfig

    return SwinBackbone(SwinConfig(out_features=["stage1", "stage2", "stage3", "stage4"]))


def _describe(device: torch.device, threads: int) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} CPU threads"
    return f"{name}, torch {torch.__version__.split('+')[0]}"


if __name__ == "__main__":
    main()
