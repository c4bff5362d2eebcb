"""The fixed graph of a detector finds what the detector finds."""

import pytest
import torch
from detector_graphs import DETECTORS, assert_same_detections, noise_image, spread_detector

from swin_dense.heads.detection.graph.detector_graph import DetectorGraph
from swin_dense.heads.detection.roi_heads.mask_pasting import paste_masks

SIZES = ((64, 96), (32, 32), (75, 61), (33, 161))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DETECTORS)
def test_a_graph_finds_what_predict_finds(name: str, size: tuple[int, int]) -> None:
    model = spread_detector(name)
    graph = DetectorGraph(model)
    image = noise_image(size)
    (expected,) = model.predict([image])
    found = graph.expected(image[None])
    assert len(found["scores"]) > 5
    assert_same_detections(expected, {name: value.numpy() for name, value in found.items()})
    assert ("masks" in found) == model.gives_masks
    if model.gives_masks:
        pasted = paste_masks(found["masks"], found["boxes"], size)
        # A pixel on an edge may fall to either side of one half.
        assert (pasted != expected["masks"]).float().mean() < 1e-4
        assert expected["masks"].any()


@pytest.mark.parametrize("name", ["faster_rcnn", "cascade_mask_rcnn"])
def test_where_nothing_is_found_the_outputs_are_empty(name: str) -> None:
    model = spread_detector(name)
    for parameter, value in (("fc_cls.weight", 0.0), ("fc_cls.bias", 0.0)):
        for key, tensor in model.named_parameters():
            if key.endswith(parameter):
                tensor.data.fill_(value)
                if parameter == "fc_cls.bias":
                    tensor.data[-1] = 20.0  # background
    found = DetectorGraph(model).expected(torch.zeros(1, 3, 40, 50, dtype=torch.uint8))
    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "boxes": (0, 4),
        "scores": (0,),
        "labels": (0,),
    } | ({"masks": (0, 28, 28)} if model.gives_masks else {})
