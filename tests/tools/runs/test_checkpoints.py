"""Checkpoints: whole or absent, the newest kept, and what a broken one says."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from swin_dense.configs import SwinConfig
from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.heads.detection.config import BoxConfig, MaskConfig, MaskRCNNConfig
from swin_dense.heads.detection.mask_rcnn import MaskRCNN
from swin_dense.tools.runs import checkpoints
from swin_dense.tools.runs.checkpoints import (
    find_checkpoint,
    list_checkpoints,
    load_state,
    mark_score,
    random_state,
    restore_random_state,
    save_checkpoint,
)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    config = MaskRCNNConfig(
        backbone=SwinConfig(embed_dim=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),
        num_classes=2,
        fpn_channels=4,
        box=BoxConfig(fc_channels=4),
        mask=MaskConfig(num_convs=1, channels=4),
    )
    return MaskRCNN(config, class_names=("cat", "dog"), category_ids=(3, 7))


def test_a_checkpoint_loads_alone_with_its_classes(model: nn.Module, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, 5, model=model, state={"a": torch.ones(2)}, keep=1)
    assert find_checkpoint(tmp_path) == folder
    assert load_state(folder)["step"] == 5
    loaded = from_checkpoint(tmp_path / "last" / "model.safetensors")
    assert loaded.class_names == ("cat", "dog")
    assert loaded.category_ids == (3, 7)
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in model.state_dict().items())


def test_the_newest_are_kept_and_last_names_the_newest(model: nn.Module, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, model=model, state={}, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step_00000002", "step_00000003"]
    assert (tmp_path / "last").resolve().name == "step_00000003"
    assert not list(tmp_path.glob(".*"))


def test_the_best_is_kept_besides_the_newest(model: nn.Module, tmp_path: Path) -> None:
    for step, score in ((1, 0.2), (2, 0.5), (3, float("nan")), (4, 0.5), (5, 0.4)):
        save_checkpoint(tmp_path, step, model=model, state={}, keep=1)
        mark_score(tmp_path, step, name="mIoU", value=score)
    assert (tmp_path / "best").resolve().name == "step_00000002"
    kept = [path.name for path in list_checkpoints(tmp_path)]
    assert kept == ["step_00000002", "step_00000005"]
    score = json.loads((tmp_path / "best" / "score.json").read_text())
    assert score == {"step": 2, "name": "mIoU", "value": 0.5}


def test_averaged_weights_load_as_the_model_does(model: nn.Module, tmp_path: Path) -> None:
    ema = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    folder = save_checkpoint(tmp_path, 1, model=model, state={}, keep=1, ema=ema)
    loaded = from_checkpoint(folder / "ema.safetensors")
    assert loaded.class_names == ("cat", "dog")
    assert all((value == 0).all() for value in loaded.state_dict().values())


def test_a_first_checkpoint_without_its_link_is_found(model: nn.Module, tmp_path: Path) -> None:
    for step in (1, 2):
        folder = save_checkpoint(tmp_path, step, model=model, state={}, keep=2)
    (tmp_path / "last").unlink()
    assert find_checkpoint(tmp_path) == folder


def test_the_same_step_is_written_once(model: nn.Module, tmp_path: Path) -> None:
    first = save_checkpoint(tmp_path, 1, model=model, state={"a": 1}, keep=2)
    assert save_checkpoint(tmp_path, 1, model=model, state={"a": 2}, keep=2) == first
    assert load_state(first)["a"] == 1


@pytest.mark.parametrize("crash_in", ["save_model", "_flush_to_disk", "_point_at"])
def test_a_kill_while_writing_leaves_the_checkpoint_before(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_in: str
) -> None:
    first = save_checkpoint(tmp_path, 1, model=model, state={"a": 1}, keep=1)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, crash_in, _killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, 2, model=model, state={"a": 2}, keep=1)
    assert find_checkpoint(tmp_path) == first
    assert load_state(first)["a"] == 1
    second = save_checkpoint(tmp_path, 2, model=model, state={"a": 3}, keep=1)
    assert find_checkpoint(tmp_path) == second
    assert load_state(second)["a"] == 3
    assert list_checkpoints(tmp_path) == [second]


def test_a_later_checkpoint_whose_link_never_moved_pushes_out_none(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 1, model=model, state={}, keep=1)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "_point_at", _killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, 3, model=model, state={}, keep=1)
    second = save_checkpoint(tmp_path, 2, model=model, state={}, keep=1)
    assert list_checkpoints(tmp_path) == [second]
    assert (tmp_path / "last").resolve() == second


def test_a_full_disk_is_said_and_the_checkpoint_before_stays(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save_checkpoint(tmp_path, 1, model=model, state={}, keep=1)
    monkeypatch.setattr(checkpoints, "save_model", _raise(OSError(28, "No space left on device")))
    with pytest.raises(ValueError, match=r"step 2 cannot be written.*No space left.*is untouched"):
        save_checkpoint(tmp_path, 2, model=model, state={}, keep=1)
    assert find_checkpoint(tmp_path) == first
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_with_the_state_is_said_in_the_systems_words(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save_checkpoint(tmp_path, 1, model=model, state={}, keep=1)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "STATE_FILE", "/dev/full")
        with pytest.raises(ValueError, match=r"step 2 cannot be written.*No space left on device"):
            save_checkpoint(tmp_path, 2, model=model, state={"a": torch.ones(10**6)}, keep=1)
    assert find_checkpoint(tmp_path) == first
    assert not list(tmp_path.glob(".*"))


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path, model: nn.Module) -> None:
    name, weight = next(iter(model.named_parameters()))
    before = weight.detach().clone()
    weight.data.view(-1)[0] = float("nan")
    with pytest.raises(ValueError, match=f"must be finite, got nan or inf in {name} at step 3"):
        save_checkpoint(tmp_path, 3, model=model, state={}, keep=1)
    weight.data.copy_(before)
    assert find_checkpoint(tmp_path) is None


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "absent") is None
    assert list_checkpoints(tmp_path / "absent") == []


@pytest.mark.parametrize("content", [b"", b"not a state", b"PK\x03\x04 cut off"])
def test_a_damaged_state_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"state.pt cannot be read as a training state"):
        load_state(tmp_path)


def test_random_numbers_continue_where_they_were_noted(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), torch.rand(()).item()

    torch.save({"step": 0, "random": random_state()}, tmp_path / "state.pt")
    expected = draw()
    draw()
    restore_random_state(load_state(tmp_path)["random"])
    assert draw() == expected


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def _raise(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
