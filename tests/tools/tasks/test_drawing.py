"""Pictures: what is drawn where, sizes, and images of any size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from swin_dense.datasets.masks import compress_masks
from swin_dense.tools.tasks.drawing import (
    as_hex,
    class_colour,
    draw_detections,
    draw_label_map,
    draw_legend,
    reduce_picture,
    save_picture,
    side_by_side,
)


def _result(size: tuple[int, int], boxes: list[list[float]]) -> dict[str, torch.Tensor]:
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.arange(len(boxes)),
        "scores": torch.linspace(0.9, 0.5, len(boxes)),
        "masks": masks,
    }


def test_masks_tint_their_pixels_and_leave_others() -> None:
    image = torch.full((3, 600, 800), 100, dtype=torch.uint8)
    picture = draw_detections(image, _result((600, 800), [[200, 200, 400, 500]]), ["cat"])
    assert picture.shape == (600, 800, 3)
    expected = 0.55 * 100 + 0.45 * np.array(class_colour(0))
    assert np.abs(picture[350, 300] - expected).max() <= 1
    assert (picture[550, 700] == 100).all()


def test_the_image_given_is_not_drawn_on() -> None:
    image = torch.full((3, 500, 500), 7, dtype=torch.uint8)
    draw_detections(image, _result((500, 500), [[10, 10, 200, 200]]), ["cat"])
    assert (image == 7).all()


def test_small_images_are_enlarged_by_a_whole_number() -> None:
    image = torch.zeros(3, 96, 128, dtype=torch.uint8)
    picture = draw_detections(image, _result((96, 128), [[4, 4, 60, 60]]), ["cat"])
    assert picture.shape == (4 * 96, 4 * 128, 3)


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (1200, 40)])
def test_any_size_can_be_drawn_with_long_names_and_boxes_at_the_border(
    size: tuple[int, int],
) -> None:
    height, width = size
    image = torch.zeros(3, *size, dtype=torch.uint8)
    result = _result(size, [[0, 0, width, height], [0, 0, 1, 1]])
    picture = draw_detections(image, result, ["a rather long name of a class"])
    assert picture.shape[0] % height == 0


def test_nothing_found_gives_the_image() -> None:
    image = torch.full((3, 500, 600), 9, dtype=torch.uint8)
    picture = draw_detections(image, _result((500, 600), []), ["cat"])
    assert (picture == 9).all()


def test_ground_truth_without_scores_and_masks_is_drawn() -> None:
    image = torch.zeros(3, 500, 600, dtype=torch.uint8)
    result = _result((500, 600), [[100, 100, 300, 300]])
    picture = draw_detections(image, {k: result[k] for k in ("boxes", "labels")}, ["cat"])
    assert (picture[200, 100] == class_colour(0)).all()
    assert (picture[200, 200] == 0).all()


@pytest.mark.parametrize("size", [(60, 80), (600, 700)])
def test_masks_as_run_lengths_are_drawn_as_bitmaps_are(
    size: tuple[int, int], generator: torch.Generator
) -> None:
    height, width = size
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    result = _result(size, [[0, 0, width, height], [5, 9, 30, 40], [20, 2, 70, 59], [0, 0, 1, 1]])
    coarse = torch.rand(1, 4, 8, 8, generator=generator)
    result["masks"] &= torch.nn.functional.interpolate(coarse, size=size)[0] > 0.4
    result["masks"][3] = False
    names = ["a", "b", "c", "d"]
    drawn = draw_detections(image, result, names)
    compressed = result | {"masks": compress_masks(result["masks"])}
    assert (draw_detections(image, compressed, names) == drawn).all()
    wrong = result | {"masks": compress_masks(result["masks"][:, 1:])}
    with pytest.raises(ValueError, match="masks must have the image's size"):
        draw_detections(image, wrong, names)


def test_captions_of_one_place_do_not_cover_each_other() -> None:
    image = torch.zeros(3, 500, 600, dtype=torch.uint8)
    result = _result((500, 600), [[100, 100, 300, 300], [100, 100, 300, 300]])
    picture = draw_detections(image, result, ["first", "second"])
    filled = [(picture == np.array(class_colour(label))).all(axis=2).sum() for label in (0, 1)]
    assert min(filled) > 600  # px of either caption's ground


def test_twenty_classes_have_twenty_colours() -> None:
    assert len({class_colour(label) for label in range(20)}) == 20


def test_colours_can_be_seen_on_white_and_on_black() -> None:
    for label in range(60):
        linear = [(part / 255) ** 2.2 for part in class_colour(label)]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) > 2.3  # contrast of WCAG
        assert (luminance + 0.05) / 0.05 > 3


def test_a_colour_is_written_as_style_sheets_take_it() -> None:
    assert as_hex((255, 0, 10)) == as_hex(np.array([255, 0, 10], np.uint8)) == "#ff000a"


@pytest.mark.parametrize(
    ("image", "masks", "message"),
    [
        (torch.zeros(3, 4, 4), (1, 4, 4), r"uint8, got \(3, 4, 4\) torch.float32"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), (1, 4, 5), r"size \(4, 4\), got \(4, 5\)"),
    ],
)
def test_images_and_masks_that_do_not_fit_are_refused(
    image: torch.Tensor, masks: tuple[int, ...], message: str
) -> None:
    result = {
        "boxes": torch.tensor([[0.0, 0, 1, 1]]),
        "labels": torch.tensor([0]),
        "masks": torch.zeros(masks, dtype=torch.bool),
    }
    with pytest.raises(ValueError, match=message):
        draw_detections(image, result, ["cat"])


def test_pictures_side_by_side_keep_their_pixels_under_a_title() -> None:
    left, right = np.full((20, 30, 3), 50, np.uint8), np.full((10, 40, 3), 90, np.uint8)
    sheet = side_by_side([left, right], ["a", "b"], gap=4)
    assert sheet.shape[1] == 30 + 4 + 40
    head = sheet.shape[0] - 20
    assert (sheet[head:, :30] == 50).all()
    assert (sheet[head : head + 10, 34:] == 90).all()


def test_a_picture_is_written_whole_under_its_name(tmp_path: Path) -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    save_picture(picture, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (np.asarray(Image.open(tmp_path / "a.png")) == picture).all()


def test_a_label_map_tints_its_classes_and_leaves_what_is_ignored() -> None:
    image = torch.full((3, 600, 500), 100, dtype=torch.uint8)
    labels = torch.zeros(600, 500, dtype=torch.int64)
    labels[300:] = 1
    labels[:, 400:] = 255
    colours = np.array([[250, 0, 0], [0, 0, 250]], np.uint8)
    picture = draw_label_map(image, labels, colours)
    assert picture[100, 100].tolist() == [190, 40, 40]
    assert picture[500, 100].tolist() == [40, 40, 190]
    assert (picture[:, 400:] == 100).all()
    unpainted = draw_label_map(image, labels, colours, unpainted=[0])
    assert (unpainted[100, 100] == 100).all()
    assert unpainted[500, 100].tolist() == [40, 40, 190]
    with pytest.raises(ValueError, match=r"labels must have the image's size \(600, 500\)"):
        draw_label_map(image, labels[1:], colours)


def test_a_legend_names_as_many_classes_as_there_is_room_for() -> None:
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)
    names = ("sky", "road", "a name that goes on and on and on")
    all_three = draw_legend([2, 0, 1], names, colours, height=100)
    assert [int((all_three == colour).all(axis=2).any()) for colour in colours] == [1, 1, 1]
    two_rows = draw_legend([2, 0, 1], names, colours, height=50)
    assert [int((two_rows == colour).all(axis=2).any()) for colour in colours] == [0, 0, 1]
    assert two_rows.shape == (50, all_three.shape[1], 3)
    hollow = draw_legend([2, 0, 1], names, colours, height=100, unpainted=[0])
    assert [int((hollow == colour).all(axis=2).any()) for colour in colours] == [0, 1, 1]


def test_a_picture_is_reduced_to_its_longest_side_and_never_enlarged() -> None:
    picture = np.zeros((100, 40, 3), np.uint8)
    picture[50:] = 200
    reduced = reduce_picture(picture, 50)
    assert reduced.shape == (50, 20, 3)
    assert reduced.dtype == np.uint8
    assert (reduced[:25] == 0).all()
    assert (reduced[25:] == 200).all()
    assert reduce_picture(picture, 100) is picture
    assert reduce_picture(np.zeros((1, 900, 3), np.uint8), 90).shape == (1, 90, 3)
