"""A file that gives something else than the model is refused, with size and output named."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from swin_dense.heads.graphs import Graph
from swin_dense.tools.export.metadata import ExportMetadata
from swin_dense.tools.export.writing.proof import PROOF_SIZES, proof_images, prove
from swin_dense.tools.export.writing.tracing import TRACED_SIZE

CPU = torch.device("cpu")


class Mean(Graph):
    """The mean of an image's pixels, and their number."""

    outputs = ("mean", "count")

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.scale * image.float().mean(), torch.tensor(image.numel())


class FileOf:
    """Runs a graph as a file would, wrongly at one size."""

    metadata = ExportMetadata(part="model", outputs=("mean", "count"))

    def __init__(self, graph: Graph, *, wrong_at: int | None = None) -> None:
        self.graph, self.wrong_at = graph, wrong_at
        self.sizes: list[tuple[int, ...]] = []

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        self.sizes.append(image.shape[2:])
        values = {
            name: v.numpy() for name, v in self.graph.expected(torch.from_numpy(image)).items()
        }
        if len(self.sizes) - 1 == self.wrong_at:
            values["mean"] = values["mean"] + 1
        return values


def test_a_file_is_run_at_three_sizes_that_it_was_not_traced_at() -> None:
    file = FileOf(Mean())
    prove(file, Mean(), CPU)
    assert file.sizes == list(PROOF_SIZES)
    assert len(set(file.sizes)) == 3
    assert TRACED_SIZE not in file.sizes


@pytest.mark.parametrize("wrong_at", [0, 1, 2])
def test_a_difference_is_an_error_that_names_size_and_output(wrong_at: int) -> None:
    height, width = PROOF_SIZES[wrong_at]
    words = f"another mean at {height} x {width} px: differences up to 1, .*not kept"
    with pytest.raises(ValueError, match=words):
        prove(FileOf(Mean(), wrong_at=wrong_at), Mean(), CPU)


def test_a_file_that_does_not_run_is_an_error_that_names_the_size() -> None:
    class Broken(FileOf):
        def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
            raise RuntimeError("Reshape: the input cannot be reshaped\nat node 7")

    words = "does not run at 32 x 57 px: Reshape: the input cannot be reshaped$"
    with pytest.raises(ValueError, match=words):
        prove(Broken(Mean()), Mean(), CPU)


def test_graphs_of_any_number_of_images_are_proved_with_several() -> None:
    class AnyBatch(Mean):
        any_batch = True

    assert [len(images) for images in proof_images(AnyBatch())] == [1, 2, 3]
    assert [len(images) for images in proof_images(Mean())] == [1, 1, 1]
    first, again = (next(iter(proof_images(Mean()))) for _ in range(2))
    assert torch.equal(first, again)
    assert first.dtype == torch.uint8
    assert first.float().std() > 20
