"""The look at data and model before a run: it changes nothing, and fails where the run would."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_runs import (
    assert_same,
    detection_recipe,
    losses,
    segmentation_recipe,
    small_options,
    weights,
)

from swin_dense.datasets.shapes import write_shapes
from swin_dense.heads.detection.roi_heads import standard
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.tasks.table import find_task
from swin_dense.tools.training import run as training
from swin_dense.tools.training import sanity_check
from swin_dense.tools.training.run import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(
        tmp_path_factory.mktemp("shapes") / "data", num_train=6, num_val=2, size=64, seed=0
    )


def _recipes(data: Path) -> dict[str, Recipe]:
    return {
        "detection": detection_recipe(data, steps=2, drop_path=0.5),
        "segmentation": segmentation_recipe(data, steps=2),  # with BatchNorm
    }


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_run_is_the_same_to_the_bit_with_the_look_and_without(
    data: Path, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = _recipes(data)[task]
    train(small_options(recipe, tmp_path / "with", ema=0.9))
    with monkeypatch.context() as patched:
        patched.setattr(training._Job, "sanity_check", lambda *_: None)
        train(small_options(recipe, tmp_path / "without", ema=0.9))
    assert (tmp_path / "with" / "samples.html").exists()
    assert not (tmp_path / "without" / "samples.html").exists()
    assert losses(tmp_path / "with") == losses(tmp_path / "without")
    for file in ("model.safetensors", "ema.safetensors"):
        assert_same(weights(tmp_path / "with", file=file), weights(tmp_path / "without", file=file))


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_check_only_leaves_a_page_of_samples_and_no_checkpoint(
    data: Path, task: str, tmp_path: Path
) -> None:
    recipe = _recipes(data)[task]
    options = small_options(recipe, tmp_path, check_only=True)
    assert train(options) is None
    assert not (tmp_path / "last").exists()
    page = (tmp_path / "samples.html").read_text()
    assert "6 images and" in page
    num_shown = max(6, 2 * recipe.batch_size)  # every image, and all of two steps
    assert page.count('src="data:image/jpeg') == page.count("<span>image ") == num_shown
    assert "circle" in page
    assert "64 x 64 px, given as" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # nothing is fetched
    train(replace(options, check_only=False))  # the folder is free for the run
    assert (tmp_path / "last").exists()


def test_page_and_console_say_what_is_left_out_of_the_training(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = data / "annotations" / "instances_train2017.json"
    before = content.read_text()
    content.write_text(before.replace('"iscrowd": 0', '"iscrowd": 1', 1))
    try:
        recipe = _recipes(data)["detection"]
        train(small_options(recipe, tmp_path, check_only=True))
    finally:
        content.write_text(before)
    page = (tmp_path / "samples.html").read_text()
    assert "Left out of the training" in page
    assert "<td>crowds</td><td>1</td>" in page
    assert "left out of training: 1 crowd\n" in capsys.readouterr().err


def _infinite(logits: Tensor) -> Tensor:
    return logits.sum() * torch.inf


def _steep(logits: Tensor) -> Tensor:
    """Zero, but with a gradient that is not a number."""
    return (logits * 0).abs().sqrt().sum()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (_infinite, r"losses must be finite before the run, got .*loss_cls (inf|-inf|nan).* on \["),
        (_steep, r"gradients must be finite .* \(backbone\..*, \.\.\.\) on \["),
    ],
)
def test_what_is_not_finite_stops_before_the_first_step(
    data: Path,
    tmp_path: Path,
    loss: Callable[[Tensor], Tensor],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def box_losses(logits: Tensor, deltas: Tensor, *_: Any, **__: Any) -> dict[str, Tensor]:
        return {"loss_cls": loss(logits), "loss_bbox": deltas.sum() * 0}

    monkeypatch.setattr(standard, "box_losses", box_losses)
    with pytest.raises(ValueError, match=message):
        train(small_options(_recipes(data)["detection"], tmp_path))
    assert not (tmp_path / "last").exists()


def test_an_image_to_evaluate_on_that_is_gone_stops_before_the_first_step(
    data: Path, tmp_path: Path
) -> None:
    image = next(iter(sorted((data / "val2017").iterdir())))
    moved = image.rename(tmp_path / image.name)
    try:
        with pytest.raises((FileNotFoundError, ValueError), match=image.name):
            train(small_options(_recipes(data)["detection"], tmp_path / "run"))
    finally:
        moved.rename(image)
    assert not (tmp_path / "run" / "last").exists()


def test_samples_without_any_annotation_are_found() -> None:
    def has_annotations(task: str, *samples: dict[str, torch.Tensor]) -> bool:
        data = SimpleNamespace(class_names=("cat", "dog"))
        return sanity_check.has_annotations(samples, task=find_task(task), training_data=data)

    ignored = {"label_map": torch.full((2, 2), 255)}
    assert not has_annotations("segmentation", ignored)
    assert has_annotations("segmentation", ignored, {"label_map": torch.zeros(2, 2).long()})
    assert not has_annotations("detection", {"labels": torch.zeros(0).long()})
    assert has_annotations("detection", {"labels": torch.zeros(1).long()})


def test_the_look_is_in_the_number_format_of_the_run() -> None:
    layer = nn.Linear(2, 2)
    seen: list[torch.dtype] = []

    def network(images: Tensor, targets: None) -> dict[str, Tensor]:
        del targets
        product = layer(images)
        seen.append(product.dtype)
        return {"loss": product.float().sum()}

    optimizer = torch.optim.SGD(layer.parameters())
    trained: Any = SimpleNamespace(network=network, model=layer, raw_optimizer=optimizer)
    accelerator: Any = SimpleNamespace(
        device=torch.device("cpu"),
        autocast=lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    )
    sanity_check._try_step(
        trained, [{"image_id": 1}], lambda *_: (torch.ones(1, 2), None), accelerator
    )
    assert seen == [torch.bfloat16]


def test_the_look_is_for_new_runs(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--check-only looks before a run starts, got --resume"):
        small_options(_recipes(data)["detection"], tmp_path, check_only=True, resume=True)
