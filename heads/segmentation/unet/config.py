"""Config of U-Net, with the widths that are common."""

from dataclasses import dataclass
from typing import ClassVar

from swin_dense.heads.model_config import ModelConfig
from swin_dense.ranges import Ranges


@dataclass(frozen=True, kw_only=True)
class UNetConfig(ModelConfig):
    """Everything that fixes a U-Net; defaults are those of segmentation_models_pytorch.

    Attributes:
        backbone: Swin Transformer, or a backbone of another kind (`--model.backbone NAME`).
        num_classes: classes K, 1..255; labels are 0..K-1, and 255 is ignored.
        decoder_channels: width of each of the decoder's blocks, the coarsest first: one for each
            finer level of the pyramid, and one for each doubling from there to the image's size.
    """

    ranges: ClassVar[Ranges] = {"decoder_channels": (1, 2**16)}

    num_classes: int = 150
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)

    def __post_init__(self) -> None:
        if not 1 <= self.num_classes <= 255:
            raise ValueError(f"num_classes must be in 1..255, got {self.num_classes}")
        if not self.decoder_channels or min(self.decoder_channels) < 1:
            raise ValueError(f"decoder_channels must be positive, got {self.decoder_channels}")
