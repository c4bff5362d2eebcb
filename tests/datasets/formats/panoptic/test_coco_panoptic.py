"""Tests of the data set of panoptic segmentations."""

import json
from pathlib import Path

import numpy as np
import pytest
from panoptic_writer import CROWD, PERSON, SKY, panoptic_content, panoptic_ids, write_panoptic

from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic, place_segments
from swin_dense.datasets.formats.panoptic.segment_pngs import encode_segment_ids
from swin_dense.datasets.transforms.panoptic import panoptic_eval, panoptic_jitter
from swin_dense.datasets.transforms.pipeline import Pipeline


def test_samples_have_the_segments_of_the_files(tmp_path: Path) -> None:
    write_panoptic(tmp_path, panoptic_content())
    dataset = CocoPanoptic(tmp_path, "val2017", transforms=panoptic_eval((60, 40)))
    assert (dataset.class_names, dataset.is_thing) == (("sky", "person"), (False, True))
    assert dataset.category_ids == (3, 7)
    assert dataset.colours is not None
    assert dataset.colours.tolist() == [[70, 130, 180], [220, 20, 60]]
    assert "2 images, 1 things and 1 stuff, 6 segments (person 4, sky 2)" in dataset.description
    sample = dataset[1]
    assert (sample["image_id"], sample["original_size"]) == (9, (20, 30))
    assert sample["image"].shape == (3, 40, 60)
    assert sample["segment_map"].shape == (20, 30)  # of the original: it is compared there
    assert sample["labels"].tolist() == [1, 1, 0]
    assert sample["is_crowd"].tolist() == [False, True, False]
    assert sample["areas"].tolist() == [300, 120, 155]
    ids = panoptic_ids()
    for place, segment in enumerate((PERSON, CROWD, SKY), start=1):
        assert np.array_equal(sample["segment_map"].numpy() == place, ids == segment)


def test_a_training_sample_depends_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    write_panoptic(tmp_path, panoptic_content())

    def open_with(seed: int) -> CocoPanoptic:
        jitter = panoptic_jitter(size=32, ratios=(0.5, 2.0), flip=0.5)
        return CocoPanoptic(tmp_path, "val2017", transforms=jitter, seed=seed)

    first, again, other = open_with(0), open_with(0), open_with(1)
    assert first[0, 3]["image"].shape == (3, 32, 32)
    assert (first[0, 3]["image"] == again[0, 3]["image"]).all()
    assert (first[0, 3]["segment_map"] == again[0, 3]["segment_map"]).all()
    assert (first[0, 3]["image"] != other[0, 3]["image"]).any()
    assert (first[0, 3]["image"] != first[0, 4]["image"]).any()


def test_a_segment_without_a_stated_area_gets_its_pixels(tmp_path: Path) -> None:
    content = json.loads(json.dumps(panoptic_content()))
    for entry in content["annotations"]:
        del entry["segments_info"][2]["area"]
    write_panoptic(tmp_path, content)
    dataset = CocoPanoptic(tmp_path, "val2017", transforms=Pipeline([]))
    assert [segment.area for segment in dataset.load_segments(0)[1]] == [300, 120, 155]


def test_a_segment_of_the_png_that_the_file_does_not_list_is_named(tmp_path: Path) -> None:
    path = write_panoptic(tmp_path, panoptic_content())
    ids = panoptic_ids()
    ids[3, 3] = 12_345
    (path.with_suffix("") / "nine.png").write_bytes(encode_segment_ids(ids))
    dataset = CocoPanoptic(tmp_path, "val2017", transforms=Pipeline([]))
    assert len(dataset[0]["labels"]) == 3
    with pytest.raises(ValueError, match=r"in the JSON file, got 12345 in .*nine.png .*image 9"):
        dataset[1]


def test_a_png_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = write_panoptic(tmp_path, panoptic_content())
    png = path.with_suffix("") / "nine.png"
    png.write_bytes(png.read_bytes()[:80])
    dataset = CocoPanoptic(tmp_path, "val2017", transforms=Pipeline([]))
    with pytest.raises(ValueError, match=r"nine\.png cannot be read"):
        dataset[1]


def test_splits_are_found_by_meaning_and_named_where_there_is_none(tmp_path: Path) -> None:
    write_panoptic(tmp_path, panoptic_content())
    dataset = CocoPanoptic(tmp_path, "validation", transforms=Pipeline([]))
    assert dataset.split_name == "val2017"
    with pytest.raises(FileNotFoundError, match=r"no panoptic split 'train2017'.* there: val2017"):
        CocoPanoptic(tmp_path, "train2017", transforms=Pipeline([]))


def test_pngs_may_lie_in_the_root_and_ade20k_has_its_own_folders(tmp_path: Path) -> None:
    coco, ade = tmp_path / "coco", tmp_path / "ade"
    path = write_panoptic(coco, panoptic_content())
    path.with_suffix("").rename(coco / path.stem)
    assert len(CocoPanoptic(coco, "val2017", transforms=Pipeline([]))[0]["labels"]) == 3
    path = write_panoptic(ade, panoptic_content(), split="val")
    path.with_suffix("").rename(ade / "ade20k_panoptic_val")
    path.rename(ade / "ade20k_panoptic_val.json")
    (ade / "images").mkdir()
    (ade / "val").rename(ade / "images" / "validation")
    dataset = CocoPanoptic(ade, "val2017", transforms=Pipeline([]))
    assert dataset.split_name == "val"
    assert len(dataset[0]["labels"]) == 3


def test_places_count_from_one_and_mark_ids_that_are_not_listed() -> None:
    ids = np.array([[0, 50, 7], [3, 9, 51]])
    assert place_segments(ids, [9, 50, 7]).tolist() == [[0, 2, 3], [4, 1, 4]]
    assert place_segments(ids, []).tolist() == [[0, 1, 1], [1, 1, 1]]
