"""An exported file as a model: everything but the network is the model's own code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detector_graphs import noise_image, spread_detector
from torch import Tensor

import swin_dense as sd
from swin_dense.checkpoints.stored_configs import config_as_json
from swin_dense.heads.graphs import Graph, normalise
from swin_dense.heads.models import find_spec
from swin_dense.heads.whole_model import Model
from swin_dense.tools.export import exported_models
from swin_dense.tools.export.exported_models import load_exported, open_model
from swin_dense.tools.export.metadata import ExportMetadata
from swin_dense.tools.tasks.results.compact import predict_compactly


class GraphRuntime:
    """In place of a file: the graph, run by torch."""

    def __init__(self, graph: Graph, metadata: ExportMetadata) -> None:
        self.graph, self.metadata = graph, metadata

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        assert image.dtype == np.uint8
        outputs = self.graph.expected(torch.from_numpy(image))
        return {name: value.numpy() for name, value in outputs.items()}


class LogitsGraph(Graph):
    """The logits of a segmentor."""

    outputs = ("logits",)

    def __init__(self, model: sd.heads.UPerNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.model.decode_head(self.model.backbone(normalise(image))).float(),)


def opened(
    model: Model, graph: Graph, monkeypatch: pytest.MonkeyPatch, part: str = "model"
) -> Model:
    """The model of an exported file, whose runtime is the graph itself."""
    metadata = ExportMetadata(
        part=part,
        outputs=graph.outputs,
        kind=find_spec(model.config).name,
        task=model.task,
        config=config_as_json(model.config),
        class_names=model.class_names,
    )
    runtime = GraphRuntime(graph, ExportMetadata.from_json(metadata.to_json(), source="memory"))
    monkeypatch.setattr(exported_models, "open_exported", lambda path, device: runtime)
    return load_exported("memory.onnx")


@pytest.fixture(params=["mask_rcnn", "cascade_rcnn"])
def detector(request: pytest.FixtureRequest) -> Model:
    return spread_detector(request.param)


def exported_detector(model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    graph = find_spec(model.config).graph
    assert graph is not None
    return opened(model, graph(model), monkeypatch)


def test_an_exported_detector_gives_what_its_model_gives(
    detector: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = exported_detector(detector, monkeypatch)
    images, sizes = [noise_image((64, 96)), noise_image((50, 33), seed=1)], [(128, 190), (25, 17)]
    for expected, found in zip(
        detector.predict(images, original_sizes=sizes),
        exported.predict(images, original_sizes=sizes),
        strict=True,
    ):
        assert expected.keys() == found.keys()
        assert len(found["scores"]) > 5
        assert found["labels"].tolist() == expected["labels"].tolist()
        torch.testing.assert_close(found["boxes"], expected["boxes"], rtol=0, atol=0.05)
        torch.testing.assert_close(found["scores"], expected["scores"], rtol=0, atol=1e-4)
        if "masks" in expected:
            assert (found["masks"] != expected["masks"]).float().mean() < 1e-3


def test_low_scores_are_left_out_with_their_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = spread_detector("mask_rcnn")
    exported = exported_detector(detector, monkeypatch)
    image = noise_image((64, 96))
    scores = exported.predict([image])[0]["scores"]
    threshold = float(scores[3])
    (found,) = exported.predict([image], score_threshold=threshold)
    assert len(found["masks"]) == len(found["scores"]) == int((scores >= threshold).sum()) > 3
    (compact,) = predict_compactly(exported, [image], [(64, 96)], score_threshold=threshold)
    assert len(compact["masks"]) == len(found["scores"])


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_an_exported_segmentor_gives_what_its_model_gives(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    backbone = sd.SwinConfig(
        embed_dim=8, depths=(1, 1), num_heads=(1, 1), window_size=4, out_indices=(0, 1)
    )
    config = sd.heads.UPerNetConfig(
        backbone=backbone, num_classes=4, decoder_channels=8, auxiliary_channels=None
    )
    model = sd.heads.create_model(config).eval()
    assert isinstance(model, sd.heads.UPerNet)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    exported = opened(model, LogitsGraph(model), monkeypatch)
    assert isinstance(exported, sd.heads.UPerNet)
    assert exported.title == "upernet, exported in float32"
    images, sizes = [noise_image((64, 96)), noise_image((50, 37), seed=1)], [(100, 150), (50, 37)]
    flags = {"mode": mode, "crop": (48, 48), "stride": (32, 32)}
    for expected, found in zip(
        model.predict(images, original_sizes=sizes, **flags),
        exported.predict(images, original_sizes=sizes, **flags),
        strict=True,
    ):
        assert expected.shape == found.shape
        assert len(expected.unique()) > 1
        assert (expected == found).float().mean() > 0.999
    views = {"views": [images[0], noise_image((40, 60))], "original_size": (64, 96)}
    same = model.predict_multi_scale(**views) == exported.predict_multi_scale(**views)
    assert same.float().mean() > 0.999


def test_what_an_exported_model_cannot_do_is_one_line(
    detector: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = exported_detector(detector, monkeypatch)
    with pytest.raises(ValueError, match="cannot be trained"):
        exported([noise_image((64, 64))], [])
    with pytest.raises(ValueError, match="sides of 32 to 4096 px, got 20 x 64; --scale"):
        exported.predict([noise_image((20, 64))])
    with pytest.raises(ValueError, match=r"takes a list of .* uint8 images"):
        exported.predict([torch.zeros(3, 64, 64)])
    with pytest.raises(ValueError, match="--precision must not be given with an exported file"):
        open_model("memory.onnx", precision="bf16")
    graph = find_spec(detector.config).graph
    assert graph is not None
    with pytest.raises(ValueError, match="must be a whole model to predict with, got a pyramid"):
        opened(detector, graph(detector), monkeypatch, part="pyramid")


def test_a_missing_file_and_one_of_others_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_exported(tmp_path / "absent.onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"broken\.onnx cannot be opened by ONNX Runtime"):
        load_exported(broken)
