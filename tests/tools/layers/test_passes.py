"""Parts of each kind of models that run, and the size of the image."""

from dataclasses import replace

import pytest

import swin_dense as sd
from swin_dense.tools.layers.counting import count_layers
from swin_dense.tools.layers.passes import default_size

BACKBONE = sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=4)
KINDS = {
    "mask_rcnn": {"fpn_channels": 8},
    "cascade_mask_rcnn": {"fpn_channels": 8},
    "faster_rcnn": {"fpn_channels": 8},
    "upernet": {"decoder_channels": 8, "auxiliary_channels": None},
    "unet": {"decoder_channels": (16, 8, 8, 4, 4)},
    "mask2former": {"channels": 32, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 2},
    "classifier": {},
}


def make(kind: str, backbone: sd.BackboneConfig = BACKBONE) -> sd.heads.Model:
    config = replace(sd.heads.MODEL_VARIANTS[f"{kind}_swin_t"], **KINDS[kind])
    return sd.heads.create_model(config, backbone=backbone, num_classes=3)


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_model_runs(kind: str) -> None:
    counts = count_layers(lambda: make(kind), (70, 90))
    assert all(part.multiply_adds > 0 for part in counts.root.children)
    is_padded = kind in ("mask_rcnn", "cascade_mask_rcnn", "faster_rcnn", "mask2former")
    assert counts.padded == ((96, 96) if is_padded else (70, 90))
    assert ("1000 proposals" in counts.note) == ("rcnn" in kind)
    assert ("100 objects" in counts.note) == ("mask_rcnn" in kind)


def test_other_backbones_run_too() -> None:
    pytest.importorskip("timm", reason="needs timm")
    counts = count_layers(lambda: make("upernet", sd.TimmConfig(name="test_convnext")), (64, 64))
    assert all(part.multiply_adds > 0 for part in counts.root.children)


def test_heads_that_are_not_known_are_left_out_and_said_to_be() -> None:
    class Unknown(sd.heads.Model):
        task = "counting"

    config = sd.heads.MODEL_VARIANTS["classifier_swin_t"]
    counts = count_layers(lambda: Unknown(replace(config, backbone=BACKBONE)), (64, 64))
    assert "not counted" in counts.note
    assert counts.root.multiply_adds > 0


def test_sizes_follow_from_the_model() -> None:
    assert default_size(make("mask_rcnn")) == (800, 1216)
    assert default_size(make("upernet")) == (512, 512)
    assert default_size(make("classifier")) == (224, 224)
    assert default_size(sd.create_backbone(BACKBONE)) == (128, 128)
