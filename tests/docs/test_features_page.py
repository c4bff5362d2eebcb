"""The page about features: its Python code runs, on a store that its command makes."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from feature_extraction import BACKBONE, save_backbone

import swin_dense as sd
from swin_dense import creation

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"


def test_the_code_runs_and_gives_what_the_store_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("webdataset", reason='needs pip install -e ".[test]"')
    monkeypatch.chdir(tmp_path)
    weights = "swin_tiny_patch4_window7_224.pth"
    save_backbone(Path(weights))
    monkeypatch.setitem(creation.BACKBONE_VARIANTS, "swin_t", BACKBONE)
    Path("photographs").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    cv2.imwrite("photographs/street.jpg", image)
    sd.tools.features(weights, "photographs", out="features", device="cpu", dtype="float32")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
    names: dict[str, object] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    for level, stored in zip(names["levels"], names["item"]["features"], strict=True):
        torch.testing.assert_close(torch.from_numpy(stored), level, rtol=0, atol=1e-5)
    assert names["image_id"] == "street.jpg"
    assert set(names["maps"]) == {"level_0", "level_1", "level_2", "level_3"}
