"""Tests of the drawn data set."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic
from swin_dense.datasets.masks import bitmaps_from_runs
from swin_dense.datasets.shapes import GROUND_NAME, SHAPE_NAMES, draw_shapes, write_shapes
from swin_dense.datasets.transforms.detection import detection_eval
from swin_dense.datasets.transforms.panoptic import panoptic_eval

SIZE = 64


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(
        tmp_path_factory.mktemp("shapes") / "drawn", num_train=12, num_val=4, size=SIZE, seed=3
    )


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_writes_the_same_files(root: Path, tmp_path: Path) -> None:
    write_shapes(tmp_path, num_train=12, num_val=4, size=SIZE, seed=3)
    assert _digest(tmp_path) == _digest(root)


def test_more_training_images_leave_the_others_as_they_are(root: Path, tmp_path: Path) -> None:
    write_shapes(tmp_path, num_train=2, num_val=5, size=SIZE, seed=3)
    whole, part = _digest(root), _digest(tmp_path)
    shared = [name for name in part if name.endswith((".jpg", ".png")) and name in whole]
    assert len(shared) == 4 * (2 + 4)
    assert all(part[name] == whole[name] for name in shared)


def test_no_image_is_in_both_splits_and_another_seed_draws_others(root: Path) -> None:
    folders = ("train2017/", "val2017/")
    digests = [digest for name, digest in _digest(root).items() if name.startswith(folders)]
    assert len(set(digests)) == len(digests) == 16
    first = draw_shapes(np.random.default_rng(0), size=SIZE).pixels
    assert (first != draw_shapes(np.random.default_rng(1), size=SIZE).pixels).any()


def test_the_coco_layout_loads_without_anything_left_out(root: Path) -> None:
    for split, count in (("train2017", 12), ("val2017", 4)):
        dataset = CocoDetection(root, split, transforms=detection_eval((SIZE, SIZE)))
        assert len(dataset) == count
        assert dataset.class_names == SHAPE_NAMES
        assert not dataset.report
        assert all(len(dataset[index]["labels"]) >= 1 for index in range(count))


def test_both_layouts_agree_on_every_object(root: Path) -> None:
    dataset = CocoDetection(root, "train2017", transforms=detection_eval((SIZE, SIZE)))
    for index in range(len(dataset)):
        sample = dataset[index]
        stem = Path(dataset.file_names[index]).stem
        label_map = cv2.imread(
            str(root / "annotations" / "training" / f"{stem}.png"), cv2.IMREAD_UNCHANGED
        )
        image = (root / "images" / "training" / f"{stem}.jpg").read_bytes()
        assert image == (root / "train2017" / f"{stem}.jpg").read_bytes()
        bitmaps = bitmaps_from_runs(
            sample["mask_counts"], sample["mask_num_runs"], (SIZE, SIZE)
        ).numpy()
        drawn = np.ones_like(label_map)  # 1 is the ground
        for bitmap, label in zip(bitmaps, sample["labels"].tolist(), strict=True):
            drawn[bitmap] = label + 2
        assert (drawn == label_map).mean() > 0.98  # outlines are rounded differently


def test_masks_are_polygons_or_run_lengths_where_there_is_a_hole(root: Path) -> None:
    content = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    kinds = {
        (SHAPE_NAMES[entry["category_id"] - 1], type(entry["segmentation"]))
        for entry in content["annotations"]
    }
    assert ("ring", dict) in kinds
    assert ("star", list) in kinds


def test_label_maps_have_the_ground_and_the_shapes_of_the_class_list(root: Path) -> None:
    names = (root / "classes.txt").read_text().split()
    assert names == [GROUND_NAME, *SHAPE_NAMES]
    maps = [
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in sorted((root / "annotations" / "training").glob("*.png"))
    ]
    assert {*np.unique(maps).tolist()} == set(range(1, 8))


def test_shapes_overlap_but_none_is_buried() -> None:
    covered = 0
    for seed in range(20):
        drawn = draw_shapes(np.random.default_rng(seed), size=SIZE)
        areas = np.bincount(drawn.object_map.ravel(), minlength=len(drawn.labels) + 1)[1:]
        assert (areas > 0).all()
        assert 1 <= len(drawn.labels) <= 8
        # Where two objects touch, one lies on the other.
        touching = (drawn.object_map[:, 1:] != drawn.object_map[:, :-1]) & (
            np.minimum(drawn.object_map[:, 1:], drawn.object_map[:, :-1]) > 0
        )
        covered += bool(touching.any())
    assert covered > 10


@pytest.mark.parametrize(
    "options",
    [
        {"num_train": 0, "num_val": 1},
        {"num_train": 1, "num_val": 0},
        {"num_train": 1, "num_val": 1, "size": 16},
        {"num_train": 1, "num_val": 1, "seed": -1},
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must have at least 1 image"):
        write_shapes(tmp_path / "drawn", **options)


def test_a_folder_in_use_is_left_alone(root: Path) -> None:
    before = _digest(root)
    with pytest.raises(ValueError, match="new or empty folder, got"):
        write_shapes(root, num_train=1, num_val=1)
    assert _digest(root) == before


def test_panoptic_segments_are_the_shapes_and_the_ground(root: Path) -> None:
    dataset = CocoPanoptic(root, "train2017", transforms=panoptic_eval((SIZE, SIZE)))
    assert len(dataset) == 12
    assert dataset.class_names == (*SHAPE_NAMES, GROUND_NAME)
    assert dataset.is_thing == (True,) * 6 + (False,)
    for index in range(len(dataset)):
        stem = Path(dataset.file_names[index]).stem
        label_map = cv2.imread(
            str(root / "annotations" / "training" / f"{stem}.png"), cv2.IMREAD_UNCHANGED
        )
        ids, segments = dataset.load_segments(index)
        assert (ids > 0).all()
        for segment in segments:
            label = 1 if segment.label == 6 else segment.label + 2
            assert (label_map[ids == segment.id] == label).all()
            assert (ids == segment.id).sum() == segment.area
