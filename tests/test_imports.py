"""The layers: swin_dense <- heads <- tools, datasets <- tools; no cycles inside a folder."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import swin_dense

PACKAGE = "swin_dense"
SUBPACKAGES = ("heads", "datasets", "tools")
ALLOWED = {
    PACKAGE: {PACKAGE},
    "heads": {PACKAGE, "heads"},
    "datasets": {"datasets"},
    "tools": {PACKAGE, "heads", "datasets", "tools"},
}


def folder_of(layer: str) -> Path:
    module = swin_dense if layer == PACKAGE else getattr(swin_dense, layer)
    return Path(module.__file__).parent


def imported_modules(path: Path) -> set[str]:
    """Full names of our modules that a file imports, anywhere in it; names of objects are cut
    off."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == PACKAGE:
            depth = 3 if len(parts) > 1 and parts[1] in SUBPACKAGES else 2
            ours.add(".".join(parts[:depth]))
    return ours


def layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in SUBPACKAGES else PACKAGE


@pytest.mark.parametrize("layer", ALLOWED)
def test_layer_imports_only_what_stands_below_it(layer):
    for path in folder_of(layer).rglob("*.py"):
        for module in imported_modules(path):
            assert layer_of(module) in ALLOWED[layer], f"{path.name} imports {module}"


@pytest.mark.parametrize("layer", ALLOWED)
def test_no_cycle_within_a_layer(layer):
    prefix = PACKAGE if layer == PACKAGE else f"{PACKAGE}.{layer}"
    graph = {}
    for path in folder_of(layer).rglob("*.py"):
        if path.stem != "__init__":
            imported = imported_modules(path)
            graph[f"{prefix}.{path.stem}"] = {m for m in imported if layer_of(m) == layer}
    assert graph
    TopologicalSorter(graph).prepare()  # raises CycleError and names the cycle


def run_python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_importing_the_package_costs_torch_alone():
    others = "torchvision cv2 albumentations pycocotools scipy safetensors accelerate tyro rich"
    loaded = f"[name for name in {others.split()!r} if name in sys.modules]"
    assert run_python(f"import sys, swin_dense; print({loaded})") == "[]"


def test_subpackages_come_when_they_are_asked_for():
    code = (
        "import sys, swin_dense as sd; before = 'swin_dense.heads' in sys.modules;"
        "sd.heads.create_model; print(before, 'swin_dense.heads' in sys.modules)"
    )
    assert run_python(code) == "False True"


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = swin_dense.nothing
