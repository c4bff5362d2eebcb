"""Every script finds what it imports."""

import importlib.util
from pathlib import Path

import pytest
from measuring import processes

BENCHMARKS = Path(processes.__file__).parents[1]
ROOMS = {"measuring", "peers"}  # what the scripts share


def _scripts() -> list[Path]:
    return [path for path in BENCHMARKS.rglob("*.py") if path.parent.name not in ROOMS]


@pytest.mark.parametrize("path", _scripts(), ids=lambda path: path.stem)
def test_a_script_is_imported_without_running(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if error.name in ("transformers", "timm", "openvino", "onnxruntime"):
            pytest.skip(f"needs {error.name}")
        raise
    assert module.__doc__
