"""What an exported file tells of the model that it was made from."""

import json
from pathlib import Path

from swin_dense.configs import SwinConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.tools.export.exporting import describe
from swin_dense.tools.export.writing.graphs import make_graph


def test_images_are_resized_as_the_run_of_the_weights_did(tmp_path: Path) -> None:
    backbone = SwinConfig(
        embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2, drop_path_rate=0.0
    )
    config = UPerNetConfig(backbone=backbone, num_classes=3, decoder_channels=8)
    model = create_model(config, class_names=("cat", "dog", "cow")).eval()
    checkpoint = tmp_path / "run" / "best"
    checkpoint.mkdir(parents=True)
    (tmp_path / "run" / "recipe.json").write_text(json.dumps({"data": {"scale": [96, 64]}}))

    def scale_of(weights: Path) -> tuple[int, int] | None:
        graph = make_graph(model, "model")
        return describe(
            model, graph, weights, part="model", precision="float32", any_batch=False
        ).scale

    assert scale_of(checkpoint) == scale_of(checkpoint / "model.safetensors") == (96, 64)
    assert scale_of(tmp_path / "model.safetensors") == (2048, 512)
