"""Convolution with a bias and an optional ReLU, under the name published detectors use."""

from torch import Tensor, nn

from swin_dense.kernels.convolution import convolve
from swin_dense.kernels.kept_values import KeepsValues


class ConvBlock(KeepsValues):
    """`relu(conv(x))`, or `conv(x)`, with a convolution that keeps the size.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd side length in cells; the border is padded with zeros.
        relu: whether a ReLU follows.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, relu: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.relu = relu
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as He et al. 2015 (fan-out) before a ReLU, else as Glorot 2010."""
        if self.relu:
            nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        else:
            nn.init.xavier_uniform_(self.conv.weight)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""
        return convolve(self.conv, maps, relu=self.relu)
