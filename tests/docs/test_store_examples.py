"""The page on uses of a store: its program runs, on a few drawn images."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from feature_extraction import save_backbone
from PIL import Image

import swin_dense as sd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "store_examples.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """All names of the page's program, after it ran; one training image is a validation image."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("examples")
    sd.datasets.write_shapes(folder / "my_data", num_train=4, num_val=2, size=96)
    for kind, ending in (("images", "jpg"), ("annotations", "png")):
        place = folder / "my_data" / kind
        shutil.copy(place / f"training/000003.{ending}", place / f"validation/000000.{ending}")
    save_backbone(folder / "backbone.pth")
    found: dict[str, Any] = {"folder": folder}
    with pytest.MonkeyPatch.context() as context:
        context.chdir(folder)
        context.setenv("MPLBACKEND", "Agg")
        flags = re.search(r"^ +(--levels.*)$", PAGE.read_text(), re.MULTILINE)
        assert flags is not None
        assert flags[1] == "--levels 2 3 --pool mean"
        sd.tools.features(
            "backbone.pth", "my_data/images", out="features", levels=(2, 3), pool="mean"
        )
        code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
        # So few cells are one batch an epoch.
        code = code.replace("lr=1e-3", "lr=1e-1").replace("range(30)", "range(100)")
        exec(compile(code, PAGE.name, "exec"), found)
        yield found


def test_a_cell_has_the_label_of_the_pixel_in_its_middle(names: dict[str, Any]) -> None:
    label_map = torch.arange(50 * 70).view(50, 70)
    item = {
        "features": [torch.zeros(1, 4, 5)],
        "strides": (16,),
        "size": (50, 70),
        "original_size": (50, 70),
    }
    expected = label_map[[8, 24, 40, 49]][:, [8, 24, 40, 56, 69]]
    assert torch.equal(names["labels_of_cells"](label_map, item), expected)
    larger = label_map.repeat_interleave(2, 0).repeat_interleave(2, 1)
    item["original_size"] = (100, 140)
    assert torch.equal(names["labels_of_cells"](larger, item), expected)


def test_scores_of_cells_become_labels_where_the_cells_are(names: dict[str, Any]) -> None:
    scores = torch.zeros(2, 2, 3)
    scores[0] = 0.5
    scores[1, 1, 2] = 1
    item = {"strides": (16,), "size": (30, 40), "original_size": (60, 80)}
    labels = names["labels_of_pixels"](scores, item)
    assert labels.shape == (60, 80)
    assert labels[:32].sum() == labels[:, :64].sum() == 0
    assert labels[59, 64:].all()
    assert labels[34:, 79].all()


def test_the_probe_learns_the_cells(names: dict[str, Any]) -> None:
    with torch.no_grad():
        predicted = names["probe"](names["cells"]).argmax(1)
    majority = names["labels"].bincount().max() / len(names["labels"])
    assert (predicted == names["labels"]).float().mean() > majority + 0.1
    assert 0 < names["probe_results"]["mIoU"] < 1


def test_the_nearest_cell_of_a_training_image_is_itself(names: dict[str, Any]) -> None:
    features, label_map, item = next(names["items_of"]("training"))
    votes = names["neighbour_scores"](features, count=1)
    assert votes.shape == (names["num_classes"], *features.shape[1:])
    assert torch.equal(votes.argmax(0), names["labels_of_cells"](label_map, item))
    assert 0 < names["neighbour_results"]["mIoU"] < 1


def test_the_most_similar_image_of_a_copy_is_its_original(names: dict[str, Any]) -> None:
    ids = names["store"].ids
    (query, *_), (cosines, *_) = names["neighbours"].tolist(), names["cosines"].tolist()
    assert {ids[place] for place in query[:2]} == {"validation/000000.jpg", "training/000003.jpg"}
    assert cosines[1] == pytest.approx(1, abs=1e-5)
    assert cosines[2] < 0.999
    width, height = Image.open(names["folder"] / "neighbours.png").size
    assert width > height > 200
