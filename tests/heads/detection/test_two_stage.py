"""Two-stage detector: stand-ins for its backbone, the sparse way through its RPN."""

from typing import Any

import pytest
import torch
from torch import nn

from swin_dense.configs import SwinConfig
from swin_dense.heads.detection.config import MaskRCNNConfig, RPNConfig
from swin_dense.heads.detection.mask_rcnn import MaskRCNN
from swin_dense.heads.detection.rpn import RPNHead

TINY = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4)


def test_any_module_with_channels_and_strides_can_be_the_backbone() -> None:
    class Pooling(nn.Module):
        """Two maps of three channels."""

        channels, strides = (3, 3), (4, 8)

        def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
            return [nn.functional.avg_pool2d(pixels, s, ceil_mode=True) for s in self.strides]

    config = MaskRCNNConfig(backbone=TINY, num_classes=2, fpn_channels=8)
    model = MaskRCNN(config, backbone=Pooling())
    target = {
        "boxes": torch.tensor([[1.0, 1, 5, 6]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, 40, 50),
    }
    losses = model([torch.zeros(3, 40, 50, dtype=torch.uint8)], [target])
    assert all(loss.isfinite() for loss in losses.values())
    assert model.rpn_head.strides == (4, 8, 16)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_sparse_forward_of_the_rpn_changes_no_loss_and_no_gradient(
    precision: str, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpn = RPNConfig(num_samples=16, train_nms_pre=50, train_max_proposals=50)
    model: Any = MaskRCNN(MaskRCNNConfig(backbone=TINY, num_classes=2, fpn_channels=8, rpn=rpn))
    pixels = torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(1, 128, 128)
    masks[:, 20:90, 30:80] = 1
    target = {
        "boxes": torch.tensor([[30.0, 20, 80, 90]]),
        "labels": torch.tensor([1]),
        "masks": masks,
    }
    images, targets = (
        [pixels, pixels[:, :64, :64]],
        [target, target | {"masks": masks[:, :64, :64]}],
    )
    rule, is_sparse, runs = RPNHead.use_sparse_forward, [], []
    for is_allowed in (True, False):

        def decide(*args: Any, is_allowed: bool = is_allowed) -> bool:
            is_sparse.append(is_allowed and rule(*args))
            return is_sparse[-1]

        monkeypatch.setattr(RPNHead, "use_sparse_forward", decide)
        torch.manual_seed(1)  # of the samples
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            losses = model(images, targets)
        sum(losses.values()).backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        assert [name for name, gradient in gradients.items() if gradient is None] == []
        runs.append((losses, gradients))
    assert is_sparse == [True, False, False, False]  # the second image is small
    # Of rounding; with 8 bits of precision it adds up over the layers.
    bounds = {"float32": (1e-4, 1e-6), "bfloat16": (0.1, 0.02)}[precision]
    for sparse, whole in zip(*runs, strict=True):
        torch.testing.assert_close(sparse, whole, rtol=bounds[0], atol=bounds[1])
