"""Weights to an exported file: traced, written, proved, kept."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.export import ExportedProgram

from swin_dense.checkpoints.architecture import backbone_from_checkpoint
from swin_dense.checkpoints.containers import read_checkpoint
from swin_dense.checkpoints.conversion import convert_checkpoint
from swin_dense.checkpoints.stored_configs import config_as_json
from swin_dense.heads.checkpoints import find_kind, from_checkpoint, read_stored_config
from swin_dense.heads.graphs import Graph
from swin_dense.heads.models import find_spec
from swin_dense.heads.whole_model import Model
from swin_dense.tools.export.metadata import ExportMetadata
from swin_dense.tools.export.runtimes import open_exported
from swin_dense.tools.export.writing.graphs import make_graph
from swin_dense.tools.export.writing.proof import prove
from swin_dense.tools.export.writing.quantisation import quantise_linear_layers
from swin_dense.tools.export.writing.tracing import trace
from swin_dense.tools.export.writing.writers import set_onnx_metadata, write_onnx, write_package
from swin_dense.tools.runs.folder import with_known_scale
from swin_dense.tools.tasks.table import find_task

# How far results may be from those of the model, as multiples of what float32 must keep to: its
# weights are rounded to 11 and to 8 bits.
_LOOSER = {"float32": 1, "float16": 30, "int8": 300}

Report = Callable[[str], None]


def export_model(
    weights: str,
    out: Path,
    *,
    part: str,
    precision: str,
    device: torch.device,
    report: Report,
) -> ExportMetadata:
    """Export a part of what a weights file holds; the file is there only if it is proved.

    Args:
        weights: file of a whole model or a backbone, or the name of a published one.
        out: `*.onnx` or `*.pt2`.
        part: "model", "backbone" or "pyramid".
        precision: "float32", "float16" or "int8".
        device: where a package runs; an ONNX file runs anywhere.
        report: is told what is being done, a line at a time.

    Returns:
        What the file tells of itself.

    Raises:
        ValueError: the weights have no such part, it cannot be exported so, or the file gives
            something else than the model.
        FileNotFoundError: there are no such weights.
    """
    module = load_module(weights).eval().requires_grad_(False).to(device)
    if precision == "float16":
        # The model that a file of half precision shall agree with is the one of full precision.
        reference = make_graph(load_module(weights).eval().to(device), part)
        graph = make_graph(module.half(), part)
    else:
        reference = graph = make_graph(module, part)
    reference.tolerance *= _LOOSER[precision]
    # The compiler of packages divides maps into windows wrongly where the batch is a symbol too.
    any_batch = graph.any_batch and out.suffix == ".onnx"
    metadata = describe(
        module, graph.eval(), Path(weights), part=part, precision=precision, any_batch=any_batch
    )
    report("tracing for images of any size")
    program = trace(graph, device, any_batch=any_batch)
    partial = out.with_name(f".{out.stem}.partial{out.suffix}")
    try:
        report("compiling" if out.suffix == ".pt2" else "writing")
        _write(program, partial, metadata)
        report("comparing with the model at three other sizes")
        prove(open_exported(partial, device=device.type), reference.eval(), device)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return metadata


def load_module(weights: str) -> nn.Module:
    """The whole model of a file, or its backbone where there is no more."""
    checkpoint = read_checkpoint(weights)
    is_whole = read_stored_config(checkpoint) is not None
    if is_whole or find_kind(convert_checkpoint(checkpoint).state):
        return from_checkpoint(weights)
    return backbone_from_checkpoint(weights)


def describe(
    module: nn.Module, graph: Graph, weights: Path, *, part: str, precision: str, any_batch: bool
) -> ExportMetadata:
    """Description that the file shall carry; `weights` are those that the module is of."""
    shared: dict[str, Any] = {
        "part": part,
        "outputs": graph.outputs,
        "precision": precision,
        "any_batch": any_batch,
        "thresholds": dict(graph.thresholds),
        "strides": getattr(graph, "strides", ()),
    }
    if not isinstance(module, Model):
        return ExportMetadata(config=config_as_json(cast(Any, module).config), **shared)
    task = find_task(module.task)
    flags = with_known_scale(task.prediction_flags(), weights)
    return ExportMetadata(
        kind=find_spec(module.config).name,
        task=module.task,
        config=config_as_json(module.config),
        class_names=module.class_names,
        category_ids=module.category_ids,
        scale=task.predictor(flags, module).scale,
        **shared,
    )


def _write(program: ExportedProgram, path: Path, metadata: ExportMetadata) -> None:
    if path.suffix == ".pt2":
        write_package(program, path, metadata)
    elif metadata.precision == "int8":
        exact = path.with_name(f"{path.stem}.exact{path.suffix}")
        try:
            write_onnx(program, exact, metadata)
            quantise_linear_layers(exact, path)
            set_onnx_metadata(path, metadata)
        finally:
            exact.unlink(missing_ok=True)
    else:
        write_onnx(program, path, metadata)
