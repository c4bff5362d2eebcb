"""The ways to run a model that `benchmark` compares; the table is found without torch."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

# Given an image `(3, H, W)` uint8: what the model finds.
Run = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run a model.

    Attributes:
        title: in tables and pictures.
        file: suffix of the exported file that it runs; None: the weights themselves.
        libraries: that must be installed.
        compiles: whether it needs a C++ compiler.
        kinds: the kinds of models that it has; None: all. A peer has few.
        is_peer: whether it is another library's model of the same sizes, with random weights.
    """

    title: str
    file: str | None = None
    libraries: tuple[str, ...] = ()
    compiles: bool = False
    kinds: tuple[str, ...] | None = None
    is_peer: bool = False


_EXPORT = ("onnx", "onnxscript", "onnxruntime")
WAYS: Mapping[str, Way] = MappingProxyType(
    {
        "eager": Way(title="eager"),
        "compiled": Way(title="torch.compile", compiles=True),
        "onnxruntime": Way(title="ONNX Runtime", file=".onnx", libraries=_EXPORT),
        "aotinductor": Way(title="AOTInductor", file=".pt2", compiles=True),
        "openvino": Way(title="OpenVINO", file=".onnx", libraries=(*_EXPORT, "openvino")),
        "torchvision": Way(title="torchvision's", kinds=("mask_rcnn", "faster_rcnn"), is_peer=True),
        "transformers": Way(
            title="transformers'", kinds=("upernet",), libraries=("transformers",), is_peer=True
        ),
    }
)


def find_ways(kind: str) -> dict[str, str | None]:
    """Every way for a kind of models, and what is missing for it here; None: nothing."""
    found: dict[str, str | None] = {}
    for name, way in WAYS.items():
        if way.kinds is not None and kind not in way.kinds:
            continue
        absent = [library for library in way.libraries if not importlib.util.find_spec(library)]
        if absent:
            found[name] = f"{absent[0]} is not installed"
        elif way.compiles and not _has_compiler():
            found[name] = "there is no C++ compiler"
        else:
            found[name] = None
    return found


def choose_ways(names: tuple[str, ...] | None, kind: str) -> list[str]:
    """The ways that were asked for, eager first; None: all that can be taken here.

    Raises:
        ValueError: one that was asked for is not to be had.
    """
    found = find_ways(kind)
    if names is None:
        return [name for name, missing in found.items() if missing is None]
    for name in names:
        if name not in found:
            raise ValueError(f"--ways {name} has no {kind}; choose among {', '.join(found)}")
        if found[name] is not None:
            raise ValueError(f"--ways {name} cannot be taken here: {found[name]}")
    return ["eager", *(name for name in found if name in names and name != "eager")]


def _has_compiler() -> bool:
    return any(shutil.which(os.environ.get("CXX") or name) for name in ("g++", "clang++"))
