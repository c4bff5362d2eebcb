"""Answers that the page gets: objects with outlines, label maps pixel by pixel, classes."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from swin_dense.tools.serve.choice import Choice
from swin_dense.tools.serve.views import DetectionView, PictureView, SegmentationView, view_of

EVERYTHING = Choice(threshold=0.0, opacity=0.6)


def _model(task: str, *names: str) -> SimpleNamespace:
    config = SimpleNamespace(num_classes=len(names))
    return SimpleNamespace(task=task, config=config, class_names=names, category_ids=None)


def _result() -> dict[str, torch.Tensor]:
    masks = torch.zeros(2, 20, 30, dtype=torch.bool)
    masks[0, 2:6, 4:9] = True
    masks[1, 1:19, 1:29] = True
    masks[1, 8:12, 10:20] = False  # a hole
    return {
        "boxes": torch.tensor([[4.0, 2.0, 9.0, 6.0], [1.0, 1.0, 29.0, 19.0]]),
        "scores": torch.tensor([0.9, 0.4]),
        "labels": torch.tensor([1, 0]),
        "masks": masks,
    }


def test_objects_come_largest_first_with_the_names_of_their_classes() -> None:
    view = DetectionView(_model("detection", "cat", "dog", "cow"))
    described = view.describe(view.pack(_result()), (20, 30))
    assert [one["label"] for one in described["objects"]] == [0, 1]
    assert [one["score"] for one in described["objects"]] == [0.4, 0.9]
    assert described["objects"][1]["box"] == [4.0, 2.0, 9.0, 6.0]
    assert [one["name"] for one in described["classes"]] == ["dog", "cat"]  # the surest first


def test_outlines_go_through_the_middles_of_the_masks_pixels_and_around_holes() -> None:
    view = DetectionView(_model("detection", "cat", "dog"))
    objects = view.describe(view.pack(_result()), (20, 30))["objects"]
    with_hole, square = ([np.reshape(line, (-1, 2)) for line in one["outlines"]] for one in objects)
    assert len(with_hole) == 2
    assert sorted(map(tuple, square[0].tolist())) == [
        *((4.5, 2.5), (4.5, 5.5), (8.5, 2.5), (8.5, 5.5))
    ]


def test_a_detector_without_masks_has_no_outlines() -> None:
    view = DetectionView(_model("detection", "cat", "dog"))
    result = {name: value for name, value in _result().items() if name != "masks"}
    described = view.describe(view.pack(result), (20, 30))
    assert not described["has_masks"]
    assert [one["outlines"] for one in described["objects"]] == [[], []]


def test_nothing_found_is_an_empty_view() -> None:
    view = DetectionView(_model("detection", "cat"))
    result = {
        "boxes": torch.zeros(0, 4),
        "scores": torch.zeros(0),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 20, 30, dtype=torch.bool),
    }
    packed = view.pack(result)
    described = view.describe(packed, (20, 30))
    assert (described["objects"], described["classes"]) == ([], [])
    assert len(view.unpack(packed, EVERYTHING)["boxes"]) == 0


def test_a_choice_keeps_what_scores_enough_and_is_switched_on() -> None:
    view = DetectionView(_model("detection", "cat", "dog"))
    packed = view.pack(_result())
    for choice, labels in (
        (EVERYTHING, [1, 0]),
        (Choice(threshold=0.5, opacity=1), [1]),
        (Choice(threshold=0, opacity=1, hidden=frozenset({1})), [0]),
    ):
        kept = view.unpack(packed, choice)
        assert kept["labels"].tolist() == labels
        assert len(kept["masks"]) == len(labels)


def test_a_label_map_reaches_the_page_pixel_by_pixel() -> None:
    view = SegmentationView(_model("segmentation", "background", "tree", "road"))
    labels = torch.tensor([[0, 1, 1], [2, 255, 1]])
    described = view.describe(view.pack(labels), (2, 3))
    encoded = described["label_map"].partition("base64,")[2]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert pixels.shape == (2, 3, 3)
    assert (pixels == labels.numpy()[..., None]).all()
    assert [(one["name"], one["share"]) for one in described["classes"]] == [
        *(("tree", 0.5), ("background", 1 / 6), ("road", 1 / 6))
    ]
    assert [one["is_painted"] for one in described["classes"]] == [True, False, True]


def test_a_large_label_map_is_shown_by_its_pixels_never_between_them() -> None:
    view = SegmentationView(_model("segmentation", *"abc"))
    labels = torch.zeros(40, 60, dtype=torch.int64)
    labels[:, 30:] = 2
    encoded = view.describe(view.pack(labels), (10, 15))["label_map"].partition("base64,")[2]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert pixels.shape == (10, 15, 3)
    assert set(np.unique(pixels)) == {0, 2}


def test_a_task_that_the_page_does_not_know_shows_its_own_picture() -> None:
    view = view_of(_model("pose", "person"))
    assert isinstance(view, PictureView)
    assert view.describe(view.pack("result"), (2, 3)) == {"classes": []}
    assert view.unpack("result", EVERYTHING) == "result"
