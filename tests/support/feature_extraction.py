"""Small models and images to extract features with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from swin_dense.backbone import SwinTransformer
from swin_dense.configs import SwinConfig
from swin_dense.tools.features.extractor import Extractor, ExtractorConfig

BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=3)
SIZES = {"a.png": (40, 60), "b.png": (33, 50), "more/c.png": (64, 64), "more/d.png": (10, 9)}


def save_backbone(path: Path) -> SwinTransformer:
    """A small backbone with random weights, and its file."""
    torch.manual_seed(0)
    backbone = SwinTransformer(BACKBONE).eval()
    torch.save(backbone.state_dict(), path)
    return backbone


def draw_image(size: tuple[int, int], *, seed: int = 0) -> np.ndarray:
    """`(H, W, 3)` uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def write_images(folder: Path, sizes: Mapping[str, tuple[int, int]] | None = None) -> Path:
    """Images of the given (height, width), by name; PNG, so that they are as drawn."""
    for seed, (name, size) in enumerate((sizes or SIZES).items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_image(size, seed=seed)).save(path)
    return folder


def make_extractor(weights: Path, **changes: Any) -> Extractor:
    """An extractor of float32 features on one thread."""
    values: dict[str, Any] = {
        "pyramid": "backbone",
        "levels": None,
        "dtype": "float32",
        "pool": "none",
        "scale": None,
        "precision": "fp32",
        "device": "cpu",
        "threads": 1,
    }
    return Extractor(ExtractorConfig(weights=str(weights), **(values | changes)))


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there; locks are left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
