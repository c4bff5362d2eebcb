"""Anchors against hand-worked numbers."""

import torch

from swin_dense.heads.detection.boxes.anchors import anchors_in_image, make_anchors


def test_anchors_are_centred_on_cell_corners_and_not_rounded() -> None:
    anchors = make_anchors((2, 3), stride=4, scale=8.0, ratios=(0.5, 1.0, 2.0))
    assert anchors.shape == (2 * 3 * 3, 4)
    root = 2**0.5
    expected = torch.tensor(
        [
            [-16 * root, -8 * root, 16 * root, 8 * root],
            [-16, -16, 16, 16],
            [-8 * root, -16 * root, 8 * root, 16 * root],
        ]
    )
    torch.testing.assert_close(anchors[:3], expected)
    torch.testing.assert_close(anchors[3:6], expected + torch.tensor([4.0, 0, 4, 0]))
    torch.testing.assert_close(anchors[9:12], expected + torch.tensor([0.0, 4, 0, 4]))


def test_anchors_on_padding_of_other_images_take_no_part() -> None:
    # An image of 40 x 20 px pads itself to 64 x 32; the batch is 64 x 96.
    anchors = make_anchors((4, 6), stride=16, scale=1.0, ratios=(1.0,))
    inside = anchors_in_image(anchors, (40, 20), size_divisor=32, allowed_border=None).view(4, 6)
    assert inside[:, :2].all()
    assert not inside[:, 2:].any()


def test_anchors_beyond_the_allowed_border_take_no_part() -> None:
    anchors = torch.tensor([[0.0, 0, 8, 8], [-1, 0, 8, 8], [0, 0, 10, 8], [0, 0, 9.5, 8]])
    inside = anchors_in_image(anchors, (12, 10), size_divisor=32, allowed_border=0)
    assert inside.tolist() == [True, False, False, True]
    inside = anchors_in_image(anchors, (12, 10), size_divisor=32, allowed_border=2)
    assert inside.all()
    inside = anchors_in_image(anchors - 9, (12, 10), size_divisor=32, allowed_border=None)
    assert inside.all(), "without a border, how far an anchor leaves the image does not matter"
