"""Good inputs, of which the hostile ones are made."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from coco_writer import coco_content, write_coco

from swin_dense.configs import SwinConfig
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.detection.config import BoxConfig, MaskConfig, MaskRCNNConfig, RPNConfig
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.tools.commands.convert import convert_file

_BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2)
_HUB_QUERIES = "huggingface_mask2former"


def make_material(folder: Path) -> None:
    """Good inputs, of which the hostile ones are made: two models and two data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    parts = {
        "fpn_channels": 8,
        "rpn": RPNConfig(test_nms_pre=20, test_max_proposals=10),
        "box": BoxConfig(fc_channels=8, max_detections=5),
        "mask": MaskConfig(num_convs=1, channels=8),
    }
    detector = MaskRCNNConfig(backbone=_BACKBONE, num_classes=2, **parts)  # type: ignore[arg-type]
    model = create_model(detector, class_names=("cat", "dog"), category_ids=(3, 7))
    save_model(model, folder / "detector.safetensors")
    torch.save(
        {"state_dict": model.state_dict(), "meta": {"CLASSES": ("cat", "dog")}},
        folder / "detector.pth",
    )
    segmentor = UPerNetConfig(
        backbone=_BACKBONE, num_classes=2, decoder_channels=8, auxiliary_channels=8
    )
    model = create_model(segmentor, class_names=("cat", "dog"))
    save_model(model, folder / "segmentor.safetensors")
    write_queries(folder)
    write_coco(folder / "coco", coco_content())
    write_scenes(folder / "scenes")


def write_queries(folder: Path) -> None:
    """A small Mask2Former as ours, as Meta's pickle and as transformers' folder."""
    widths = {"channels": 32, "num_heads": 2, "encoder_ffn_channels": 8, "decoder_ffn_channels": 8}
    config = Mask2FormerConfig(
        backbone=_BACKBONE,
        num_classes=2,
        num_queries=3,
        encoder_layers=1,
        decoder_layers=1,
        **widths,
    )
    save_model(create_model(config, class_names=("cat", "dog")), folder / "queries.safetensors")
    convert_file(folder / "queries.safetensors", folder / "queries.pkl", layout="mask2former")
    hub = folder / "hub"
    hub.mkdir(exist_ok=True)
    convert_file(folder / "queries.pkl", hub / "model.safetensors", layout=_HUB_QUERIES)
    stored = {
        "model_type": "mask2former",
        "feature_size": 32,
        "mask_feature_size": 32,
        "hidden_dim": 32,
        "num_attention_heads": 2,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_feedforward_dim": 8,
        "dim_feedforward": 8,
        "num_queries": 3,
        "class_weight": 2.0,
        "mask_weight": 5.0,
        "dice_weight": 5.0,
        "no_object_weight": 0.1,
        "train_num_points": 99,
        "oversample_ratio": 3.0,
        "importance_sample_ratio": 0.75,
        "pre_norm": False,
        "activation_function": "relu",
        "common_stride": 4,
        "backbone_config": {"hidden_act": "gelu", "layer_norm_eps": 1e-5},
        "id2label": {"0": "cat", "1": "dog"},
    }
    (hub / "config.json").write_text(json.dumps(stored))


def write_scenes(root: Path) -> None:
    """One image with its label map, in ADE20K's layout, as both splits."""
    for split in ("training", "validation"):
        for part in ("images", "annotations"):
            (root / part / split).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        cv2.imwrite(str(root / "images" / split / "a.png"), pixels)
        labels = np.ones((40, 60), np.uint8)
        labels[:20] = 2
        cv2.imwrite(str(root / "annotations" / split / "a.png"), labels)
    (root / "classes.txt").write_text("cat\ndog\n")
