"""Config of the segmentor, with the released models' defaults."""

from dataclasses import dataclass
from typing import ClassVar

from swin_dense.heads.model_config import ModelConfig
from swin_dense.ranges import Ranges


@dataclass(frozen=True, kw_only=True)
class UPerNetConfig(ModelConfig):
    """Everything that fixes a segmentor's architecture; defaults are the released ADE20K models'.

    Args:
        backbone: Swin Transformer, or a backbone of another kind (`--model.backbone NAME`).
        num_classes: classes K, 1..255; labels are 0..K-1, and 255 is ignored.
        decoder_channels: width of pyramid pooling and decoder.
        pool_scales: side lengths of the pooled grids, in cells.
        dropout: rate of the channel dropout before either classifier, 0..1.
        auxiliary_channels: width of the auxiliary head on stage 3; None leaves that head out.
        auxiliary_weight: what the auxiliary loss is multiplied by.
    """

    ranges: ClassVar[Ranges] = {
        "decoder_channels": (1, 2**16),
        "auxiliary_channels": (1, 2**16),
        "pool_scales": (1, 256),
    }

    num_classes: int = 150
    decoder_channels: int = 512
    pool_scales: tuple[int, ...] = (1, 2, 3, 6)
    dropout: float = 0.1
    auxiliary_channels: int | None = 256
    auxiliary_weight: float = 0.4

    def __post_init__(self) -> None:
        if not 1 <= self.num_classes <= 255:
            raise ValueError(f"num_classes must be in 1..255, got {self.num_classes}")
        for name in ("decoder_channels", "auxiliary_channels"):
            channels = getattr(self, name)
            if channels is not None and channels < 1:
                raise ValueError(f"{name} must be positive, got {channels}")
        if not self.pool_scales or min(self.pool_scales) < 1:
            raise ValueError(f"pool_scales must be positive cell counts, got {self.pool_scales}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.auxiliary_weight < 0:
            raise ValueError(f"auxiliary_weight must not be negative, got {self.auxiliary_weight}")
