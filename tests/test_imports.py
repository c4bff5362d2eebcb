"""The house: which layer and which room may import which, no cycles, no names that shadow others.

At every folder its members, files and rooms alike, import each other without a cycle. Between the
layers, and between the rooms of `swin_dense/` and `tools/`, the order is the one written here.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

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
# From the ground up: a room imports only those that stand before it.
ROOMS = {
    PACKAGE: (
        *("ranges", "configs", "tracing", "hub_methods", "kernels", "windowing", "padding"),
        *("protocol", "pyramids", "blocks", "backbone", "checkpoints", "creation", "adapters"),
    ),
    "tools": (
        *(
            "printable",
            "console",
            "files",
            "flags",
            "command_line",
            "progress",
            "task_flags",
            "recipes",
        ),
        *(
            "tasks",
            "runs",
            "report",
            "layers",
            "features",
            "export",
            "serve",
            "benchmark",
            "training",
            "compare",
            "commands",
            "cli",
        ),
    ),
}
NAMES_FOR_NOTHING = {"base", "common", "helper", "helpers", "misc", "util", "utils"}


def folder_of(layer: str) -> Path:
    module = swin_dense if layer == PACKAGE else getattr(swin_dense, layer)
    return Path(module.__file__).parent


def modules_of(layer: str) -> dict[tuple[str, ...], Path]:
    """The layer's files by their place in it: `("detection", "rpn")`; `()` is `__init__` itself."""
    folder = folder_of(layer)
    found = {}
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(folder).with_suffix("").parts
        found[place[:-1] if place[-1] == "__init__" else place] = path
    return found


def imported_modules(path: Path) -> set[str]:
    """Full names that a file imports, anywhere in it; names of objects may be at their end."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == PACKAGE}


def layer_of(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in SUBPACKAGES else PACKAGE


def place_of(name: str) -> tuple[str, ...]:
    """Of the module or object within its layer."""
    return tuple(name.split(".")[1 if layer_of(name) == PACKAGE else 2 :])


def imports_within(layer: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of places in a layer: who imports, and what."""
    modules = modules_of(layer)
    for place, path in modules.items():
        for name in imported_modules(path):
            if layer_of(name) == layer:
                target = place_of(name)
                while target not in modules:  # an object of a module
                    target = target[:-1]
                yield place, target


@pytest.mark.parametrize("layer", ALLOWED)
def test_layer_imports_only_what_stands_below_it(layer: str) -> None:
    for path in modules_of(layer).values():
        for name in imported_modules(path):
            assert layer_of(name) in ALLOWED[layer], f"{path} imports {name}"


@pytest.mark.parametrize("layer", ALLOWED)
def test_the_members_of_a_folder_import_each_other_without_a_cycle(layer: str) -> None:
    graphs: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for importer, imported in imports_within(layer):
        shared = 0
        while importer[shared:] and imported[shared:] and importer[shared] == imported[shared]:
            shared += 1
        if importer[shared:] and imported[shared:]:  # else a room and its own `__init__`
            graph = graphs.setdefault(importer[:shared], {})
            graph.setdefault(importer[shared], set()).add(imported[shared])
    assert () in graphs
    for folder, graph in graphs.items():
        try:
            TopologicalSorter(graph).prepare()
        except ValueError as error:
            pytest.fail(f"{layer}/{'/'.join(folder)}: {error}")


@pytest.mark.parametrize("layer", ROOMS)
def test_a_room_imports_only_rooms_that_stand_below_it(layer: str) -> None:
    order = ROOMS[layer]
    assert {place[0] for place in modules_of(layer) if place} == set(order)
    for importer, imported in imports_within(layer):
        if importer and imported:
            assert order.index(imported[0]) <= order.index(importer[0]), f"{importer}: {imported}"


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_rooms_init_holds_public_names_alone(layer: str) -> None:
    for path in modules_of(layer).values():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize("layer", ALLOWED)
def test_no_file_or_room_has_a_name_of_the_standard_library_or_for_nothing(layer: str) -> None:
    taken = NAMES_FOR_NOTHING | (sys.stdlib_module_names - {"__future__"})
    for place in modules_of(layer):
        assert not taken & set(place), place


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_room_has_about_ten_files(layer: str) -> None:
    rooms: dict[tuple[str, ...], int] = {}
    for place, path in modules_of(layer).items():
        is_command = path.parent.name == "commands"  # a file each, found by its name
        if path.stem != "__init__" and not is_command:
            rooms[place[:-1]] = rooms.get(place[:-1], 0) + 1
    assert max(rooms.values()) <= 10, rooms


def run_python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_importing_the_package_costs_no_other_library() -> None:
    others = (
        "torch torchvision numpy cv2 albumentations pycocotools scipy safetensors accelerate tyro "
        "rich urllib.request"
    )
    loaded = f"[name for name in {others.split()!r} if name in sys.modules]"
    assert run_python(f"import sys, swin_dense; print({loaded})") == "[]"


def test_importing_what_is_made_of_torch_costs_torch_alone() -> None:
    others = (
        "torchvision cv2 albumentations pycocotools scipy safetensors accelerate tyro rich "
        "torch._dynamo"  # the compiler: a second
    )
    loaded = f"[name for name in {others.split()!r} if name in sys.modules]"
    code = f"import sys, swin_dense as sd; sd.SwinTransformer, sd.batch_images; print({loaded})"
    assert run_python(code) == "[]"


def test_configs_come_without_torch() -> None:
    names = "BACKBONE_KINDS SWIN_VARIANTS BackboneConfig SwinConfig TimmConfig"
    heads = "MODEL_VARIANTS CascadeMaskRCNNConfig MaskRCNNConfig ModelConfig UPerNetConfig"
    code = (
        f"import sys, swin_dense as sd; [getattr(sd, n) for n in {names.split()!r}];"
        f"[getattr(sd.heads, n) for n in {heads.split()!r}];"
        "import swin_dense.tools.recipes.table; print('torch' in sys.modules)"
    )
    assert run_python(code) == "False"


@pytest.mark.parametrize("package", [swin_dense, swin_dense.heads, swin_dense.datasets])
def test_each_public_name_is_there(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)


def test_subpackages_come_when_they_are_asked_for() -> None:
    code = (
        "import sys, swin_dense as sd; before = 'swin_dense.heads' in sys.modules;"
        "sd.heads.create_model; print(before, 'swin_dense.heads' in sys.modules)"
    )
    assert run_python(code) == "False True"


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = swin_dense.nothing
