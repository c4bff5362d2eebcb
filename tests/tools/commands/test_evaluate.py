"""Evaluation from files alone, against an independent implementation's scores."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swin_dense.configs import SwinConfig
from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads.checkpoints import save_model
from swin_dense.tools.cli import main
from swin_dense.tools.commands.evaluate import evaluate
from swin_dense.tools.files import write_json
from swin_dense.tools.recipes.data import DetectionData, SegmentationData
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.tasks.table import find_task


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "det_mmdet_mask_rcnn"


def test_evaluate_gives_the_24_numbers_of_the_reference(golden: Path, tmp_path: Path) -> None:
    metrics = evaluate(
        golden / "model.pth",
        data=golden / "data",
        split="train2017",
        scale=(512, 320),
        json=tmp_path / "metrics.json",
        results=tmp_path / "results.json",
        workers=0,
        device="cpu",
    )
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert list(metrics) == ["bbox", "segm"]
    expected = json.loads((golden / "metrics.json").read_text())["pycocotools_stats"]
    for kind, numbers in expected.items():
        assert list(metrics[kind].values()) == pytest.approx(numbers, abs=0.001)
    results = json.loads((tmp_path / "results.json").read_text())
    assert {"image_id", "category_id", "bbox", "score", "segmentation"} <= results[0].keys()


def test_tiles_change_nothing_for_images_that_fit_and_are_scored_where_they_do_not(
    tmp_path: Path,
) -> None:
    data = write_shapes(tmp_path / "data", num_train=1, num_val=2, size=96, seed=0)
    task = find_task("detection")
    dataset = task.evaluation_data(DetectionData(root=data), scale=(64, 64))
    model = task.create_model(find_recipe("mask_rcnn_demo").model, dataset)
    save_model(model, tmp_path / "model.safetensors")
    flags: Any = {"data": data, "workers": 0, "device": "cpu"}
    weights = tmp_path / "model.safetensors"
    whole = evaluate(weights, scale=(96, 96), **flags)
    assert evaluate(weights, scale=(96, 96), tiles=96, overlap=32, **flags) == whole
    results = tmp_path / "results.json"
    evaluate(weights, scale=(96, 96), tiles=64, overlap=32, results=results, **flags)
    found = json.loads(results.read_text())
    assert {entry["image_id"] for entry in found} == set(dataset.image_ids)
    assert all(entry["segmentation"]["size"] == [96, 96] for entry in found)


def test_data_of_other_classes_is_refused(golden: Path, tmp_path: Path) -> None:
    data = write_shapes(tmp_path / "data", num_train=1, num_val=1, size=32, seed=0)
    with pytest.raises(ValueError, match=r"80 .*6 categories"):
        evaluate(golden / "model.pth", data=data, workers=0)


def test_the_numbers_are_printed_with_those_of_each_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_shapes(tmp_path / "data", num_train=1, num_val=2, size=32, seed=0)
    task = find_task("detection")
    dataset = task.evaluation_data(DetectionData(root=data), scale=(64, 64))
    model = task.create_model(find_recipe("mask_rcnn_demo").model, dataset)
    save_model(model, tmp_path / "model.safetensors")
    words = ["--weights", str(tmp_path / "model.safetensors"), "--data", str(data)]
    words += ["--scale", "64", "64", "--workers", "0", "--device", "cpu"]
    assert main(["evaluate", *words]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("AP50", "ARl", "circle", "cross"))


def test_a_split_that_is_not_there_is_said(golden: Path) -> None:
    with pytest.raises(FileNotFoundError, match="val2017"):
        evaluate(golden / "model.pth", data=golden / "data", workers=0)


@pytest.mark.parametrize("flag", ["json", "results"])
def test_a_folder_where_a_file_of_results_should_go_is_refused_at_once(
    flag: str, tmp_path: Path
) -> None:
    files: Any = {flag: tmp_path}
    with pytest.raises(ValueError, match="the output file must not be a folder, got"):
        evaluate(tmp_path / "none.pth", data=tmp_path, **files)


def test_a_batch_needs_an_image() -> None:
    with pytest.raises(ValueError, match=r"--batch-size must be in 1\.\.256, got 0"):
        evaluate(Path("w"), data=Path("d"), batch_size=0)


def test_json_has_null_for_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"IoU": [0.5, float("nan")]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"IoU": [0.5, None]}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.fixture(scope="module")
def segmentor(shared: Path) -> Path:
    return shared / "golden" / "seg_official_upernet"


def test_a_segmentor_gives_the_scores_and_counts_of_the_reference(
    segmentor: Path, shared: Path, tmp_path: Path
) -> None:
    metrics = evaluate(
        segmentor / "model.pth",
        data=shared / "data" / "camvid_mini",
        scale=(480, 360),
        json=tmp_path / "metrics.json",
        workers=0,
        device="cpu",
    )
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    expected = json.loads((segmentor / "metrics.json").read_text())["whole"]
    assert metrics["IoU"] == pytest.approx(expected["IoU"], abs=0.0005)
    for name in ("mIoU", "mAcc", "aAcc"):
        assert metrics[name] == pytest.approx(expected[name], abs=0.0005)
    assert metrics["area_label"] == expected["area_label"]


def test_a_segmentor_is_scored_in_windows_and_at_several_scales(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_shapes(tmp_path / "data", num_train=1, num_val=2, size=32, seed=0)
    task = find_task("segmentation")
    config = replace(
        find_recipe("upernet_demo").model,
        backbone=SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),
    )
    dataset = task.evaluation_data(SegmentationData(root=data), scale=(64, 64))
    save_model(task.create_model(config, dataset), tmp_path / "model.safetensors")
    weights = str(tmp_path / "model.safetensors")
    flags: Any = {"data": str(data), "scale": [64, 64], "workers": 0, "device": "cpu"}
    for mode in ("slide", "ms_flip"):
        metrics = evaluate(weights, mode=mode, **flags)
        assert sum(metrics["area_label"]) == sum(metrics["area_pred"]) == 2 * 32 * 32
        assert len(metrics["IoU"]) == 7
    assert not capsys.readouterr().out  # tables are the command line's
    with pytest.raises(ValueError, match="--results is for detection, got a model for segm"):
        evaluate(weights, results=tmp_path / "results.json", **flags)
    (data / "classes.txt").write_text("".join(f"class {index}\n" for index in range(8)))
    with pytest.raises(ValueError, match="got 7 of the model and 8 of the data"):
        evaluate(weights, **flags)


def test_a_detector_has_no_windows(golden: Path) -> None:
    with pytest.raises(ValueError, match="--mode is for segmentation, got a model for det"):
        evaluate(golden / "model.pth", data=golden / "data", mode="slide")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"dta": "d"}, "unknown field 'dta'; near it are data"),
        ({}, "data must be given, got weights"),
        ({"data": 3}, "data must be a path, got 3"),
        ({"data": "d", "mode": "half"}, "mode must be 'whole' or 'slide' or 'ms_flip' or None"),
    ],
)
def test_keywords_are_checked(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate("w", **flags)
