"""A traced graph holds at every size: also where a map is one cell, and where one box is left."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from swin_dense.heads.graphs import Graph, pad_to_multiple
from swin_dense.tools.export.writing.tracing import trace

CPU = torch.device("cpu")


class BestBoxes(Graph):
    """Boxes of an image's rows that do not overlap, and the image, padded."""

    outputs = ("boxes", "padded")

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        rows = image[0, 0].float()  # (H, W)
        boxes = torch.cat([rows[:, :2], rows[:, :2] + 10], dim=1)  # (H, 4)
        keep = nms(boxes, rows[:, 3], 0.5)
        return boxes[keep], pad_to_multiple(image.float(), 32).flip(2)


@pytest.fixture(scope="module")
def program() -> torch.nn.Module:
    return trace(BestBoxes().eval(), CPU).module()


@pytest.mark.parametrize("size", [(32, 32), (33, 64), (150, 40)])
def test_a_traced_graph_gives_what_the_graph_gives(
    size: tuple[int, int], program: torch.nn.Module
) -> None:
    noise = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    for image in (noise, torch.zeros_like(noise)):  # of which one box is left
        for found, expected in zip(program(image), BestBoxes()(image), strict=True):
            assert torch.equal(found, expected)
