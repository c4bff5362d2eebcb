"""`swin-dense export`: a model as a file that other runtimes run at any image size."""

import sys
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swin_dense.checkpoints.download import find_source
from swin_dense.tools.files import check_folder, make_file_writable
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import write_line

if TYPE_CHECKING:
    from swin_dense.tools.export.metadata import ExportMetadata

_SUFFIXES = (".onnx", ".pt2")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a model as ONNX, or as a package that AOTInductor compiles. It takes images of any size
    from 32 to 4096 px, and is compared with the model at three sizes before it is kept."""

    weights: Path
    """Weights file of a whole model or a backbone, or the name of a published one."""
    out: Path
    """File to write: .onnx, or .pt2 for a package."""
    part: Literal["model", "backbone", "pyramid"] = "model"
    """The whole model; its backbone; or a detector's backbone and FPN."""
    fp16: bool = False
    """Compute in half precision; half the size."""
    int8: bool = False
    """Weights of linear layers as int8 (ONNX alone); a quarter of the size."""
    data: Path | None = None
    """Folder of a data set: the scores on it of the model and of the file are printed."""
    split: str | None = None
    """Part of the data set; None: the task's (val2017, validation)."""
    scale: tuple[int, int] | None = None
    """LONG SHORT side of the keep-ratio resize on --data, px; None: the task's."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where a package runs, and where the file is compared; auto: a GPU where there is one."""

    def __post_init__(self) -> None:
        if self.out.suffix not in _SUFFIXES:
            raise ValueError(f"--out must end in {' or '.join(_SUFFIXES)}, got {self.out}")
        if self.fp16 and self.int8:
            raise ValueError("--fp16 and --int8 must not be together; choose one")
        if self.int8 and self.out.suffix != ".onnx":
            raise ValueError(f"--int8 must have an .onnx file as --out, got {self.out}")
        if self.data is not None and self.part != "model":
            raise ValueError(f"--data is for --part model, got --part {self.part}")


@document_flags(Options)
def export(weights: str | PathLike[str], out: str | PathLike[str], **flags: Any) -> Path:
    """Write a model as a file that other runtimes run: `export(FILE, "model.onnx")`; gives `out`.

    `flags` are those of `swin-dense export`, with underscores.

    Raises:
        ValueError: a flag is wrong, the weights have no such part, or what was written gives
            something else than the model; then there is no file.
        FileNotFoundError: a file is missing.
    """
    options = make_options(Options, {"weights": weights, "out": out, **flags})
    run(options)
    return options.out


def run(options: Options) -> None:
    """Export, and print what the file takes and gives; raises as `export`."""
    find_source(options.weights)
    make_file_writable(options.out)
    if options.data is not None:
        check_folder(options.data, flag="--data")

    from swin_dense.tools.export.exporting import export_model
    from swin_dense.tools.export.writing.writers import import_exporter
    from swin_dense.tools.tasks.evaluation import choose_device

    if options.out.suffix == ".onnx":
        import_exporter()
    precision = "float16" if options.fp16 else "int8" if options.int8 else "float32"
    metadata = export_model(
        str(options.weights),
        options.out,
        part=options.part,
        precision=precision,
        device=choose_device(options.device),
        report=write_line,
    )
    write_line(_describe(options.out, metadata), sys.stdout)
    if options.data is not None:
        _compare_scores(options)


def _describe(out: Path, metadata: "ExportMetadata") -> str:
    batch = "B" if metadata.any_batch else "1"
    smallest, largest = metadata.sides
    return (
        f"{out} ({out.stat().st_size / 1e6:.1f} MB, {metadata.precision}): "
        f"image ({batch}, 3, H, W) uint8 RGB, H and W {smallest} to {largest}, "
        f"to {', '.join(metadata.outputs)}"
    )


def _compare_scores(options: Options) -> None:
    """Print the scores of the model and of the file on a data set."""
    from swin_dense.tools.commands.evaluate import evaluate

    flags: dict[str, Any] = {"data": options.data, "device": options.device}
    for name in ("split", "scale"):
        if getattr(options, name) is not None:
            flags[name] = getattr(options, name)
    before, after = (evaluate(file, **flags) for file in (options.weights, options.out))
    for name, first, second in zip(
        _headlines(before), _headlines(before).values(), _headlines(after).values(), strict=True
    ):
        write_line(
            f"{name}: model {first:.4f}, file {second:.4f} ({second - first:+.4f})", sys.stdout
        )


def _headlines(scores: dict[str, Any]) -> dict[str, float]:
    """The one number of each table of scores, or the numbers where there is one table."""
    found = {f"{name} AP": table["AP"] for name, table in scores.items() if isinstance(table, dict)}
    return found or {
        name: value for name, value in scores.items() if isinstance(value, float | int)
    }
