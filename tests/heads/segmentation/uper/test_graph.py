"""The graph of a segmentor, as a tracer sees it, gives what the model predicts."""

import numpy as np
import pytest
import torch

import swin_dense as sd
from swin_dense.heads.segmentation.uper.graph import UPerNetGraph


@pytest.fixture
def graph() -> UPerNetGraph:
    torch.manual_seed(0)
    backbone = sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    config = sd.heads.UPerNetConfig(
        backbone=backbone, num_classes=5, decoder_channels=8, auxiliary_channels=None
    )
    model = sd.heads.create_model(config).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    return UPerNetGraph(model)


@pytest.mark.parametrize("size", [(32, 32), (33, 70), (129, 64), (300, 47)])
def test_the_traced_graph_gives_what_the_model_predicts(
    size, graph, generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=generator)
    expected = {name: value.numpy() for name, value in graph.expected(image).items()}
    with torch.no_grad(), monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        found = dict(zip(graph.outputs, (value.numpy() for value in graph(image)), strict=True))
    assert found["label_map"].shape == (1, *size)
    assert found["label_map"].dtype == np.int64
    assert not list(graph.differences(expected, found))
    assert len(np.unique(expected["label_map"])) > 1


def test_another_class_in_many_pixels_is_a_difference(graph) -> None:
    expected = {"logits": np.zeros((1, 5, 8, 8)), "label_map": np.zeros((1, 32, 32), np.int64)}
    found = {"logits": expected["logits"], "label_map": expected["label_map"].copy()}
    found["label_map"][0, 0] = 1
    ((name, difference),) = graph.differences(expected, found)
    assert name == "label_map"
    assert "3.12%" in difference
