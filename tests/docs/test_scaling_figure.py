"""Tests of the script that draws the cost a pixel, counted and measured."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "figures" / "scaling.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scaling_figure", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_equations_have_the_papers_terms(script: ModuleType) -> None:
    # A map of 2 x 3 tokens and 5 channels: 4 * 6 * 25 of the linear layers, then the products.
    assert script.global_attention(6, 5) == 600 + 2 * 36 * 5
    assert script.window_attention(6, 5, 2) == 600 + 2 * 4 * 6 * 5


def test_windows_of_the_whole_map_are_global(script: ModuleType) -> None:
    assert script.window_attention(49, 96, 7) == script.global_attention(49, 96)


def test_windows_cost_the_same_a_pixel_at_every_size(script: ModuleType) -> None:
    small, large = (script.PIXELS[name] for name in ("512", "8k"))
    windows = [script.count_a_pixel(n, script.SWIN_T, windows=True) for n in (small, large)]
    assert windows[0] == pytest.approx(windows[1])
    whole = [script.count_a_pixel(n, script.DEIT_S, windows=False) for n in (small, large)]
    # 12 blocks: 4 * 384^2 and 2 * tokens * 384 a token, 256 px each.
    assert whole[0] == pytest.approx(12 * (4 * 384**2 + 2 * 1024 * 384) / 256)
    assert whole[1] > 40 * whole[0]


def test_picture_has_a_curve_for_each_model_as_far_as_it_came(
    script: ModuleType, tmp_path: Path
) -> None:
    row = {"seconds": 2.0, "peak": 2048.0, "added": 1024.0}
    models = {
        "swin_dense": dict.fromkeys(("512", "1080p", "4k", "8k"), row),
        "deit_s": {"512": row, "1080p": row, "4k": None, "8k": None},
    }
    figures, out = tmp_path / "scaling.json", tmp_path / "scaling.svg"
    figures.write_text(json.dumps({"machine": "CPU", "models": models}))
    script.main(["--json", str(figures), "--out", str(out)])
    text = out.read_text()
    for words in ("Swin-T, here", "DeiT-S, timm", "equation 1", "equation 2", "1080p", "8K"):
        assert words in text
    middle = script.draw(models).axes[1]
    assert [len(line.get_xdata()) for line in middle.lines] == [4, 2]
    assert middle.lines[0].get_ydata()[0] == pytest.approx(2e6 / 512**2)
