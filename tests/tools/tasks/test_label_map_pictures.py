"""Colours, areas and legends of label maps."""

import numpy as np
import torch

from swin_dense.datasets.categories import ade20k_classes
from swin_dense.tools.tasks.label_map_pictures import (
    background_labels,
    chart_colours,
    class_areas,
    class_colours,
    draw_with_legend,
    largest_first,
)


def test_colours_are_those_of_the_data_else_ade20ks_else_distinct() -> None:
    given = np.array([[1, 2, 3]], np.uint8)
    assert class_colours(1, given) is given
    assert np.array_equal(class_colours(150), ade20k_classes().colours)
    assert len(np.unique(class_colours(20), axis=0)) == 20


def test_areas_leave_out_ignored_pixels_and_rank_classes() -> None:
    areas = class_areas(torch.tensor([[0, 2, 2], [255, 255, 255]]), 4)
    assert areas.tolist() == [1, 0, 2, 0]
    assert largest_first(areas) == [2, 0]


def test_a_picture_for_each_label_map_and_one_for_the_classes() -> None:
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    maps = [torch.zeros(40, 60, dtype=torch.int64), torch.full((40, 60), 255)]
    names, colours = ("sky", "road"), class_colours(2)
    one = draw_with_legend(image, maps[:1], ["a"], class_names=names, colours=colours)
    two = draw_with_legend(image, maps, ["a", "b"], class_names=names, colours=colours)
    assert one.shape[0] == two.shape[0]
    assert two.shape[1] - one.shape[1] == 60 * 8 + 8  # an enlarged picture and the gap


def test_the_background_goes_by_its_name_and_is_not_painted() -> None:
    assert background_labels(("Background", "sky", "ground")) == [0, 2]
    assert background_labels(("earth, ground", "floor")) == []
    made = class_colours(2)
    red, green, blue = chart_colours(("background", "road"), made)[0].tolist()
    assert max(red, green, blue) - min(red, green, blue) < 30  # grey
    assert np.array_equal(chart_colours(("background", "road"), made)[1], made[1])
    image = torch.full((3, 500, 600), 100, dtype=torch.uint8)
    label_map = torch.zeros(500, 600, dtype=torch.int64)
    label_map[:, 300:] = 1
    names = ("background", "road")
    picture = draw_with_legend(
        image, [label_map], ["a"], class_names=names, colours=class_colours(2)
    )
    assert (picture[400, 100] == 100).all()
    assert (picture[400, 500] != 100).any()
