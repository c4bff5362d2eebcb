"""Convolution, batch normalisation and ReLU, under the names published segmentors use."""

import torch
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
        weight, bias = self.kernel()
        return self.finish(F.conv2d(maps, weight, bias, padding=self.conv.padding))

    def kernel(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the convolution.

        Where neither training nor gradients need the normalisation apart, it is a fixed scale and
        shift and is folded into them, which saves a pass over the maps and their copy.
        """
        bn = self.bn
        if not self._folds:
            return self.conv.weight, None
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = bn.weight * torch.rsqrt(bn.running_var + bn.eps)  # (out_channels,)
        return self.conv.weight * scale[:, None, None, None], bn.bias - bn.running_mean * scale

    def finish(self, maps: Tensor) -> Tensor:
        """Do what follows a convolution with `kernel()`: normalisation, if not folded, and ReLU.

        A single value per channel (one image pooled to one cell) has no variance: then, in
        training too, the running statistics are used, where torch would raise. Synchronised
        normalisation is left alone, since other devices hold more values.
        """
        bn = self.bn
        single = maps.numel() == maps.shape[1]
        if self.training and single and not isinstance(bn, nn.SyncBatchNorm):
            maps = F.batch_norm(
                maps, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps
            )
        elif not self._folds:
            maps = bn(maps)
        return F.relu(maps, inplace=True)

    @property
    def _folds(self) -> bool:
        return not (self.training or self.bn.training or torch.is_grad_enabled())
