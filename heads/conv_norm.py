"""Convolution, batch normalisation and ReLU, under the names published segmentors use."""

import torch.nn.functional as F
from torch import Tensor, nn


class ConvNormReLU(nn.Module):
    """`relu(bn(conv(x)))` with a bias-free convolution that keeps the size.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd side length in cells; the border is padded with zeros.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-5)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the convolution as He et al. 2015 (fan-out); normalisation starts as identity."""
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.bn.reset_parameters()

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""
        return self.normalise(self.conv(maps))

    def normalise(self, maps: Tensor) -> Tensor:
        """Apply normalisation and ReLU to what the convolution gave.

        A single value per channel (one image pooled to one cell) has no variance: then, in
        training too, the running statistics are used, where torch would raise. Synchronised
        normalisation is left alone, since other devices hold more values.
        """
        single = maps.numel() == maps.shape[1]
        if self.training and single and not isinstance(self.bn, nn.SyncBatchNorm):
            bn = self.bn
            maps = F.batch_norm(
                maps, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps
            )
        else:
            maps = self.bn(maps)
        return F.relu(maps, inplace=True)
