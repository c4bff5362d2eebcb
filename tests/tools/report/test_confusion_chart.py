"""The confusion matrix: shares of rows, what is listed, what is a table and what a picture."""

import re

import numpy as np
import pytest

from swin_dense.tools.report.confusion_chart import confusion_blocks, row_shares
from swin_dense.tools.tasks.scores import Confusion


def _confusion(
    counts: list[list[int]], *names: str, unit: str = "objects", **more: bool
) -> Confusion:
    return Confusion(names=names, counts=np.array(counts), unit=unit, rule="At IoU 0.5.", **more)


def test_shares_are_of_the_row_and_an_empty_row_has_none() -> None:
    shares = row_shares(np.array([[1, 3], [0, 0]]))
    assert shares.tolist() == [[0.25, 0.75], [0.0, 0.0]]


def test_the_list_has_the_largest_first_and_leaves_out_the_background() -> None:
    counts = [[9, 1, 7], [4, 9, 0], [5, 5, 0]]
    page = "".join(
        confusion_blocks(_confusion(counts, "cat", "dog", "background", has_background=True))
    )
    rows = re.findall(r"<td>(\w+)</td><td>(\w+)</td><td>(\d+)</td>", page)
    assert rows == [("dog", "cat", "4"), ("cat", "dog", "1")]


def test_a_class_that_is_named_background_is_a_class() -> None:
    page = "".join(confusion_blocks(_confusion([[9, 1], [4, 9]], "cat", "background")))
    assert "<td>background</td><td>cat</td><td>4</td>" in page


def test_a_matrix_without_confusions_says_so() -> None:
    assert "None." in "".join(confusion_blocks(_confusion([[3, 0], [0, 2]], "cat", "dog")))


@pytest.mark.parametrize(
    ("unit", "cell"), [("objects", ">3<"), ("pixels", ">75.0<")], ids=["objects", "pixels"]
)
def test_cells_count_objects_and_give_the_share_of_pixels(unit: str, cell: str) -> None:
    table = confusion_blocks(_confusion([[3, 1], [0, 0]], "cat", "dog", unit=unit))[1]
    assert cell in table


def test_many_classes_are_a_picture_with_a_cell_a_pair() -> None:
    names = [f"class {place}" for place in range(30)]
    counts = np.eye(30, dtype=np.int64).tolist()
    page = "".join(confusion_blocks(_confusion(counts, *names)))
    assert page.count("data:image/png") == 2
    assert 'class="matrix"' not in page
