"""Backbones of torchvision, timm and transformers, random weights; a library is imported on use."""

from collections.abc import Callable

from torch import Tensor, nn

_STAGES = (1, 3, 5, 7)  # of torchvision's `features`: after each the map of one stride


class TorchvisionStages(nn.Module):
    """The stages of torchvision's Swin Transformer: four maps, channels last, without norms.

    Args:
        features: the `features` of such a model.
    """

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """`(B, H_i, W_i, C_i)` of `(B, 3, H, W)`, fine to coarse."""
        maps, tokens = [], pixels
        for index, part in enumerate(self.features):
            tokens = part(tokens)  # (B, H, W, C) from the first on
            if index in _STAGES:
                maps.append(tokens)
        return maps


def torchvision_swin_t() -> nn.Module:
    """torchvision's Swin-T."""
    from torchvision.models import swin_t

    return TorchvisionStages(swin_t().features)


def timm_swin_t(size: tuple[int, int]) -> nn.Module:
    """timm's Swin-T for images of a size, `(height, width)`."""
    import timm

    return timm.create_model(
        "swin_tiny_patch4_window7_224", features_only=True, img_size=size, strict_img_size=False
    )


def transformers_swin_t() -> nn.Module:
    """transformers' Swin-T."""
    from transformers import SwinBackbone, SwinConfig

    return SwinBackbone(SwinConfig(out_features=["stage1", "stage2", "stage3", "stage4"]))


def timm_deit_s(size: tuple[int, int]) -> nn.Module:
    """timm's DeiT-S of patch 16 (Touvron et al. 2021) without its classifier.

    Args:
        size: (height, width) of the images, multiples of 16 px.
    """
    import timm

    return timm.create_model("deit_small_patch16_224", img_size=size, num_classes=0)


SWIN_T_PEERS: dict[str, Callable[[tuple[int, int]], nn.Module]] = {
    "torchvision": lambda _: torchvision_swin_t(),
    "timm": timm_swin_t,
    "transformers": lambda _: transformers_swin_t(),
}
"""By the library's name what makes its Swin-T for images of a size."""
