"""Prediction of images, folders and videos: what is written, under which names."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from swin_dense.configs import SwinConfig
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.models import create_model
from swin_dense.tools.commands.predict import predict
from swin_dense.tools.recipes.table import find_recipe


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = replace(
        find_recipe("mask_rcnn_demo").model,
        backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),
    )
    model = create_model(config, class_names=("cat", "dog"), category_ids=(3, 7))
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_model(model, path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "a.jpg")
    Image.fromarray(noise[:, :30]).save(folder / "more" / "a.png")
    (folder / "notes.txt").write_text("not an image")
    return folder


def _predict(weights: Path, out: Path, *inputs: Path, **flags: Any) -> None:
    flags = {"scale": (64, 64), "score_threshold": 0.0, "device": "cpu"} | flags
    assert predict(weights, inputs, out=out, **flags) == out


def test_a_folder_gives_an_overlay_for_each_image_and_one_coco_file(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _predict(weights, out, images)
    written = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert written == ["overlays/a.jpg", "overlays/more/a.png", "predictions.json"]
    content = json.loads((out / "predictions.json").read_text())
    assert [(i["file_name"], i["width"], i["height"]) for i in content["images"]] == [
        ("a.jpg", 60, 40),
        ("more/a.png", 30, 40),
    ]
    assert {c["id"] for c in content["categories"]} == {3, 7}
    assert all(
        a["segmentation"]["size"] == [40, 60] for a in content["annotations"] if a["image_id"] == 1
    )
    assert Image.open(out / "overlays" / "a.jpg").size == (60 * 8, 40 * 8)


def test_a_model_without_masks_gives_boxes(images: Path, tmp_path: Path) -> None:
    config = replace(
        find_recipe("faster_rcnn_demo").model,
        backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),
    )
    save_model(create_model(config, class_names=("cat", "dog")), tmp_path / "a.safetensors")
    _predict(tmp_path / "a.safetensors", tmp_path / "out", images / "a.jpg")
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert content["annotations"]
    for entry in content["annotations"]:
        assert "segmentation" not in entry
        assert entry["area"] == pytest.approx(entry["bbox"][2] * entry["bbox"][3])
    drawn = np.asarray(Image.open(tmp_path / "out" / "overlays" / "a.jpg")).astype(int)
    plain = Image.open(images / "a.jpg").resize(drawn.shape[1::-1], Image.Resampling.BICUBIC)
    assert np.abs(drawn - np.asarray(plain)).max() > 100  # the boxes


def test_two_inputs_of_one_name_do_not_overwrite_each_other(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _predict(weights, out, images / "a.jpg", images / "a.jpg")
    assert sorted(p.name for p in (out / "overlays").iterdir()) == ["a.jpg", "a_2.jpg"]


def test_a_high_threshold_leaves_nothing(weights: Path, images: Path, tmp_path: Path) -> None:
    _predict(weights, tmp_path / "out", images / "a.jpg", score_threshold=1.0)
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["annotations"] == []


def test_a_video_gives_a_video_and_results_of_each_frame(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (64, 48))
    for level in (20, 120, 220):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    _predict(weights, tmp_path / "out", path)
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [
        f"clip.avi/{index:06d}" for index in range(3)
    ]
    capture = cv2.VideoCapture(str(tmp_path / "out" / "overlays" / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5.0)


def test_a_broken_file_in_a_folder_is_reported_and_passed_over(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    _predict(weights, tmp_path / "out", images)
    assert "skipped: " in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]) == 2
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be read as an image"):
        _predict(weights, tmp_path / "out", images / "broken.jpg")


def test_what_was_found_before_an_input_that_cannot_be_read_is_kept(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        _predict(weights, out, images / "a.jpg", images / "broken.jpg")
    found = json.loads((out / "predictions.json").read_text())
    assert [image["file_name"] for image in found["images"]] == ["a.jpg"]
    assert (out / "overlays" / "a.jpg").is_file()


def test_an_input_that_cannot_be_read_does_not_stop_those_after_it(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    named = images / "a.jpg", images / "broken.jpg", images / "more" / "a.png"
    with pytest.raises(ValueError, match=r"broken\.jpg cannot .*; the results of 2 others are in"):
        _predict(weights, out, *named)
    found = json.loads((out / "predictions.json").read_text())
    assert [image["file_name"] for image in found["images"]] == ["a.jpg", "a.png"]


def test_a_failure_does_not_cost_what_was_found_before(
    weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, **_: Any) -> np.ndarray:
        if path.suffix == ".png":
            raise MemoryError
        return np.asarray(Image.open(path))

    monkeypatch.setattr("swin_dense.datasets.images.read_image", read)
    with pytest.raises(MemoryError):
        _predict(weights, tmp_path / "out", images)
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [image["file_name"] for image in found["images"]] == ["a.jpg"]


def test_large_images_with_many_objects_take_little_memory(weights: Path, tmp_path: Path) -> None:
    """12 megapixels; 20 masks as bitmaps alone would be 240 MB, and as much again encoded."""
    image = np.random.default_rng(0).integers(0, 255, (4, 6, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "small.jpg"), image)
    cv2.imwrite(str(tmp_path / "large.jpg"), cv2.resize(image, (4000, 3000)))
    code = f"""
import json
from pathlib import Path
from swin_dense.tools.commands.predict import predict

def find(name):
    flags = {{"score_threshold": 0.0, "scale": (96, 64), "device": "cpu"}}
    predict({str(weights)!r}, name, out="out", **flags)
    (peak,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return int(peak.split()[1]) / 1024

before = find("small.jpg")
print(find("large.jpg") - before)
print(len(json.loads(Path("out/predictions.json").read_text())["annotations"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    mebibytes, num_objects = done.stdout.split()
    assert int(num_objects) >= 20
    assert float(mebibytes) < 300
    with Image.open(tmp_path / "out" / "overlays" / "large.jpg") as overlay:
        assert overlay.size == (4000, 3000)


def test_an_image_larger_than_a_tile_is_predicted_in_tiles(weights: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 150, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    _predict(weights, tmp_path / "out", tmp_path / "a.png", tiles=64, overlap=16)
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert {tuple(a["segmentation"]["size"]) for a in found["annotations"]} == {(100, 150)}
    with pytest.raises(ValueError, match="--overlap must be in"):
        _predict(weights, tmp_path / "out", tmp_path / "a.png", tiles=64)


def test_folders_and_dead_links_named_like_images_do_not_stop_the_others(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "album.jpg").mkdir()
    (images / "dead.jpg").symlink_to(tmp_path / "absent.jpg")
    _predict(weights, tmp_path / "out", images)
    assert "skipped: no image file" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]) == 2


def test_inputs_that_are_not_there_or_empty_are_said(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no image, folder or video"):
        _predict(weights, tmp_path / "out", tmp_path / "absent.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold images or videos, got none"):
        _predict(weights, tmp_path / "out", tmp_path / "empty")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score_threshold": 1.5}, "--score-threshold must be in 0..1, got 1.5"),
        ({"batch_size": 0}, "--batch-size must be in 1..256, got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(
    weights: Path, tmp_path: Path, changes: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _predict(weights, tmp_path / "out", tmp_path, **changes)


def test_a_segmentor_gives_overlays_and_label_maps(images: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = replace(
        find_recipe("upernet_demo").model,
        backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),
    )
    save_model(create_model(config, class_names=("sky", "road")), tmp_path / "model.safetensors")
    out = tmp_path / "out"
    flags: Any = {"scale": [64, 64], "mode": "slide", "device": "cpu"}
    weights = str(tmp_path / "model.safetensors")
    assert predict(weights, str(images), out=str(out), **flags) == out
    written = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert written == [
        "classes.txt",
        "label_maps/a.png",
        "label_maps/more/a.png",
        "overlays/a.jpg",
        "overlays/more/a.png",
    ]
    label_map = Image.open(out / "label_maps" / "a.png")
    assert (label_map.mode, label_map.size) == ("L", (60, 40))
    assert set(np.unique(np.asarray(label_map))) <= {0, 1}


def test_images_of_one_name_in_different_folders_are_told_apart(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (other / name).write_bytes((images / "a.jpg").read_bytes())
    out = tmp_path / "out"
    _predict(weights, out, images / "a.jpg", other)
    content = json.loads((out / "predictions.json").read_text())
    names = [image["file_name"] for image in content["images"]]
    assert names == ["images/a.jpg", "other/a.jpg", "b.jpg"]
    assert all((out / "overlays" / name).is_file() for name in names)


def test_a_second_run_into_a_folder_says_that_it_replaces(
    weights: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    said = f"{out} has results already; those of the same names are replaced"
    _predict(weights, out, images / "a.jpg")
    assert said not in capsys.readouterr().err
    _predict(weights, out, images / "a.jpg")
    assert said in capsys.readouterr().err


def test_no_input_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images, folders or videos as inputs, got none"):
        predict(tmp_path / "none.pth", [], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
