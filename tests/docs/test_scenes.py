"""Tests of the script that draws the README's picture, with models of random weights."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from swin_dense.datasets.shapes import GROUND_NAME, SHAPE_NAMES
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.models import create_model
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.tasks.drawing import class_colour

SCRIPT = Path(__file__).parents[2] / "docs" / "figures" / "scenes.py"
CLASS_NAMES = {"mask_rcnn_demo": SHAPE_NAMES, "upernet_demo": (GROUND_NAME, *SHAPE_NAMES)}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scenes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Files of a detector and a segmentor as the demo makes them, but untrained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    files = []
    for recipe, names in CLASS_NAMES.items():
        config = find_recipe(recipe).model
        model = create_model(config, num_classes=len(names), class_names=names)
        files.append(str(folder / f"{recipe}.safetensors"))
        save_model(model, files[-1])
    return files


def test_the_picture_has_two_rows_with_a_legend_and_is_small(
    script: ModuleType, weights: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "found.png"
    script.main(["--weights", *weights, "--scenes", "1", "--out", str(out)])
    width, height = Image.open(out).size
    assert 450 < width < 600
    assert 650 < height < 800
    assert out.stat().st_size <= 400_000


def test_a_class_has_one_colour_in_both_rows(script: ModuleType) -> None:
    scene = np.full((96, 96, 3), 128, np.uint8)
    masks = torch.zeros(1, 96, 96, dtype=torch.bool)
    masks[0, 20:70, 20:70] = True
    found = {
        "boxes": torch.tensor([[20.0, 20.0, 70.0, 70.0]]),
        "labels": torch.tensor([SHAPE_NAMES.index("star")]),
        "masks": masks,
    }
    picture = script.draw_figure(
        [scene],
        [found],
        [masks[0].long() * (1 + SHAPE_NAMES.index("star"))],
        detector_names=SHAPE_NAMES,
        segmentor_names=(GROUND_NAME, *SHAPE_NAMES),
    )
    # Magenta over grey: red and blue rise above green. No other class has such a colour.
    red, green, blue = class_colour(SHAPE_NAMES.index("star"))
    assert min(red, blue) > green + 100
    for row in np.split(picture[:, :480].astype(int), 2):
        is_magenta = np.minimum(row[..., 0], row[..., 2]) > row[..., 1] + 40
        assert 0.2 < is_magenta.mean() < 0.35  # the mask is 0.27 of the scene


def test_a_detector_and_a_segmentor_are_asked_for(
    script: ModuleType, weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        script.main(["--weights", *weights[::-1]])
    assert stopped.value.code == 2
    assert "must be a detector and a segmentor" in capsys.readouterr().err


def test_a_picture_that_cannot_be_made_small_is_refused(script: ModuleType) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert len(script.encode_png(noise, max_bytes=10_000)) <= 10_000
    with pytest.raises(ValueError, match="must take 100 bytes, got"):
        script.encode_png(noise, max_bytes=100)
