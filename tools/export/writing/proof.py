"""The proof of an exported file: what it gives at sizes it was not traced at is what the model
gives."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.heads.graphs import Graph
from swin_dense.tools.export.runtimes import Runtime

# Height and width, px: the smallest side, odd sides, whole windows in one and not in the other.
PROOF_SIZES = ((32, 57), (129, 98), (224, 320))


def prove(runtime: Runtime, graph: Graph, device: torch.device) -> None:
    """Run a file at three sizes and compare it with the model.

    Args:
        runtime: the file, opened.
        graph: what was exported; tells what is expected.
        device: of the graph.

    Raises:
        ValueError: an output differs; or the file does not run.
    """
    for image in proof_images(graph):
        size = f"{image.shape[2]} x {image.shape[3]} px"
        expected = {
            name: value.cpu().numpy() for name, value in graph.expected(image.to(device)).items()
        }
        try:
            found = runtime.run(image.numpy())
        except Exception as error:  # each runtime has classes of its own
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"the exported file does not run at {size}: {reason}") from error
        for name, difference in graph.differences(expected, found):
            raise ValueError(
                f"the exported file must give what the model gives, got another {name} at {size}: "
                f"{difference}; the file is not kept"
            )


def proof_images(graph: Graph) -> Iterator[Tensor]:
    """Images `(B, 3, H, W)` uint8: coarse random colours and fine noise, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    for place, size in enumerate(PROOF_SIZES):
        count = 1 + place if graph.any_batch else 1
        coarse = torch.rand(count, 3, 4, 5, generator=generator)
        smooth = F.interpolate(coarse, size=size, mode="bicubic", align_corners=False)
        noise = torch.rand(count, 3, *size, generator=generator)
        yield (255 * (0.9 * smooth + 0.1 * noise)).clamp(0, 255).byte()
