"""Table and file of what one image costs, by its size."""

import json
from pathlib import Path
from typing import Any

import pytest
import scaling
import torch
from scaling import format_row, measure, store


class Layer(torch.nn.Module):
    """Keeps what it was given, and holds 12 more bytes a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(pixels.shape))
        return pixels + 1


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, int], Layer]]:
    """Every backbone that is made, with the size it is made for."""
    made: list[tuple[tuple[int, int], Layer]] = []

    def make(name: str, size: tuple[int, int]) -> Layer:
        made.append((size, Layer()))
        return made[-1][1]

    monkeypatch.setattr(scaling, "make_backbone", make)
    monkeypatch.setattr(scaling, "_SECONDS", 0.0)
    return made


def test_a_forward_is_measured_after_a_small_one(layers) -> None:
    height, width = size = (2160, 3840)  # 95 MiB: never taken from memory that was freed before
    row = measure("swin_dense", size)
    ((_, layer),) = layers
    assert layer.shapes == [(1, 3, 224, 224), (1, 3, height, width)]
    assert row["seconds"] > 0
    assert row["added"] * 2**20 / (height * width) == pytest.approx(12, abs=1)
    assert row["peak"] > row["added"]


def test_deit_gets_whole_patches_and_is_warmed_up_at_its_own_small_size(layers) -> None:
    measure("deit_s", (1080, 1920))
    assert [size for size, _ in layers] == [(224, 224), (1088, 1920)]
    assert [layer.shapes for _, layer in layers] == [[(1, 3, 224, 224)], [(1, 3, 1088, 1920)]]


def test_larger_images_are_not_tried_after_one_without_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = []

    def ask(script: str, flags: list[Any], **limits: float) -> dict[str, float] | None:
        name, size = flags[2], flags[4]
        asked.append((name, size))
        if (name, size) == ("deit_s", "4k"):
            return None
        return {"seconds": 2.0, "peak": 2048.0, "added": 1024.0}

    monkeypatch.setattr(scaling, "ask_process", ask)
    path = tmp_path / "figures.json"
    scaling.main(["--models", "swin_dense", "deit_s", "--json", str(path)])
    assert asked == [
        *[("swin_dense", size) for size in ("512", "1080p", "4k", "8k")],
        *[("deit_s", size) for size in ("512", "1080p", "4k")],
    ]
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows[3] == ["swin_dense", "8k", "33.18", "2.00", "0.06", "2.00", "0.032"]
    assert [row[3:] for row in rows[-2:]] == [["-"] * 4] * 2
    stored = json.loads(path.read_text())["models"]
    assert stored["swin_dense"]["8k"]["peak"] == 2048.0
    assert stored["deit_s"]["8k"] is None


def test_row_has_time_and_memory_a_pixel() -> None:
    row = format_row("torchvision", "512", {"seconds": 0.5, "peak": 1024.0, "added": 64.0})
    assert row.split() == ["torchvision", "512", "0.26", "0.50", "1.91", "1.00", "0.250"]


def test_file_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    store(path, "CPU", {"deit_s": {"512": {"seconds": 1.0}, "4k": None}})
    store(path, "CPU", {"deit_s": {"512": {"seconds": 2.0}}, "torchvision": {"512": None}})
    models = json.loads(path.read_text())["models"]
    assert models == {
        "deit_s": {"512": {"seconds": 2.0}, "4k": None},
        "torchvision": {"512": None},
    }


def test_file_of_another_machine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    store(path, "CPU", {})
    with pytest.raises(SystemExit, match="must be of one machine, got figures of GPU for those"):
        store(path, "GPU", {"deit_s": {}})
