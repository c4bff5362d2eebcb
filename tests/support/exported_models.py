"""Small models to export, with random weights that make all classes appear."""

from pathlib import Path

import torch

import swin_dense as sd

BACKBONE = sd.SwinConfig(embed_dim=8, depths=(2, 1), num_heads=(1, 1), out_indices=(0, 1))


def save_segmentor(path: Path) -> sd.heads.Model:
    """Save a segmentor with two levels and three classes; gives it in eval mode."""
    torch.manual_seed(0)
    config = sd.heads.UPerNetConfig(
        backbone=BACKBONE, num_classes=3, decoder_channels=8, auxiliary_channels=None
    )
    model = sd.heads.create_model(config, class_names=["road", "sky", "tree"]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    sd.heads.save_model(model, path)
    return model
