"""Exported files as functions of an image: through ONNX Runtime, or as a package of AOTInductor."""

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from swin_dense.tools.export.metadata import METADATA_KEY, ExportMetadata

EXPORT_SUFFIXES = (".onnx", ".pt2")


class Runtime(Protocol):
    """An exported file, opened.

    Attributes:
        metadata: what the file tells of itself.
    """

    metadata: ExportMetadata

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the outputs, by name, of `(1, 3, H, W)` uint8 RGB; of a backbone or pyramid of
        any number of images."""
        ...


def is_exported(path: str | os.PathLike[str]) -> bool:
    """True if a file is, by its suffix, an exported model and no weights file."""
    return Path(path).suffix.lower() in EXPORT_SUFFIXES


def open_exported(path: str | os.PathLike[str], *, device: str = "cpu") -> Runtime:
    """Open a file that `swin-dense export` wrote.

    A package is compiled code: open only those of people whom you trust.

    Args:
        path: `*.onnx` or `*.pt2`.
        device: "cpu" or "cuda"; a package runs where it was compiled for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no exported file, or what runs it is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix.lower() == ".onnx":
        return OnnxRuntime(path, device=device)
    if path.suffix.lower() == ".pt2":
        return PackageRuntime(path, device=device)
    raise ValueError(f"exported file must end in {' or '.join(EXPORT_SUFFIXES)}, got {path}")


class OnnxRuntime:
    """An ONNX file in ONNX Runtime. Arguments and errors as `open_exported`'s."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        onnxruntime = _import_onnxruntime()
        providers = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            providers.insert(0, "CUDAExecutionProvider")
            if providers[0] not in onnxruntime.get_available_providers():
                raise ValueError(
                    f"device must be cpu with this onnxruntime, got {device}; "
                    "`pip install onnxruntime-gpu` brings the other"
                )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads := _num_threads():
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its classes are not public, and derive from no common one
            raise ValueError(f"{path} cannot be opened by ONNX Runtime: {error}") from error
        stored = self.session.get_modelmeta().custom_metadata_map
        self.metadata = ExportMetadata.from_json(stored.get(METADATA_KEY), source=path)

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """See `Runtime`."""
        names = self.metadata.outputs
        values = self.session.run(list(names), {"image": image})
        return dict(zip(names, (np.asarray(value) for value in values), strict=True))


class PackageRuntime:
    """A package of AOTInductor. Arguments and errors as `open_exported`'s."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        import torch
        import torchvision  # noqa: F401  (operators that detectors call)
        from torch._inductor import aoti_load_package

        try:
            self.package = aoti_load_package(str(path))
        except Exception as error:  # of C++, without a class of its own
            raise ValueError(f"{path} cannot be opened by AOTInductor: {error}") from error
        stored = self.package.get_metadata()
        compiled_for = stored.get("AOTI_DEVICE_KEY", "cpu")
        if torch.device(device).type != compiled_for:
            raise ValueError(f"{path} is compiled for {compiled_for}, got device {device}")
        self.device = torch.device(device)
        self.metadata = ExportMetadata.from_json(stored.get(METADATA_KEY), source=path)

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """See `Runtime`."""
        import torch

        if len(image) > 1:  # a package takes one image
            runs = [self.run(single) for single in np.split(image, len(image))]
            return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
        with torch.inference_mode():
            values = self.package(torch.from_numpy(image).to(self.device))
        arrays = [value.cpu().numpy() for value in values]
        return dict(zip(self.metadata.outputs, arrays, strict=True))


def _num_threads() -> int:
    """Threads that torch is told to use; ONNX Runtime would take every core that it sees."""
    import torch

    return torch.get_num_threads()


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            "an ONNX file needs onnxruntime, which is not installed; "
            "`pip install swin-dense[export]` brings it"
        ) from error
    return onnxruntime
