"""Folders of runs that earlier versions wrote: they are continued, and give a report.

`data/run_of_version_0_1.tar.xz` holds a run of version 0.1 after two of its four steps, and what
version 0.1 itself made of the rest (torch 2.14, one thread).
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_runs import BACKBONE, segmentation_recipe, small_options

from swin_dense.datasets.shapes import write_shapes
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.report.run_report import write_run_report
from swin_dense.tools.runs.folder import read_run
from swin_dense.tools.training.run import train

_ARCHIVE = Path(__file__).parent / "data" / "run_of_version_0_1.tar.xz"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with the run, the data it was trained on, and what was expected of it."""
    with tarfile.open(_ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    write_shapes(tmp_path / "data", num_train=6, num_val=2, size=64, seed=0)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def recipe() -> Recipe:
    """The recipe that the run was started with."""
    small = segmentation_recipe(Path("data"), steps=4)
    backbone = replace(BACKBONE, embed_dim=2, num_heads=(1, 1, 1, 1), window_size=2)
    model = replace(small.model, backbone=backbone, decoder_channels=4, auxiliary_channels=4)
    return replace(small, batch_size=2, model=model)


def test_a_run_of_version_0_1_is_continued_to_the_weights_that_it_would_have_had(
    folder: Path,
) -> None:
    options = small_options(
        recipe(), Path("run"), ema=0.9, save_every=2, evaluate_every=0, resume=True
    )
    train(options)
    for name in ("model.safetensors", "ema.safetensors"):
        found, expected = (load_file(path / name) for path in (Path("run/last"), Path("expected")))
        # Adam divides by the root of small squares, which enlarges the last bits of another build.
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    lines = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    expected_lines = [
        json.loads(line) for line in Path("expected/log.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [line["step"] for line in expected_lines]
    assert lines[3]["rate"] == pytest.approx(expected_lines[3]["rate"])
    assert lines[3]["loss"] == pytest.approx(expected_lines[3]["loss"], rel=1e-3)


def test_a_run_of_version_0_1_gives_a_report(folder: Path) -> None:
    record = Path("run/evaluations/step_00000004.json")
    content = json.loads(Path("expected/evaluation.json").read_text())
    content["images"] |= {"best": [], "worst": []}  # their pictures are not kept here
    record.write_text(json.dumps(content))
    run = read_run(Path("run"))
    assert [line["step"] for line in run.log] == [1, 2]
    assert run.faults == []
    assert run.evaluations[0].confusion.names == run.evaluations[0].classes.names
    page = write_run_report([Path("run")]).read_text()
    assert "mIoU" in page


def test_a_recipe_that_differs_is_still_refused(folder: Path) -> None:
    changed = recipe()
    changed = replace(changed, data=replace(changed.data, cat_max_ratio=0.5))
    options = small_options(changed, Path("run"), ema=0.9, resume=True)
    with pytest.raises(ValueError, match=r"data.cat_max_ratio: 0.5 instead of 0.9"):
        train(options)
