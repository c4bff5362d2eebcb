"""UPerNet as a fixed graph of tensors, which other runtimes run at any image size."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.heads.graphs import Graph, normalise
from swin_dense.heads.segmentation.uper.upernet import UPerNet

# Pixels whose two best classes are so near each other that rounding decides.
_MOST_UNDECIDED = 1e-3


class UPerNetGraph(Graph):
    """A segmentor as a graph of one image.

    Args:
        model: whose parts it shares.

    Attributes:
        outputs: `logits` `(1, K, ceil(H/4), ceil(W/4))` float32, and `label_map` `(1, H, W)` int64,
            the best class of each pixel where the logits are resized to the image.
    """

    outputs = ("logits", "label_map")

    def __init__(self, model: UPerNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See `Graph`."""
        head = self.model.decode_head
        features = self.model.backbone(normalise(image, head.conv_seg.weight.dtype))
        logits = head(features).float()  # (1, K, H/4, W/4)
        size = (image.shape[-2], image.shape[-1])
        scores = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits, scores.argmax(dim=1)

    def expected(self, image: Tensor) -> dict[str, Tensor]:
        """The model's own prediction."""
        with torch.no_grad():
            logits, _ = self(image)
        (label_map,) = self.model.predict(list(image))
        return {"logits": logits, "label_map": label_map[None]}

    def differences(
        self, expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[str, str]]:
        """See `Graph`; of label maps the share of pixels counts."""
        rest = ({"logits": outputs["logits"]} for outputs in (expected, found))
        yield from super().differences(*rest)
        wanted, got = expected["label_map"], found["label_map"]
        if wanted.shape != got.shape:
            yield "label_map", f"shape {got.shape} instead of {wanted.shape}"
            return
        share = float(np.mean(wanted != got))
        limit = _MOST_UNDECIDED * self.tolerance / Graph.tolerance
        if share > limit:
            yield "label_map", f"other classes in {share:.2%} of the pixels, over {limit:.2%}"
