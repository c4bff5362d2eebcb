"""Tests of COCO instances as a data set."""

from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from coco_writer import annotation, coco_content, write_coco
from PIL import Image
from pycocotools import mask as coco_mask
from recipe_pipelines import recipe_detection_train
from torch.utils.data import DataLoader

from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.formats.coco_layout import find_split, list_splits
from swin_dense.datasets.masks import bitmaps_from_runs
from swin_dense.datasets.samplers import AspectRatioGroupedBatchSampler
from swin_dense.datasets.samples import DetectionSample, collate_samples
from swin_dense.datasets.transforms.detection import detection_eval
from swin_dense.datasets.transforms.pipeline import compose

FULL = {"scale": (60, 40)}  # the size of the tiny images: nothing is resized


def _dataset(root: Path, content: Any, **options: Any) -> CocoDetection:
    write_coco(root, content)
    options.setdefault("transforms", detection_eval(**FULL))
    return CocoDetection(root, "val2017", **options)


def _bitmaps(sample: DetectionSample) -> torch.Tensor:
    height, width = sample["image"].shape[1:]
    return bitmaps_from_runs(sample["mask_counts"], sample["mask_num_runs"], (height, width))


def test_a_sample_holds_image_boxes_labels_and_masks(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, coco_content())
    sample = dataset[0]
    stored = cv2.imread(str(tmp_path / "val2017" / "five.png"))[..., ::-1]
    assert (sample["image"].permute(1, 2, 0).numpy() == stored).all()
    assert sample["image_id"] == 5
    assert sample["original_size"] == (40, 60)
    assert sample["boxes"].tolist() == [[10, 5, 30, 20], [30, 20, 40, 30]]
    assert sample["boxes"].dtype == torch.float32
    assert sample["labels"].tolist() == [1, 0]
    assert sample["labels"].dtype == sample["mask_num_runs"].dtype == torch.int64
    assert sample["mask_counts"].dtype == torch.int32
    bitmaps = _bitmaps(sample)
    assert bitmaps.sum((1, 2)).tolist() == [300, 100]
    assert bitmaps[0, 5:20, 10:30].all()


def test_labels_follow_the_rising_ids_whatever_their_order_and_gaps(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, coco_content())
    assert dataset.category_ids == (3, 7)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.image_ids == [5, 9]
    assert dataset.sizes == [(40, 60), (40, 60)]
    assert dataset.aspect_ratios.tolist() == [1.5, 1.5]


def test_what_is_no_target_is_left_out_and_counted(tmp_path: Path) -> None:
    content = coco_content()
    crowd = {"size": [40, 60], "counts": [100, 50, 2250]}
    content["annotations"] += [
        annotation(20, box=[1, 2, 10, 0]),
        annotation(21, box=[1, 2, 0.5, 9]),
        annotation(22, box=[1, 2, -3, 9]),
        annotation(23, box=[1, 2, 9, 9], area=0),
        annotation(24, box=[60, 2, 9, 9]),
        annotation(25, box=[-9, -9, 9, 9]),
        annotation(26, box=[0, 0, 9, 9], iscrowd=1, segmentation=crowd),
        annotation(27, box=[0, 0, 9, 9], segmentation=[[1, 2, 3, 4]]),
        annotation(28, box=[0, 0, 9, 9], segmentation=[]),
        annotation(29, box=[0, 0, 9, 9], segmentation=None),
    ]
    dataset = _dataset(tmp_path, content)
    assert dataset.report == {
        "boxes without area": 4,
        "boxes outside the image": 2,
        "crowds": 1,
        "polygons of fewer than 3 points": 1,
    }
    assert dataset.annotation_counts == {"boxes": 6, "masks": 3}
    assert len(dataset[0]["labels"]) == 5


def test_objects_without_a_mask_are_kept_for_their_boxes(tmp_path: Path) -> None:
    content = coco_content()
    runs = {"size": [40, 60], "counts": [100, 50, 2250]}
    content["annotations"] += [
        annotation(20, box=[1, 2, 9, 9], segmentation=[[1, 2, 3, 4]]),
        annotation(21, box=[2, 2, 9, 9], segmentation=runs),
        annotation(22, box=[3, 2, 9, 9], segmentation=[]),
    ]
    del content["annotations"][1]["segmentation"]
    dataset = _dataset(tmp_path, content)
    assert dataset.annotation_counts == {"boxes": 6, "masks": 3}
    sample = dataset[0]
    assert sample["has_mask"].tolist() == [True, True, False, True, False]
    assert _bitmaps(sample).sum((1, 2)).tolist() == [300, 100, 0, 50, 0]
    assert sample["boxes"][[2, 4]].tolist() == [[1, 2, 10, 11], [3, 2, 12, 11]]
    assert dataset[1]["has_mask"].tolist() == [False]


def test_what_has_a_mask_is_known_after_objects_were_dropped(tmp_path: Path) -> None:
    content = coco_content()
    runs = {"size": [40, 60], "counts": [2350, 50]}
    content["annotations"] = [
        annotation(20, box=[1, 1, 5, 5]),  # cropped away, as the next
        annotation(21, box=[2, 2, 9, 9], segmentation=None),
        annotation(22, box=[40, 20, 10, 10], segmentation=None),
        annotation(23, box=[58, 0, 2, 40], segmentation=runs),
        annotation(24, box=[41, 21, 10, 10]),
    ]
    crop = compose([A.Crop(30, 15, 60, 40, p=1)])
    sample = _dataset(tmp_path, content, transforms=crop)[0]
    assert sample["has_mask"].tolist() == [False, True, True]
    assert _bitmaps(sample).flatten(1).any(1).tolist() == [False, True, True]


def test_masks_that_nobody_looks_at_are_left_out(tmp_path: Path) -> None:
    content = coco_content()
    runs = {"size": [40, 60], "counts": [100, 50, 2250]}
    content["annotations"] += [annotation(21, box=[2, 2, 9, 9], segmentation=runs)]
    dataset = _dataset(tmp_path, content, with_masks=False)
    assert dataset.annotation_counts == {"boxes": 4, "masks": 4}
    assert dataset[0]["has_mask"].tolist() == [False] * 3
    assert len(dataset[0]["boxes"]) == 3
    assert not _bitmaps(dataset[0]).any()


def test_boxes_that_reach_out_of_the_image_are_cut(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = [annotation(1, box=[-5, 30, 20, 30])]
    sample = _dataset(tmp_path, content)[0]
    assert sample["boxes"].tolist() == [[0, 30, 15, 40]]
    assert _bitmaps(sample).sum() == 150


@pytest.mark.parametrize("compressed", [True, False])
def test_masks_in_run_lengths_are_read(tmp_path: Path, compressed: bool) -> None:
    counts = [83, 15, 25, 15, 2262]  # columns 2 and 3, rows 3 to 17
    runs: dict[str, Any] = {"size": [40, 60], "counts": counts}
    if compressed:
        runs["counts"] = coco_mask.frPyObjects(runs, 40, 60)["counts"].decode()
    content = coco_content()
    content["annotations"][0]["segmentation"] = runs
    bitmaps = _bitmaps(_dataset(tmp_path, content)[0])
    assert bitmaps[0].sum() == 30
    assert bitmaps[0, 3:18, 2:4].all()
    assert bitmaps[1, 20:30, 30:40].all()


def test_an_image_without_objects_gives_empty_tensors(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = [annotation(1, image_id=9, box=[0, 0, 9, 9])]
    sample = _dataset(tmp_path, content)[0]
    assert sample["boxes"].shape == (0, 4)
    assert sample["labels"].shape == sample["mask_num_runs"].shape == (0,)
    assert sample["mask_counts"].shape == (0,)
    assert _bitmaps(sample).shape == (0, 40, 60)


def test_training_drops_images_without_use_and_evaluation_keeps_them(tmp_path: Path) -> None:
    content = coco_content()
    content["images"] += [
        {"id": 20, "file_name": "empty.png", "height": 40, "width": 60},
        {"id": 21, "file_name": "small.png", "height": 31, "width": 60},
        {"id": 22, "file_name": "crowd.png", "height": 40, "width": 60},
    ]
    content["annotations"] += [
        annotation(21, image_id=21, box=[0, 0, 9, 9]),
        annotation(22, image_id=22, box=[0, 0, 9, 9], iscrowd=1),
    ]
    assert _dataset(tmp_path, content).image_ids == [5, 9, 20, 21, 22]
    kept = _dataset(tmp_path, content, drop_empty=True)
    assert kept.image_ids == [5, 9]
    assert kept.report == {"crowds": 1, "images without objects": 2, "images under 32 px": 1}
    assert kept[1]["boxes"].tolist() == [[0, 0, 30, 30]]


def test_a_split_of_crowds_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = [annotation(1, box=[0, 0, 9, 9], iscrowd=1)]
    with pytest.raises(ValueError, match=r"usable object, got none of 2; .*, 1 crowd"):
        _dataset(tmp_path, content, drop_empty=True)
    assert len(_dataset(tmp_path, content)[0]["labels"]) == 0


def test_a_missing_root_or_split_names_the_splits_that_exist(tmp_path: Path) -> None:
    write_coco(tmp_path, coco_content(), split="train2017")
    write_coco(tmp_path, coco_content(), split="val2017")
    assert list_splits(tmp_path) == ["train2017", "val2017"]
    with pytest.raises(FileNotFoundError, match=r"'test' .*splits there: train2017, val2017"):
        find_split(tmp_path, "test")
    (tmp_path / "annotations" / "instances_test.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"'test' .*test is missing; splits there: train"):
        find_split(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match="no data folder"):
        CocoDetection(tmp_path / "gone", "val2017", transforms=detection_eval((1333, 800)))
    with pytest.raises(FileNotFoundError, match="no split is there"):
        find_split(tmp_path / "annotations", "val2017")


def test_an_image_that_cannot_be_read_is_named_with_its_id(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, coco_content())
    (tmp_path / "val2017" / "five.png").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"five\.png cannot be read .* \(image 5\)"):
        dataset[0]
    (tmp_path / "val2017" / "five.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"five\.png \(image 5\)"):
        dataset[0]
    Image.new("RGB", (61, 40)).save(tmp_path / "val2017" / "nine.png")
    with pytest.raises(ValueError, match=r"60 x 40 .*, got 61 x 40 \(image 9\)"):
        dataset[1]


def test_images_in_subfolders_are_found(tmp_path: Path) -> None:
    content = coco_content()
    (tmp_path / "val2017" / "day").mkdir(parents=True)
    content["images"][0]["file_name"] = "day/five.png"
    assert _dataset(tmp_path, content)[0]["image"].shape == (3, 40, 60)


def test_a_pipeline_that_moves_no_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be made with transforms\.pipeline\.compose"):
        _dataset(tmp_path, coco_content(), transforms=A.Compose([]))


def _train_transforms() -> Any:
    return recipe_detection_train(
        long_side=120, short_sides=(40, 60), crop_short_sides=(50,), crop_range=(20, 40)
    )


def test_a_sample_depends_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    first = _dataset(tmp_path, coco_content(), transforms=_train_transforms(), seed=1)
    second = _dataset(tmp_path, coco_content(), transforms=_train_transforms(), seed=1)
    second[1], second[0, 5]
    assert torch.equal(first[0, 3]["image"], second[0, 3]["image"])
    assert torch.equal(first[0, 3]["mask_counts"], second[0, 3]["mask_counts"])
    epochs = [first[0, epoch]["image"] for epoch in range(8)]
    assert any(not torch.equal(epochs[0], other) for other in epochs[1:])
    assert torch.equal(first[0]["image"], epochs[0])


def test_workers_give_what_the_main_process_gives(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, coco_content(), transforms=_train_transforms())
    sampler = AspectRatioGroupedBatchSampler(dataset.aspect_ratios, 2)
    sampler.set_position(4)
    loaders = [
        DataLoader(
            dataset, batch_sampler=sampler, collate_fn=collate_samples, num_workers=num_workers
        )
        for num_workers in (0, 2)
    ]
    alone, shared_out = (next(iter(loader)) for loader in loaders)
    for one, other in zip(alone, shared_out, strict=True):
        assert one["image_id"] == other["image_id"]
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["boxes"], other["boxes"])


def test_the_original_image_and_its_objects_can_be_had(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, coco_content(), transforms=_train_transforms())
    assert dataset.load_image(1).shape == (40, 60, 3)
    instances = dataset.load_instances(1)
    assert instances.boxes.tolist() == [[0, 0, 30, 30]]
    assert len(instances.masks(dataset.sizes[1])) == 1


def test_real_images_load_with_boxes_around_their_masks(shared: Path) -> None:
    root = shared / "data" / "coco_mini"
    dataset = CocoDetection(
        root, "train2017", transforms=detection_eval((1333, 800)), drop_empty=True
    )
    assert (len(dataset), len(dataset.class_names)) == (80, 80)
    assert dataset.report["crowds"] == 6
    distances = []
    for index in range(0, 80, 16):
        sample = dataset[index]
        assert min(sample["image"].shape[1:]) <= 800
        for box, bitmap in zip(sample["boxes"], _bitmaps(sample), strict=True):
            rows, columns = np.nonzero(bitmap.numpy())
            around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            distances.append(np.abs(box.numpy() - around).max())
    assert np.median(distances) < 1
    assert np.max(distances) < 6


def test_the_two_boxes_without_height_of_coco_are_left_out(tmp_path: Path) -> None:
    # Annotation 918 of train2017: a polygon of 4 points on one line.
    flat = annotation(918, box=[10.0, 12.5, 21.3, 0.0], area=0.0)
    flat["segmentation"] = [[10.0, 12.5, 31.3, 12.5, 31.3, 12.5, 10.0, 12.5]]
    content = coco_content()
    content["annotations"].append(flat)
    dataset = _dataset(tmp_path, content)
    assert dataset.report == {"boxes without area": 1}
