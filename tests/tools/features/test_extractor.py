"""Features of images: those of the bare backbone or FPN, whatever the batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_extraction import BACKBONE, draw_image, make_extractor, save_backbone
from torch import Tensor, nn

import swin_dense as sd
from swin_dense.checkpoints.loading import load_weights
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.models import create_model
from swin_dense.tools.features.extractor import Extractor
from swin_dense.tools.recipes.table import find_recipe

IMAGES = [draw_image(size, seed=seed) for seed, size in enumerate([(40, 60), (33, 70), (5, 9)])]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "backbone.pth"
    save_backbone(path)
    return path


def _model(folder: Path, recipe: str, **changes: Any) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    config = replace(find_recipe(recipe).model, **({"backbone": BACKBONE} | changes))
    model = create_model(config).eval()
    save_model(model, folder / "model.safetensors")
    return model, folder / "model.safetensors"


def _batch(image: np.ndarray, **options: Any) -> sd.ImageBatch:
    return sd.batch_images([torch.from_numpy(image).permute(2, 0, 1)], **options)


def _extract(extractor: Extractor, images: list[np.ndarray]) -> list[list[Tensor]]:
    return [
        [torch.from_numpy(array) for array in image.arrays.values()]
        for image in extractor.start(images).wait()
    ]


@torch.no_grad()
def test_features_are_the_bare_backbones(weights: Path) -> None:
    backbone = sd.create_backbone(BACKBONE, weights=weights).eval()
    extractor = make_extractor(weights)
    for image, levels in zip(IMAGES, _extract(extractor, IMAGES), strict=True):
        batch = _batch(image)
        for level, maps, stride in zip(levels, backbone(batch.pixels), (4, 8, 16, 32), strict=True):
            torch.testing.assert_close(level, batch.crop(maps, stride=stride)[0], rtol=0, atol=1e-6)


def test_a_batch_changes_no_result(weights: Path) -> None:
    extractor = make_extractor(weights)
    together = _extract(extractor, [*IMAGES, IMAGES[0]])
    alone = [levels for image in [*IMAGES, IMAGES[0]] for levels in _extract(extractor, [image])]
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)  # the order of additions


def test_levels_keep_their_strides_and_channels(weights: Path) -> None:
    extractor = make_extractor(weights, levels=(3, 1))
    description = extractor.description
    assert (description.levels, description.strides, description.channels) == (
        (1, 3),
        (8, 32),
        (16, 64),
    )
    some, every = _extract(extractor, IMAGES), _extract(make_extractor(weights), IMAGES)
    for levels, whole in zip(some, every, strict=True):
        torch.testing.assert_close(levels, [whole[1], whole[3]], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_features_are_rounded_once(dtype: str, weights: Path) -> None:
    (stored,) = _extract(make_extractor(weights, dtype=dtype), IMAGES[:1])
    (exact,) = _extract(make_extractor(weights), IMAGES[:1])
    for level, whole in zip(stored, exact, strict=True):
        assert torch.equal(level.view(getattr(torch, dtype)), whole.to(getattr(torch, dtype)))


def test_vectors_are_the_means_of_the_maps(weights: Path) -> None:
    extractor = make_extractor(weights, pool="mean")
    image = extractor.start(IMAGES[1:2]).wait()[0]
    assert list(image.arrays) == [
        *(f"pooled_{i}" for i in range(4)),
        *(f"level_{i}" for i in range(4)),
    ]
    for level in range(4):
        mean = image.arrays[f"level_{level}"].mean((1, 2), dtype=np.float64)
        np.testing.assert_allclose(image.arrays[f"pooled_{level}"], mean, atol=1e-6)


@torch.no_grad()
def test_the_fpn_of_a_detector_gives_what_the_detector_sees(tmp_path: Path) -> None:
    model, path = _model(tmp_path, "mask_rcnn_demo")
    extractor = make_extractor(path, pyramid="fpn", scale=(64, 64))
    assert extractor.description.channels == (model.config.fpn_channels,) * 4
    for image, levels in zip(IMAGES, _extract(extractor, IMAGES), strict=True):
        batch = _batch(image, size_divisor=model.config.size_divisor)
        maps = model.neck(model.backbone(batch.pixels))
        assert len(levels) == 4
        for level, whole, stride in zip(levels, maps[:4], (4, 8, 16, 32), strict=True):
            torch.testing.assert_close(
                level, batch.crop(whole, stride=stride)[0], rtol=0, atol=1e-5
            )


def test_a_whole_model_gives_its_tasks_scale_and_padding(tmp_path: Path, weights: Path) -> None:
    _, path = _model(tmp_path, "mask_rcnn_demo")
    detector = make_extractor(path).description
    assert (detector.scale, detector.size_divisor) == ((1333, 800), 32)
    assert make_extractor(path, scale=(64, 32)).description.scale == (64, 32)
    _, path = _model(tmp_path, "upernet_demo")
    segmentor = make_extractor(path).description
    assert (segmentor.scale, segmentor.size_divisor) == ((2048, 512), 1)
    backbone = make_extractor(weights).description
    assert (backbone.scale, backbone.size_divisor) == (None, 32)


@torch.no_grad()
def test_a_segmentors_images_are_not_padded(tmp_path: Path) -> None:
    model, path = _model(tmp_path, "upernet_demo")
    for image, levels in zip(IMAGES, _extract(make_extractor(path), IMAGES), strict=True):
        maps = model.backbone(_batch(image, size_divisor=1).pixels)
        torch.testing.assert_close(levels, [level[0] for level in maps], rtol=0, atol=1e-5)


def test_a_classification_file_gives_its_backbone(tmp_path: Path) -> None:
    backbone = sd.create_backbone(BACKBONE)
    state = {
        key: value for key, value in backbone.state_dict().items() if not key.startswith("norm")
    }
    state |= {"norm.weight": torch.ones(64), "norm.bias": torch.zeros(64)}
    state |= {"head.weight": torch.zeros(10, 64), "head.bias": torch.zeros(10)}
    torch.save({"model": state}, tmp_path / "classifier.pth")
    load_weights(backbone.eval(), tmp_path / "classifier.pth")
    (levels,) = _extract(make_extractor(tmp_path / "classifier.pth"), IMAGES[:1])
    with torch.no_grad():
        maps = backbone(_batch(IMAGES[0]).pixels)
    assert torch.allclose(levels[0], maps[0][0, :, :10, :15], atol=1e-6)


def test_a_model_on_a_backbone_of_timm_gives_its_maps(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason='needs pip install -e ".[timm]"')
    model, path = _model(tmp_path, "mask_rcnn_demo", backbone=sd.TimmConfig(name="resnet10t"))
    extractor = make_extractor(path)
    assert extractor.description.channels == model.backbone.channels
    (levels,) = _extract(extractor, IMAGES[:1])
    with torch.no_grad():
        maps = model.backbone(_batch(IMAGES[0]).pixels)
    torch.testing.assert_close(levels[3], maps[3][0, :, :2, :2], rtol=0, atol=1e-5)


def test_values_beyond_the_type_are_an_error_of_their_image_alone(tmp_path: Path) -> None:
    backbone = save_backbone(tmp_path / "large.pth")
    state = backbone.state_dict()
    state["norm0.bias"][0] = 1e6
    torch.save(state, tmp_path / "large.pth")
    assert not make_extractor(tmp_path / "large.pth").start(IMAGES[:1]).wait()[0].error
    answer = make_extractor(tmp_path / "large.pth", dtype="float16").start(IMAGES).wait()
    assert {image.error for image in answer} == {
        "its features are not finite, or too large for float16"
    }
    small = make_extractor(tmp_path / "large.pth", dtype="float16", levels=(1,))
    assert not small.start(IMAGES[:1]).wait()[0].error


def test_the_hash_tells_files_of_weights_apart(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "copy.pth").write_bytes(weights.read_bytes())
    ours = make_extractor(weights).description
    assert ours.differences(make_extractor(tmp_path / "copy.pth").description) == []
    torch.save(sd.create_backbone(BACKBONE).state_dict(), tmp_path / "other.pth")
    (difference,) = ours.differences(make_extractor(tmp_path / "other.pth").description)
    assert difference.startswith("weights ")


@pytest.mark.parametrize("levels", [(4,), (0, 0), (), (-1,)])
def test_levels_that_are_not_there_are_refused(levels: tuple[int, ...], weights: Path) -> None:
    with pytest.raises(ValueError, match=r"--levels must be different levels of 0\.\.3, got "):
        make_extractor(weights, levels=levels)


def test_an_fpn_is_of_a_detector(tmp_path: Path, weights: Path) -> None:
    message = "--pyramid fpn must have weights of a detector with an FPN, got "
    with pytest.raises(ValueError, match=message + "Swin"):
        make_extractor(weights, pyramid="fpn")
    _, path = _model(tmp_path, "upernet_demo")
    with pytest.raises(ValueError, match=message + "UPerNet"):
        make_extractor(path, pyramid="fpn")
