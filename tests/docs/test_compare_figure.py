"""Test of the script that draws the curves of a comparison."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "figures" / "compare.py"


def test_each_variant_has_its_mean_and_its_runs_in_both_panels(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("compare_figure", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    runs = [
        {"curves": {"loss": [[1, 3.0], [2, 1.0]], "top-1": [[2, score]]}} for score in (0.5, 0.75)
    ]
    comparison = {"variants": [{"name": name, "runs": runs} for name in ("gelu", "relu")]}
    figures, out = tmp_path / "compare.json", tmp_path / "compare.svg"
    figures.write_text(json.dumps(comparison))
    script.main(["--json", str(figures), "--out", str(out)])
    for words in ("Training loss", "Top-1, %", "gelu", "relu"):
        assert words in out.read_text()
    left, right = script.draw(comparison).axes
    assert len(left.lines) == len(right.lines) == 2 * 3
    assert left.lines[2].get_ydata() == pytest.approx([3.0, 1.0])
    assert right.lines[2].get_ydata() == pytest.approx([62.5])
