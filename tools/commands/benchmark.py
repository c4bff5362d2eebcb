"""`swin-dense benchmark`: a model timed in each way that it can run here, beside peers."""

import tempfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swin_dense.checkpoints.download import find_source
from swin_dense.ranges import LENGTHS, Ranges, check_ranges
from swin_dense.tools.files import make_writable, write_json
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import write_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table


_SIZES = {"detection": (800, 1216), "segmentation": (512, 512), "classification": (224, 224)}
WayName = Literal[
    "eager", "compiled", "onnxruntime", "aotinductor", "openvino", "torchvision", "transformers"
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time a model on one image: eager, compiled, exported in each runtime that is installed, and
    beside other libraries' models of the same sizes. Writes a table, a picture and JSON."""

    ranges: ClassVar[Ranges] = {"size": LENGTHS, "rounds": (1, 10_000), "threads": (1, 1024)}

    weights: Path
    """Weights file of a whole model, or the name of a published one."""
    size: tuple[int, int] | None = None
    """HEIGHT WIDTH of the image, px; None: 800 1216 for detection, 512 512 for segmentation."""
    image: Path | None = None
    """Image to run on, brought to the size; None: random colours, in which a detector may find
    less than in an image."""
    ways: tuple[WayName, ...] | None = None
    """Ways to run; None: all that can be taken on this machine."""
    rounds: int = 5
    """Timed runs of each, whose median counts."""
    threads: int | None = None
    """Threads of the CPU to use; None: as many as torch takes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to run; auto: a GPU where there is one."""
    out: Path = Path("benchmark")
    """Folder for benchmark.json, benchmark.txt and benchmark.png."""


@document_flags(Options)
def benchmark(weights: str | PathLike[str], **flags: Any) -> dict[str, Any]:
    """Time a model in each way that it can run here.

    Args:
        weights: file of a whole model, or the name of a published one.
        flags: of `swin-dense benchmark`, such as `size=(512, 512)`.

    Returns:
        `size`, `device`, `threads`, `machine`, and `ways`: of each its `seconds` an image (median),
        `first_seconds` (loading and the first run), `memory_mib`, `times_eager`, `agreement` with
        eager, and `error`: why there are no figures, or None.

    Raises:
        ValueError: a flag is wrong, or the weights are none of a whole model.
        FileNotFoundError: a file is missing.
    """
    return _benchmark(make_options(Options, {"weights": weights, **flags}))[0]


def run(options: Options) -> None:
    """Measure and print the table; raises as `benchmark`."""
    _, table = _benchmark(options)

    from swin_dense.tools.console import Console

    Console().print(table)


def _benchmark(options: Options) -> "tuple[dict[str, Any], Table]":
    check_ranges(options, as_flags=True)
    find_source(options.weights)
    if options.weights.suffix.lower() in (".onnx", ".pt2"):
        raise ValueError(
            f"--weights must be a weights file, which is exported for the runtimes, got "
            f"{options.weights}"
        )
    make_writable(options.out)

    import torch

    from swin_dense.heads.checkpoints import from_checkpoint
    from swin_dense.heads.models import find_spec
    from swin_dense.tools.benchmark.comparison import as_data, as_table, draw
    from swin_dense.tools.benchmark.ways import choose_ways
    from swin_dense.tools.console import Console
    from swin_dense.tools.tasks.evaluation import choose_device

    device = choose_device(options.device)
    model = from_checkpoint(options.weights)
    kind = find_spec(model.config).name
    names = choose_ways(options.ways, kind)
    height, width = options.size or _SIZES.get(model.task, (512, 512))
    image = _make_image(options.image, (height, width))
    measured = _measure_all(options, names, image, device.type)
    if measured["eager"].error is not None:
        raise ValueError(f"the model cannot be run: {measured['eager'].error}")
    machine = _describe_machine(device)
    threads = options.threads or torch.get_num_threads()
    data = as_data(measured)
    title = f"{kind}, {height} x {width} px, {machine}"
    if device.type == "cpu":
        title += f", {threads} thread{'s' * (threads > 1)}"
    found = {
        "size": [height, width],
        "device": device.type,
        "threads": threads,
        "machine": machine,
        "ways": data,
    }
    table = as_table(data, title)
    write_json(options.out / "benchmark.json", found)
    with (options.out / "benchmark.txt").open("w", encoding="utf-8") as file:
        console = Console(width=120)
        console.file = file
        console.print(table)
    draw(data, title, options.out / "benchmark.png")
    return found, table


def _measure_all(
    options: Options, names: list[str], image: "NDArray[np.uint8]", device: str
) -> "dict[str, Any]":
    """Export what the ways run, and measure each in a process of its own."""
    import torch

    from swin_dense.tools.benchmark.measuring import Job, Measurement, measure
    from swin_dense.tools.benchmark.ways import WAYS
    from swin_dense.tools.export.exporting import export_model

    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, Path | ValueError] = {}
        for name in names:
            suffix = WAYS[name].file
            if suffix is not None and suffix not in files:
                write_line(f"exporting *{suffix}")
                path = Path(folder) / f"model{suffix}"
                try:
                    export_model(
                        str(options.weights),
                        path,
                        part="model",
                        precision="float32",
                        device=torch.device(device),
                        report=lambda line: None,
                    )
                    files[suffix] = path
                except ValueError as error:
                    files[suffix] = error
            exported = files.get(suffix) if suffix is not None else None
            if isinstance(exported, ValueError):
                measured[name] = Measurement(error=str(exported))
                continue
            write_line(f"measuring {WAYS[name].title}")
            job = Job(
                way=name,
                weights=str(options.weights),
                exported=exported,
                image=image,
                rounds=options.rounds,
                threads=options.threads,
                device=device,
            )
            measured[name] = measure(job)
    return measured


def _make_image(path: Path | None, size: tuple[int, int]) -> "NDArray[np.uint8]":
    """`(3, H, W)` uint8: an image brought to a size, or coarse random colours."""
    import cv2
    import numpy as np

    from swin_dense.datasets.images import read_image

    if path is None:
        pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    else:
        pixels = read_image(path)
    height, width = size
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(resized.transpose(2, 0, 1))


def _describe_machine(device: Any) -> str:
    """Processor or GPU, and the version of torch."""
    import platform

    import torch

    from swin_dense.kernels.processor import processor_kind

    version = f"torch {torch.__version__.partition('+')[0]}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {version}"
    return f"{platform.machine()} with {processor_kind()}, {version}"
