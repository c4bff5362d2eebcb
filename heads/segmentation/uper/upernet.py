"""UPerNet semantic segmentor: backbone, decoder and auxiliary head assembled (Xiao et al. 2018)."""

from collections.abc import Sequence

from torch import Tensor, nn

from swin_dense.heads.segmentation.segmentor import Segmentor, mean_cross_entropy
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.heads.segmentation.uper.fcn_head import FCNHead
from swin_dense.heads.segmentation.uper.uper_head import UPerHead

# The pyramid level, from 0, that the auxiliary head reads: stage 3.
_AUXILIARY_LEVEL = 2


class UPerNet(Segmentor):
    """Semantic segmentor with UPerNet's decoder.

    Arguments as `Model`'s.

    Raises:
        ValueError: see `Model`; or the backbone gives too few levels.
    """

    config: UPerNetConfig
    decode_head: UPerHead

    def __init__(
        self,
        config: UPerNetConfig,
        *,
        backbone: nn.Module | None = None,
        class_names: Sequence[str] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            config, backbone=backbone, class_names=class_names, category_ids=category_ids
        )
        channels = self.pyramid.channels
        needed = 2 if config.auxiliary_channels is None else _AUXILIARY_LEVEL + 1
        if len(channels) < needed:
            raise ValueError(f"backbone must give at least {needed} levels, got {len(channels)}")
        self.decode_head = UPerHead(
            channels,
            config.num_classes,
            channels=config.decoder_channels,
            pool_scales=config.pool_scales,
            dropout=config.dropout,
        )
        self.auxiliary_head = (
            None
            if config.auxiliary_channels is None
            else FCNHead(
                channels[_AUXILIARY_LEVEL],
                config.num_classes,
                channels=config.auxiliary_channels,
                dropout=config.dropout,
            )
        )

    def _losses(self, features: Sequence[Tensor], labels: Tensor) -> dict[str, Tensor]:
        losses = super()._losses(features, labels)
        if self.auxiliary_head is not None:
            logits = self.auxiliary_head(features[_AUXILIARY_LEVEL])
            losses["loss_aux"] = self.config.auxiliary_weight * mean_cross_entropy(logits, labels)
        return losses
