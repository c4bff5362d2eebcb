"""Time UPerNet exported for any size beside eager, and beside transformers' exported for one size.

    python benchmarks/export.py [--model swin_t] [--size 512 512] [--rounds 5] [--threads 2]

All give the same logits; ours take the image as it is read, and give the label map besides. Theirs
is exported by `torch.onnx.export` at the size that is timed, and runs at no other. All run in one
process, in turn within each round; medians.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from measuring.machine import describe_machine
from measuring.timing import time_in_turn

import swin_dense as sd
from swin_dense.heads.segmentation.resizing import resize_maps
from swin_dense.padding import PIXEL_MEAN, PIXEL_STD
from swin_dense.tools.export.runtimes import open_exported

MODELS = {
    "swin_t": sd.SWIN_VARIANTS["swin_t"],
    "small": replace(sd.SWIN_VARIANTS["swin_t"], embed_dim=48, depths=(2, 2, 2, 2)),
}
Run = Callable[[], np.ndarray]


def main() -> None:
    """Print one row per way of running."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="swin_t")
    parser.add_argument("--channels", type=int, default=512, help="of the decoder")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 512), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--files", type=Path, help="folder to keep exported files in, and find them"
    )
    parser.add_argument("--package", action="store_true", help="AOTInductor's too (compiles)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    backbone = MODELS[arguments.model]
    theirs = make_theirs(backbone, arguments.channels)
    ours = sd.heads.create_model(
        sd.heads.UPerNetConfig(backbone=backbone, decoder_channels=arguments.channels)
    )
    sd.load_weights(ours, theirs.state_dict())
    theirs.auxiliary_head = None
    ours, theirs = ours.eval(), theirs.eval()
    height, width = arguments.size
    image = np.random.default_rng(0).integers(0, 256, (1, 3, height, width), dtype=np.uint8)
    print(f"UPerNet {arguments.model}, {height} x {width} px, {describe_machine()}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.files or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        candidates = make_candidates(ours, theirs, image, folder, arguments)
        expected = enlarge(candidates["eager"](), image.shape[2:])
        with torch.inference_mode():
            seconds = time_in_turn(candidates, rounds=arguments.rounds)
        print(f"{'':>34}{'ms':>8}{'of eager':>10}{'difference':>12}")
        for name, run in candidates.items():
            logits = enlarge(run(), image.shape[2:])
            difference = np.abs(logits - expected).max() / np.abs(expected).max()
            ratio = seconds["eager"] / seconds[name]
            print(f"{name:>34}{1000 * seconds[name]:8.0f}{ratio:10.2f}{difference:12.1e}")


def make_theirs(backbone: sd.SwinConfig, channels: int) -> torch.nn.Module:
    """transformers' model of the same architecture, with random weights."""
    return transformers.UperNetForSemanticSegmentation(
        transformers.UperNetConfig(
            backbone_config=transformers.SwinConfig(
                embed_dim=backbone.embed_dim,
                depths=list(backbone.depths),
                num_heads=list(backbone.num_heads),
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            hidden_size=channels,
            num_labels=150,
        )
    )


def make_candidates(
    ours: sd.heads.Model,
    theirs: torch.nn.Module,
    image: np.ndarray,
    folder: Path,
    arguments: argparse.Namespace,
) -> dict[str, Run]:
    """Each way of running, as a function that gives logits."""
    size = image.shape[2:]
    sd.heads.save_model(ours, folder / "ours.safetensors")
    candidates: dict[str, Run] = {"eager": lambda: run_eager(ours, image)}
    kinds = [".onnx", ".pt2"] if arguments.package else [".onnx"]
    for suffix in kinds:
        path = folder / f"ours{suffix}"
        if not path.exists():
            start = time.perf_counter()
            sd.tools.export(folder / "ours.safetensors", path)
            print(
                f"exported and proved {suffix} in {time.perf_counter() - start:.0f} s", flush=True
            )
        runtime = open_exported(path)
        name = "ONNX Runtime" if suffix == ".onnx" else "AOTInductor"
        candidates[f"any size, {name}"] = lambda r=runtime: r.run(image)["logits"]
    fixed = folder / f"theirs_{size[0]}x{size[1]}.onnx"
    if not fixed.exists():
        export_fixed(theirs, image, fixed)
    pixels = normalised(image)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(str(fixed), options)
    name = session.get_inputs()[0].name
    candidates["transformers, one size, ONNX Runtime"] = lambda: session.run(None, {name: pixels})[
        0
    ]
    try:
        import openvino as ov
    except ImportError:
        return candidates
    for label, file, inputs in (
        ("any size, OpenVINO", folder / "ours.onnx", image),
        ("transformers, one size, OpenVINO", fixed, pixels),
    ):
        settings = {"INFERENCE_NUM_THREADS": arguments.threads}
        compiled = ov.compile_model(ov.convert_model(file), "CPU", settings)
        candidates[label] = lambda c=compiled, x=inputs: np.asarray(c([x])[0])
    return candidates


@torch.inference_mode()
def run_eager(model: sd.heads.Model, image: np.ndarray) -> np.ndarray:
    """Logits and label map of our model as it is, as the exported graph gives them."""
    logits, _ = sd.heads.MODEL_SPECS["upernet"].graph(model)(torch.from_numpy(image))
    return logits.numpy()


@torch.no_grad()
def export_fixed(model: torch.nn.Module, image: np.ndarray, path: Path) -> None:
    """transformers' model for images of one size."""
    pixels = torch.from_numpy(normalised(image))
    for dynamo in (True, False):
        try:
            torch.onnx.export(
                model, (pixels,), path, dynamo=dynamo, opset_version=18, verbose=False
            )
            print(f"transformers exported with dynamo={dynamo}", flush=True)
            return
        except Exception as error:  # to be told; the older exporter is tried
            print(f"transformers, dynamo={dynamo}: {str(error).splitlines()[0]}", flush=True)
    raise SystemExit("error: transformers' model could not be exported")


def normalised(image: np.ndarray) -> np.ndarray:
    """Pixels as transformers' model takes them."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (PIXEL_MEAN, PIXEL_STD))
    return (image.astype(np.float32) - mean) / std


def enlarge(logits: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Logits at the size of the image, as transformers' model gives them, for the comparison."""
    return resize_maps(torch.from_numpy(logits), (size[0], size[1])).numpy()


if __name__ == "__main__":
    main()
