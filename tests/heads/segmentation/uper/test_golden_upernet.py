"""UPerNet against reference outputs of another framework."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import swin_dense as sd
from swin_dense.datasets.formats.segmentation.ade20k import Ade20k
from swin_dense.datasets.label_maps import read_class_numbers
from swin_dense.datasets.metrics.semantic_eval import SemanticEvaluator
from swin_dense.datasets.transforms.resizing import multi_scale_views
from swin_dense.datasets.transforms.segmentation import segmentation_eval
from swin_dense.heads import from_checkpoint

SCALE = (480, 360)


class GoldenSegmentor:
    """The folder of reference outputs, the model in it, and the photographs."""

    def __init__(self, shared: Path) -> None:
        self.folder = shared / "golden/seg_official_upernet"
        self.model = from_checkpoint(self.folder / "model.pth")
        self.dataset = Ade20k(
            shared / "data/camvid_mini", "validation", transforms=segmentation_eval(SCALE)
        )
        with np.load(self.folder / "intermediate.npz") as arrays:
            self.intermediate = dict(arrays)

    def read_json(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())

    def check_values(self, name: str, maps: Tensor) -> None:
        """Compare with the 64 stored values of a tensor, and with its size."""
        assert maps.shape == tuple(self.intermediate[f"{name}/shape"])
        places = torch.linspace(0, maps.numel() - 1, 64).long()
        expected = torch.from_numpy(self.intermediate[f"{name}/values"])
        assert (maps.flatten()[places] - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.fixture(scope="module")
def golden(shared: Path) -> GoldenSegmentor:
    """The folder's model and outputs."""
    return GoldenSegmentor(shared)


@pytest.mark.parametrize("index", [0, 1])
def test_features_and_logits_equal_the_reference(golden, index):
    sample = golden.dataset[index]
    assert sample["image_id"] == str(golden.intermediate[f"{index}/name"])
    pixels = sd.batch_images([sample["image"]], size_divisor=1).pixels
    with torch.no_grad():
        features = golden.model.backbone(pixels)
        logits = golden.model.decode_head(features)
        auxiliary = golden.model.auxiliary_head(features[2])
    golden.check_values(f"{index}/input0", pixels)
    for stage, maps in enumerate(features):
        golden.check_values(f"{index}/stage{stage}", maps)
    golden.check_values(f"{index}/logits0", logits)
    golden.check_values(f"{index}/aux0", auxiliary)


@pytest.mark.parametrize("index", [0, 1])
def test_label_maps_equal_the_reference(golden, index):
    sample = golden.dataset[index]
    found = golden.model.predict([sample["image"]], original_sizes=[sample["original_size"]])[0]
    expected = read_class_numbers(golden.folder / f"pred_{sample['image_id']}.png")
    assert (found.numpy() == expected).mean() >= 0.9999


def test_losses_and_gradients_equal_the_reference(golden):
    samples = [golden.dataset[0], golden.dataset[1]]
    losses = golden.model(
        [sample["image"] for sample in samples], [sample["label_map"] for sample in samples]
    )
    expected = golden.read_json("losses.json")
    for name, part in (("loss_seg", "decode"), ("loss_aux", "aux")):
        assert losses[name].item() == pytest.approx(expected["losses"][part]["loss_ce"], rel=1e-4)
    golden.model.zero_grad()
    sum(losses.values()).backward()
    for part, norm in expected["grad_norm"].items():
        gradients = [
            p.grad.flatten()
            for name, p in golden.model.named_parameters()
            if name.startswith(f"{part}.")
        ]
        assert torch.cat(gradients).norm().item() == pytest.approx(norm, rel=0.01)


@pytest.mark.parametrize(
    ("mode", "tolerance"),
    [
        ("whole", 5e-4),
        pytest.param("slide", 5e-4, marks=pytest.mark.slow),
        pytest.param("ms_flip", 2e-3, marks=pytest.mark.slow),
    ],
)
def test_scores_equal_the_reference(golden, mode, tolerance):
    evaluator = SemanticEvaluator(11)
    for index in range(len(golden.dataset)):
        sample = golden.dataset[index]
        size = sample["original_size"]
        if mode == "ms_flip":
            views = [
                torch.from_numpy(view).permute(2, 0, 1)
                for view in multi_scale_views(golden.dataset.load_image(index))
            ]
            found = golden.model.predict_multi_scale(views, original_size=size)
        else:
            found = golden.model.predict(
                [sample["image"]],
                original_sizes=[size],
                mode=mode,
                crop=(256, 256),
                stride=(170, 170),
            )[0]
        evaluator.update([found], [sample["label_map"]])
    scores, expected = evaluator.compute(), golden.read_json("metrics.json")[mode]
    assert scores["area_label"] == expected["area_label"]
    assert scores["IoU"] == pytest.approx(expected["IoU"], abs=tolerance)
    for name in ("mIoU", "mAcc", "aAcc"):
        assert scores[name] == pytest.approx(expected[name], abs=tolerance)
