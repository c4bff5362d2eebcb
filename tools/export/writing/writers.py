"""Traced graphs as files: ONNX, or a package that AOTInductor compiles."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from swin_dense.tools.export.metadata import METADATA_KEY, ExportMetadata

OPSET = 18
_COMPILER_OPTIONS = {
    # Else the geometry of windows, which is arithmetic on tensors, becomes formulas of symbols,
    # which take minutes to simplify.
    "constant_and_index_propagation": False,
    "aot_inductor.compile_wrapper_opt_level": "O0",
}


def write_onnx(program: ExportedProgram, path: Path, metadata: ExportMetadata) -> None:
    """Write an ONNX file, weights and metadata in it.

    Args:
        program: from `tracing.trace`.
        path: `*.onnx`.
        metadata: is stored as `metadata_props["swin_dense"]`.

    Raises:
        ValueError: what writes it is not installed, or the file would be larger than the 2 GiB that
            ONNX can hold in one file.
    """
    onnx = import_exporter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            program,
            (),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(metadata.outputs),
        )
    assert written is not None
    model = written.model_proto
    _describe(model, metadata)
    if model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF:
        raise ValueError(
            f"an ONNX file must be below 2 GiB, got {model.ByteSize() / 2**30:.1f} GiB; "
            "use --fp16 or a .pt2 package"
        )
    path.write_bytes(model.SerializeToString())


def set_onnx_metadata(path: Path, metadata: ExportMetadata) -> None:
    """Store the metadata in an ONNX file that has none."""
    model = import_exporter().load(path)
    _describe(model, metadata)
    path.write_bytes(model.SerializeToString())


def _describe(model: Any, metadata: ExportMetadata) -> None:
    helper = import_exporter().helper
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    model.producer_name = "swin_dense"


def write_package(program: ExportedProgram, path: Path, metadata: ExportMetadata) -> None:
    """Compile a package for the processor or GPU that the program is on.

    Args:
        program: from `tracing.trace`.
        path: `*.pt2`.
        metadata: is stored as the package's metadata `swin_dense`.

    Raises:
        ValueError: there is no C++ compiler.
    """
    from torch._inductor import aoti_compile_and_package, exc

    try:
        with torch.no_grad(), warnings.catch_warnings(), _channels_last_convolutions():
            warnings.simplefilter("ignore")
            aoti_compile_and_package(
                program,
                package_path=str(path),
                inductor_configs={
                    "aot_inductor.metadata": {METADATA_KEY: metadata.to_json()},
                    **_COMPILER_OPTIONS,
                },
            )
    except exc.InvalidCxxCompiler as error:
        raise ValueError(
            "a .pt2 package needs a C++ compiler (g++ or clang++), got none"
        ) from error


@contextmanager
def _channels_last_convolutions() -> Iterator[None]:
    """Compile with the strides that convolutions have when a package runs.

    The compiler hands them maps and weights with channels last, and so is what they give. But of
    maps whose sides are symbols it takes that to be contiguous, and reads other values from it.
    """
    from torch._inductor.ir import FixedLayout
    from torch._inductor.kernel import conv
    from torch._inductor.virtualized import V

    compute_layout = conv.conv_layout

    def conv_layout(*args: Any, **kwargs: Any) -> Any:
        layout = compute_layout(*args, **kwargs)
        if not V.graph.layout_opt or len(layout.size) != 4:
            return layout
        _, channels, height, width = layout.size
        strides = [channels * height * width, 1, width * channels, channels]
        return FixedLayout(layout.device, layout.dtype, layout.size, strides)

    conv.conv_layout = conv_layout
    try:
        yield
    finally:
        conv.conv_layout = compute_layout


def import_exporter() -> Any:
    """The library `onnx`, once it is known that all that writes ONNX files is there.

    Raises:
        ValueError: something is not.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"an ONNX file needs {error.name}, which is not installed; "
            "`pip install swin-dense[export]` brings it"
        ) from error
    return onnx
