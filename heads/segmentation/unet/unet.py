"""U-Net on any pyramid: backbone and decoder assembled."""

from collections.abc import Sequence

from torch import nn

from swin_dense.heads.segmentation.segmentor import Segmentor
from swin_dense.heads.segmentation.unet.config import UNetConfig
from swin_dense.heads.segmentation.unet.unet_head import UNetHead


class UNet(Segmentor):
    """Semantic segmentor with U-Net's decoder.

    Logits come at the image's own size where its sides are multiples of the finest stride, else
    they are resized to it.

    Arguments as `Model`'s.

    Raises:
        ValueError: see `Model`; or the decoder's blocks do not lead from the backbone's levels to
            the image.
    """

    config: UNetConfig
    decode_head: UNetHead

    def __init__(
        self,
        config: UNetConfig,
        *,
        backbone: nn.Module | None = None,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            config, backbone=backbone, class_names=class_names, category_ids=category_ids
        )
        channels, stride = self.pyramid.channels, self.pyramid.strides[0]
        needed = len(channels) - 1 + (stride - 1).bit_length()
        if len(config.decoder_channels) != needed:
            raise ValueError(
                f"decoder_channels must be {needed} for {len(channels)} levels from stride "
                f"{stride} px on, got {len(config.decoder_channels)}"
            )
        self.decode_head = UNetHead(channels, config.num_classes, channels=config.decoder_channels)
