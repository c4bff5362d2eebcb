"""What every detector shares: stand-ins for its backbone."""

import torch
from torch import nn

from swin_dense.backbone import SwinConfig
from swin_dense.heads.mask_rcnn import MaskRCNN, MaskRCNNConfig

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
