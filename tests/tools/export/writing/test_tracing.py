"""A traced graph holds at every size; what cannot be traced is refused, and leaves no file."""

from pathlib import Path

import pytest
import torch
from exported_models import save_segmentor
from torch import Tensor
from torchvision.ops import nms

import swin_dense as sd
from swin_dense.heads.graphs import Graph, pad_to_multiple
from swin_dense.tools.cli import main
from swin_dense.tools.export import exporting
from swin_dense.tools.export.writing.graphs import make_graph
from swin_dense.tools.export.writing.tracing import trace

BACKBONE = sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))


class BestBoxes(Graph):
    """Boxes of an image's rows that do not overlap, and the image, padded."""

    outputs = ("boxes", "padded")

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        rows = image[0, 0].float()  # (H, W)
        boxes = torch.cat([rows[:, :2], rows[:, :2] + 10], dim=1)  # (H, 4)
        keep = nms(boxes, rows[:, 3], 0.5)
        return boxes[keep], pad_to_multiple(image.float(), 32).flip(2)


class LooksAtPixels(Graph):
    """A graph with a branch on what is in the image, as a backbone of others may have."""

    outputs = ("mean",)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The mean, of bright images twice."""
        mean = image.float().mean()
        return (2 * mean,) if bool(mean > 100) else (mean,)


@pytest.fixture(scope="module")
def program() -> torch.nn.Module:
    return trace(BestBoxes().eval(), torch.device("cpu")).module()


@pytest.mark.parametrize("size", [(32, 32), (33, 64), (150, 40)])
def test_a_traced_graph_gives_what_the_graph_gives(
    size: tuple[int, int], program: torch.nn.Module
) -> None:
    noise = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    for image in (noise, torch.zeros_like(noise)):  # of which one box is left
        for found, expected in zip(program(image), BestBoxes()(image), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_model_that_cannot_be_traced_is_one_line_and_leaves_no_file(
    suffix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    save_segmentor(tmp_path / "model.safetensors")
    monkeypatch.setattr(exporting, "make_graph", lambda module, part: LooksAtPixels())
    out = tmp_path / f"model{suffix}"
    words = ["--weights", str(tmp_path / "model.safetensors"), "--out", str(out)]
    assert main(["export", *words]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert "the model cannot be traced for images of any size: " in line
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("kind", ["mask2former", "classifier"])
def test_a_kind_without_a_graph_is_refused_before_work(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    config = sd.heads.MODEL_SPECS[kind].config(backbone=BACKBONE, num_classes=2)
    model = sd.heads.create_model(config).eval()
    with pytest.raises(ValueError, match=f"a {kind} has no graph to export; use --part backbone"):
        make_graph(model, "model")
    assert make_graph(model, "backbone").outputs[0] == "level0"
    sd.heads.save_model(model, tmp_path / "model.safetensors")
    words = ["--weights", str(tmp_path / "model.safetensors"), "--out", str(tmp_path / "m.onnx")]
    assert main(["export", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
