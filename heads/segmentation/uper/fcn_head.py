"""One-convolution classifier on one pyramid level (Long et al. 2015, FCN): the auxiliary head."""

from torch import Tensor, nn

from swin_dense.heads.conv_norm import ConvNormReLU


class FCNHead(nn.Module):
    """A 3 x 3 convolution and a 1 x 1 classifier, at the resolution of the level.

    Args:
        in_channels: channels of the level.
        num_classes: classes K.
        channels: channels between the two convolutions.
        dropout: rate at which whole channels are dropped before the classifier.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, channels: int, dropout: float
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList([ConvNormReLU(in_channels, channels, kernel_size=3)])
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start the classifier near zero, so that all classes are equally likely."""
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        if self.conv_seg.bias is not None:
            nn.init.zeros_(self.conv_seg.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Class logits `(B, K, H, W)` of one level's `(B, in_channels, H, W)` maps."""
        for conv in self.convs:
            maps = conv(maps)
        return self.conv_seg(self.dropout(maps))  # (B, K, H, W)
