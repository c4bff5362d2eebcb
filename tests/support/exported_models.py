"""Small models to export, with random weights that make all classes appear."""

from pathlib import Path

import torch

import swin_dense as sd
from swin_dense.tools.export.metadata import METADATA_KEY, ExportMetadata

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


def write_brightest_channel(path: Path) -> None:
    """Write an ONNX file by hand, of a segmentor whose classes are the channels of an image.

    It runs, and has metadata, as what `export` writes of a segmentor; but takes no time to make.
    """
    import onnx

    helper, kinds = onnx.helper, onnx.TensorProto
    shape = [1, 3, "H", "W"]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["logits"], to=kinds.FLOAT),
            helper.make_node("ArgMax", ["logits"], ["label_map"], axis=1, keepdims=0),
        ],
        "brightest_channel",
        [helper.make_tensor_value_info("image", kinds.UINT8, shape)],
        [
            helper.make_tensor_value_info("logits", kinds.FLOAT, shape),
            helper.make_tensor_value_info("label_map", kinds.INT64, [1, "H", "W"]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    metadata = ExportMetadata(
        part="model",
        outputs=("logits", "label_map"),
        kind="upernet",
        task="segmentation",
        class_names=("red", "green", "blue"),
        scale=(100, 60),
    )
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.save(model, path)
