"""Fixtures that every test file shares."""

import os
from pathlib import Path

import pytest
import torch

_DEFAULT_SHARED = Path(__file__).resolve().parents[2] / "shared"


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
