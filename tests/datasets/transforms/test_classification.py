"""The view of evaluation to the pixel, augmentation, erasing and mixing."""

import numpy as np
import pytest
import torch
from PIL import Image

from swin_dense.datasets.transforms.classification import (
    EvaluationView,
    as_image,
    as_tensor,
    classification_train,
    erase_parts,
    mix_images,
)

_SIZES = [(300, 401), (257, 256), (90, 500), (225, 224)]  # height, width


def _image(size: tuple[int, int]) -> Image.Image:
    random = np.random.default_rng(size[0])
    return as_image(random.integers(0, 256, (*size, 3)).astype(np.uint8))


@pytest.mark.parametrize("size", _SIZES)
def test_the_view_is_microsofts_to_the_pixel(size: tuple[int, int]) -> None:
    """torchvision's first transforms on Pillow's images, which its `data/build.py` uses."""
    from torchvision import transforms

    theirs = transforms.Compose(
        [
            transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.PILToTensor(),
        ]
    )
    found = EvaluationView(resize=256, crop=224, keep_ratio=True)(_image(size))
    assert torch.equal(found, theirs(_image(size)))
    theirs = transforms.Compose(
        [
            transforms.Resize((384, 384), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.PILToTensor(),
        ]
    )
    found = EvaluationView(resize=384, crop=384, keep_ratio=False)(_image(size))
    assert torch.equal(found, theirs(_image(size)))


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize(("resize", "crop", "crop_pct"), [(248, 224, 0.9), (384, 384, 1.0)])
def test_the_view_is_timms_to_the_pixel(
    size: tuple[int, int], resize: int, crop: int, crop_pct: float
) -> None:
    timm = pytest.importorskip("timm", reason="needs timm")
    theirs = timm.data.create_transform(
        input_size=(3, crop, crop),
        interpolation="bicubic",
        crop_pct=crop_pct,
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )
    found = EvaluationView(resize=resize, crop=crop, keep_ratio=True)(_image(size))
    assert torch.equal(found, (theirs(_image(size)) * 255).round().to(torch.uint8))


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("variant", ["Swin_T", "Swin_S", "Swin_B"])
def test_the_view_is_torchvisions_to_the_pixel(size: tuple[int, int], variant: str) -> None:
    import torchvision

    from swin_dense.configs import SWIN_VARIANTS
    from swin_dense.heads.classification.config import published_view

    preset = getattr(torchvision.models, f"{variant}_Weights").IMAGENET1K_V1.transforms()
    preset.mean, preset.std = [0, 0, 0], [1, 1, 1]
    view = published_view("torchvision", SWIN_VARIANTS[variant.lower()])
    found = EvaluationView(resize=view.resize, crop=view.crop, keep_ratio=True)(_image(size))
    assert torch.equal(found, (preset(_image(size)) * 255).round().to(torch.uint8))


@pytest.mark.parametrize("size", _SIZES)
def test_the_view_is_transformers_to_the_pixel(size: tuple[int, int]) -> None:
    """Its processor that works on Pillow's images, by which the files were published."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    kind = getattr(transformers, "ViTImageProcessorPil", None) or transformers.ViTImageProcessor
    processor = kind(resample=3, size={"height": 224, "width": 224}, do_normalize=False)
    theirs = processor(_image(size), return_tensors="pt")["pixel_values"][0]
    found = EvaluationView(resize=224, crop=224, keep_ratio=False)(_image(size))
    assert torch.equal(found, (theirs * 255).round().to(torch.uint8))


@pytest.mark.parametrize("magnitude", [None, 0, 9, 10])
def test_augmented_images_have_one_size_and_differ(magnitude: int | None) -> None:
    transform = classification_train(
        size=48, area=(0.08, 1.0), ratio=(0.75, 4 / 3), flip=0.5, magnitude=magnitude
    )
    torch.manual_seed(0)
    found = [transform(_image((60, 80))) for _ in range(12)]
    assert all(image.shape == (3, 48, 48) and image.dtype == torch.uint8 for image in found)
    assert not all(torch.equal(image, found[0]) for image in found)
    torch.manual_seed(0)
    assert torch.equal(transform(_image((60, 80))), found[0])


def test_the_parts_that_are_erased_are_noise_in_a_share_of_the_images() -> None:
    torch.manual_seed(0)
    pixels = torch.zeros(200, 3, 16, 16)
    erased = erase_parts(pixels, probability=0.25)
    shares = (erased != 0).any(1).float().mean((1, 2))  # (B,)
    assert 0.15 < (shares > 0).float().mean() < 0.35
    assert shares[shares > 0].min() > 0.01
    assert shares.max() < 0.36
    assert abs(float(erased[erased != 0].std()) - 1) < 0.1
    assert torch.equal(erase_parts(pixels, probability=0.0), pixels)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_labels_are_mixed_in_the_shares_of_the_pixels(mixup: float, cutmix: float) -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, 2])
    pixels = labels.float()[:, None, None, None].expand(3, 3, 32, 32)  # each its label's value
    for _ in range(8):
        mixed, shares = mix_images(pixels, labels, num_classes=4, mixup=mixup, cutmix=cutmix)
        assert shares.shape == (3, 4)
        torch.testing.assert_close(shares.sum(1), torch.ones(3))
        expected = shares @ torch.arange(4.0)
        torch.testing.assert_close(mixed.mean((1, 2, 3)), expected, rtol=1e-4, atol=1e-4)


def test_without_mixing_labels_are_whole() -> None:
    pixels = torch.rand(2, 3, 8, 8)
    same, shares = mix_images(pixels, torch.tensor([2, 0]), num_classes=3, mixup=0, cutmix=0)
    assert same is pixels
    assert shares.tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1)])
def test_an_image_that_is_a_thread_is_not_blown_up(size: tuple[int, int]) -> None:
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[size[0] // 2, size[1] // 2] = 255  # the centre
    found = EvaluationView(resize=36, crop=32, keep_ratio=True)(as_image(pixels))
    assert found.shape == (3, 32, 32)
    assert found.float().mean() > 50


def test_arrays_and_images_are_the_same_pixels() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(as_tensor(as_image(pixels)).permute(1, 2, 0).numpy(), pixels)
