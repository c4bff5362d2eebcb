"""Fixtures that every test file shares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_server import HubServer, run_hub

# Processes side by side (pytest -n) have a thread each, and so have those that they start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

_DEFAULT_SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what takes long unless it is asked for."""
    if "SWIN_DENSE_SLOW" not in os.environ:
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long; SWIN_DENSE_SLOW=1 runs it"))


@pytest.fixture
def generator() -> torch.Generator:
    """A random source with a fixed seed."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference outputs and photographs; the test skips where it is absent."""
    folder = Path(os.environ.get("SWIN_DENSE_SHARED", _DEFAULT_SHARED))
    if not (folder / "golden").is_dir():
        pytest.skip(f"needs reference outputs in {folder}; set SWIN_DENSE_SHARED to their folder")
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hugging Face hub on this machine; the environment and the machine hold a token each."""
    library = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    with run_hub() as server:
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        stored = tmp_path / "token"
        stored.write_text("hf_of_the_machine")
        for name, value in {
            "ENDPOINT": server.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "hub_cache"),
            "HF_HUB_OFFLINE": False,
            "HF_TOKEN_PATH": str(stored),
        }.items():
            monkeypatch.setattr(library.constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
        yield server
