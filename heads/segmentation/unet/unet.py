"""U-Net on any pyramid: backbone and decoder assembled."""

from collections.abc import Sequence

from torch import nn

from swin_dense.heads.segmentation.unet.config import UNetConfig
from swin_dense.heads.segmentation.unet.unet_head import UNetHead
from swin_dense.heads.segmentation.uper.upernet import UPerNet
from swin_dense.heads.whole_model import Model


class UNet(UPerNet):
    """Semantic segmentor with U-Net's decoder; losses, windows and scales are UPerNet's.

    Logits come at the image's own size where its sides are multiples of the finest stride, else
    they are resized to it.

    Arguments as `Model`'s.

    Raises:
        ValueError: see `Model`; or the decoder's blocks do not lead from the backbone's levels to
            the image.
    """

    config: UNetConfig  # type: ignore[assignment]  # of UPerNet's it has what the methods ask for

    def __init__(
        self,
        config: UNetConfig,
        *,
        backbone: nn.Module | None = None,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        Model.__init__(
            self, config, backbone=backbone, class_names=class_names, category_ids=category_ids
        )
        channels, stride = self.pyramid.channels, self.pyramid.strides[0]
        needed = len(channels) - 1 + (stride - 1).bit_length()
        if len(config.decoder_channels) != needed:
            raise ValueError(
                f"decoder_channels must be {needed} for {len(channels)} levels from stride "
                f"{stride} px on, got {len(config.decoder_channels)}"
            )
        self.decode_head = UNetHead(  # type: ignore[assignment]
            channels, config.num_classes, channels=config.decoder_channels
        )
        self.auxiliary_head = None
