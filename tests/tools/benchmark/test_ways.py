"""Ways to run a model in here, and why others are not there."""

import pytest

from swin_dense.tools.benchmark import ways
from swin_dense.tools.benchmark.ways import choose_ways, find_ways


def test_each_kind_has_its_ways_and_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(ways.shutil, "which", lambda name: f"/usr/bin/{name}")
    everywhere = ["eager", "compiled", "onnxruntime", "aotinductor", "openvino"]
    assert choose_ways(None, "mask_rcnn") == [*everywhere, "torchvision"]
    assert choose_ways(None, "upernet") == [*everywhere, "transformers"]
    assert choose_ways(None, "cascade_mask_rcnn") == everywhere
    assert choose_ways(("openvino",), "upernet") == ["eager", "openvino"]


def test_what_is_not_installed_is_left_out_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ways.shutil, "which", lambda name: None)
    assert find_ways("upernet")["onnxruntime"] == "onnx is not installed"
    assert find_ways("upernet")["aotinductor"] == "there is no C++ compiler"
    assert choose_ways(None, "mask_rcnn") == ["eager", "torchvision"]
    with pytest.raises(ValueError, match="--ways openvino cannot be taken here: onnx is not"):
        choose_ways(("openvino",), "mask_rcnn")
    with pytest.raises(ValueError, match="--ways torchvision has no upernet; choose among eager"):
        choose_ways(("torchvision",), "upernet")
