"""Accuracy as a plain loop over timm's model with timm's own preprocessing gives it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from swin_dense.tools import evaluate

_NUM_CLASSES = 7


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Noise and flat colours of several sizes and modes, in folders of classes."""
    random = np.random.default_rng(0)
    for index in range(21):
        height, width = random.integers(70, 190, 2)
        coarse = random.integers(0, 256, (4, 5, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize((int(width), int(height)), Image.Resampling.BICUBIC)
        image = image.convert(("RGB", "L", "CMYK")[index % 3])
        folder = tmp_path / "data" / "val" / f"n{index % _NUM_CLASSES:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index}.JPEG", quality=90)
    return tmp_path / "data"


def test_every_image_has_the_scores_that_timm_gives_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = pytest.importorskip("timm", reason="needs timm")
    torch.manual_seed(0)
    theirs = timm.models.swin_transformer.SwinTransformer(
        img_size=64,
        embed_dim=8,
        depths=(1, 2, 1, 2),
        num_heads=(1, 2, 2, 4),
        window_size=2,
        num_classes=_NUM_CLASSES,
    ).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        theirs.head.fc.weight.mul_(5)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")

    # timm's way: its data set, its transform for a crop of 0.9, one image after the other.
    transform = timm.data.create_transform(
        input_size=(3, 64, 64), interpolation="bicubic", crop_pct=0.9
    )
    right1, right5, expected = [], [], {}
    images = timm.data.create_dataset("", root=str(root / "val"), transform=transform)
    for index, (image, label) in enumerate(images):
        with torch.no_grad():
            logits = theirs(image[None])[0]
        first = logits.topk(5).indices.tolist()
        right1.append(first[0] == label)
        right5.append(label in first)
        expected[images.filename(index)] = logits.softmax(0)
    assert 0 < sum(right1) < len(right1)

    found: dict[str, Any] = {}
    from swin_dense.datasets.metrics.classification_eval import ClassificationEvaluator

    update = ClassificationEvaluator.update

    def noted(self: Any, scores: Any, labels: Any) -> Any:
        found.setdefault("scores", []).extend(scores)
        return update(self, scores, labels)

    monkeypatch.setattr(ClassificationEvaluator, "update", noted)
    metrics = evaluate(
        tmp_path / "theirs.pth", data=root, workers=0, batch_size=4, device="cpu", upright=False
    )
    in_order = torch.stack([expected[name] for name in sorted(expected)])
    torch.testing.assert_close(torch.stack(found["scores"]), in_order, rtol=1e-5, atol=1e-5)
    assert metrics["top1"] == sum(right1) / len(right1)
    assert metrics["top5"] == sum(right5) / len(right5)
