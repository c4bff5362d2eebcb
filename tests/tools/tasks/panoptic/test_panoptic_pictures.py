"""Pictures of panoptic segmentations."""

import numpy as np
import torch

from swin_dense.datasets.samples import Segment
from swin_dense.tools.tasks.panoptic.panoptic_pictures import draw_segments, segment_colours

_COLOURS = np.array([[200, 0, 0], [0, 0, 200]], np.uint8)


def test_stuff_has_its_class_colour_things_differ_and_void_stays() -> None:
    image = torch.zeros(3, 300, 300, dtype=torch.uint8)
    ids = np.zeros((300, 300), np.int64)
    ids[:100], ids[100:200, :150], ids[100:200, 150:] = 7, 8, 9
    segments = [Segment(7, 0), Segment(8, 1), Segment(9, 1)]
    picture = draw_segments(
        image,
        ids,
        segments,
        class_names=("sky", "person"),
        is_thing=(False, True),
        colours=_COLOURS,
        scores=[0.5, 0.6, 0.7],
    )
    scale = picture.shape[0] // 300

    def at(row: int, column: int) -> list[int]:
        return picture[row * scale, column * scale].tolist()

    assert at(70, 280) == [120, 0, 0]  # an opacity of 0.6
    assert at(280, 200) == [0, 0, 0]
    assert at(180, 100) == [0, 0, 120]
    assert at(180, 250)[0] > 30  # the second person is lighter
    assert (picture[180 * scale, 150 * scale - 4 : 150 * scale + 4] > 200).any()  # the outline


def test_colours_of_the_data_go_before_made_ones() -> None:
    assert segment_colours(2, _COLOURS) is _COLOURS
    assert segment_colours(150).shape == (150, 3)
    assert len({tuple(colour) for colour in segment_colours(20).tolist()}) == 20
